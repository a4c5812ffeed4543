"""How lists are printed: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

format_option = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for people, or JSON for programs.",
)

_CONTROLS: Final = {number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))}


def print_json(data: object) -> None:
    """One JSON document on standard output, indented, as UTF-8."""
    click.echo(json.dumps(data, ensure_ascii=False, indent=2))


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """The named columns of the rows, aligned; ``empty`` where there are none."""
    if not rows:
        click.echo(empty)
        return
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    for line in [[column.upper() for column in columns], *cells]:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: object) -> str:
    """A value as people read it; what is empty is a hyphen."""
    if value is None or value == "":
        return "-"
    if isinstance(value, list):
        return ", ".join(plain(str(item)) for item in value) or "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {cell(item)}" for name, item in value.items()) or "-"
    return plain(str(value))


def plain(text: str) -> str:
    """One line that leaves a terminal alone: names come from events and clouds, and may hold anything."""
    return text.translate(_CONTROLS)
