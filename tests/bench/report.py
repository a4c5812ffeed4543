"""What a measurement says, and the table of all of them.

Every measurement returns rows; the program prints them. Nothing here measures anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

MANY = 100
"""From here on, parts of a unit say nothing."""
HEADS = ("what", "figure", "baseline", "ratio", "aim", "verdict")


@dataclass(frozen=True)
class Row:
    """One line: a figure beside what it is compared with. A row without an aim has no verdict."""

    what: str
    figure: str
    baseline: str = ""
    ratio: float | None = None
    aim: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x"
        verdict = "" if self.met is None else "met" if self.met else "MISSED"
        return (self.what, self.figure, self.baseline, ratio, self.aim, verdict)


def at_least(what: str, figure: float, baseline: float, unit: str, aim: float | None = None) -> Row:
    """A rate beside another; the more the better."""
    ratio = figure / baseline
    return Row(
        what,
        _shown(figure, unit),
        _shown(baseline, unit),
        ratio,
        "" if aim is None else f">= {aim:.2f} x",
        None if aim is None else ratio >= aim,
    )


def at_most(what: str, figure: float, baseline: float, unit: str, most: float) -> Row:
    """A quantity with a bound, beside what it is with nothing to do; the less the better."""
    return Row(
        what,
        _shown(figure, unit),
        _shown(baseline, unit),
        figure / baseline,
        f"< {most:g} {unit}",
        figure < most,
    )


def no_more_than(what: str, figure: float, baseline: float, unit: str, aim: float | None = None) -> Row:
    """A time beside another; the less the better."""
    ratio = figure / baseline
    return Row(
        what,
        _shown(figure, unit),
        _shown(baseline, unit),
        ratio,
        "" if aim is None else f"<= {aim:.2f} x",
        None if aim is None else ratio <= aim,
    )


def _shown(figure: float, unit: str) -> str:
    return f"{figure:,.0f} {unit}" if figure >= MANY else f"{figure:.2f} {unit}"


def missing(what: str, why: str) -> Row:
    """A measurement that could not be made."""
    return Row(what, f"not measured: {why}")


def table(rows: Sequence[Row]) -> str:
    """All rows as a Markdown table whose columns are also aligned for a terminal."""
    lines = [HEADS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    rule = tuple("-" * width for width in widths)
    return "\n".join(_line(line, widths) for line in (HEADS, rule, *lines[1:]))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"


@dataclass(frozen=True)
class Size:
    """How much is measured; the smallest still goes through every line."""

    events: int = 150_000
    """On the topic, for each reading of it."""
    rounds: int = 3
    """Readings of the topic by each reader, in turn."""
    sightings: int = 100
    """Events told one by one to an idle daemon."""
    exports: int = 300
    """Due at once, for the rate that is held."""
    slow_exports: int = 200
    jobs: int = 100_000
    """Open, in the ledger of the daemon whose memory and start are measured."""
    starts: int = 5
    submits: int = 300
    """Jobs that this daemon submits before its memory is read."""
    running: int = 500
    """At once, of which the requests are counted."""
    commits: int = 1_500
    """One by one."""
    calls: int = 40_000
    """Many at once."""
    policies: int = 1_000
    decisions: int = 50
    """About images of which no two are alike, a round."""

    def shrunk(self, divisor: float) -> Size:
        """Every number divided, and none of them nothing."""
        return Size(**{each.name: max(1, int(getattr(self, each.name) / divisor)) for each in fields(self)})
