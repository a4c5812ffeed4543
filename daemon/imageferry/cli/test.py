"""``imageferry test``: the tests that are written beside policies, without asking any cloud."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import click

from imageferry.cli.files import load_settings
from imageferry.cli.main import FAILED
from imageferry.cli.planned import image_json
from imageferry.cli.tables import format_option, plain, print_json
from imageferry.core.decision import Decision
from imageferry.core.times import rfc3339
from imageferry.errors import ImageferryError
from imageferry.telemetry.clock import SystemClock
from imageferry.trials.coverage import Coverage, measure
from imageferry.trials.judge import Outcome, judge
from imageferry.trials.junit import junit
from imageferry.trials.reader import load

USUAL: Final = Path("policies")
_FILE: Final = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--config", type=_FILE, default=None, help="A config file, for its policies and for what accounts list.")
@format_option
@click.option("--junit", "report", type=_FILE, default=None, help="Write the outcomes as JUnit XML to this file too.")
@click.option("--fail-under", type=click.IntRange(0, 100), default=None, help="Fail when coverage is less, in percent.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
def command(config: Path | None, output: str, report: Path | None, fail_under: int | None, path: Path | None) -> None:
    """Run the tests written beside policies, offline.

    PATH is a folder of policies, a policy file or one file of tests, *.test.yaml; default: the policies of --config,
    else ./policies. Only a config that --config names is read; without one the tests say what an account lists.
    """
    settings = load_settings(config) if config is not None else None
    suite = load(path or (settings.policies if settings else USUAL), settings.accounts if settings else None)
    clock = SystemClock().monotonic
    outcomes = list(judge(suite.trials, [one.spec for one in suite.policies], clock))
    coverage = measure(suite.policies, outcomes)
    if output == "json":
        print_json(_json(outcomes, coverage))
    else:
        _print(outcomes, coverage)
    if report is not None:
        _write(report, outcomes)
    if fail_under is not None and coverage.percent < fail_under:
        click.echo(f"imageferry: coverage is {coverage.percent}%; expected at least {fail_under}%", err=True)
        sys.exit(FAILED)
    if not all(outcome.passed for outcome in outcomes):
        sys.exit(FAILED)


def _write(report: Path, outcomes: Sequence[Outcome]) -> None:
    try:
        report.write_bytes(junit(outcomes, ["\n".join(_told(outcome)) for outcome in outcomes]))
    except OSError as error:
        raise ImageferryError(f"--junit: {report} cannot be written: {error.strerror}") from error


def _json(outcomes: Sequence[Outcome], coverage: Coverage) -> dict[str, Any]:
    return {
        "tests": [
            {
                "name": outcome.trial.name,
                "path": outcome.trial.path,
                "line": outcome.trial.line,
                "passed": outcome.passed,
                "differences": [difference._asdict() for difference in outcome.differences],
                **_decided(outcome.decision),
            }
            for outcome in outcomes
        ],
        "coverage": {
            "percent": coverage.percent,
            "seen": coverage.seen,
            "total": coverage.total,
            "gaps": [gap._asdict() for gap in coverage.gaps],
        },
        "summary": _summary(outcomes),
    }


def _decided(decision: Decision) -> dict[str, Any]:
    """The decision as ``plan`` prints it, with the actions' options and without jobs, which only a ledger knows."""
    told = image_json(decision)
    pairs = zip(told["actions"], decision.actions, strict=True)
    actions = [
        {key: value for key, value in shown.items() if key != "job"} | {"options": dict(action.options)}
        for shown, action in pairs
    ]
    return told | {"actions": actions}


def _summary(outcomes: Sequence[Outcome]) -> dict[str, int]:
    passed = sum(1 for outcome in outcomes if outcome.passed)
    return {"tests": len(outcomes), "passed": passed, "failed": len(outcomes) - passed}


def _print(outcomes: Sequence[Outcome], coverage: Coverage) -> None:
    for path, group in groupby(outcomes, key=lambda outcome: outcome.trial.path):
        told = list(group)
        click.echo(plain(f"{path}: {sum(1 for outcome in told if outcome.passed)} of {len(told)} passed"))
        for outcome in told:
            if not outcome.passed:
                trial = outcome.trial
                click.echo(plain(f"  FAILED {trial.path}:{trial.line}: {trial.name}"))
                click.echo("\n".join(f"    {plain(line)}" for line in _told(outcome)))
    click.echo(f"coverage: {coverage.percent}% ({coverage.seen} of {coverage.total})")
    for gap in coverage.gaps:
        click.echo(plain(f"  {gap}"))
    click.echo(", ".join(f"{name}: {count}" for name, count in _summary(outcomes).items()))


def _told(outcome: Outcome) -> list[str]:
    """What a person should read of a failure: expected and actual, then everything that the policies said."""
    image, verdicts = outcome.decision.image, outcome.decision.verdicts
    place = "/".join(part or "?" for part in image.place)
    name = f"{image.id} ({image.name or 'name not known'})"
    lines = [f"{name} at {place}, {rfc3339(outcome.trial.now).replace('.000000', '')}"]
    for expected, actual in outcome.differences:
        lines += [f"- expected  {expected or 'nothing more'}", f"+ actual    {actual or 'nothing of this'}"]
    return [*lines, *(f"{verdict.verdict:<8}  {verdict.policy}: {verdict.reason}" for verdict in verdicts)]
