"""``make bench``: every measurement in one run, as ratios; it never fails a build.

    PYTHONPATH=tests .venv/bin/python -m bench [NAME …] [--divide N]

Names are those of ``MEASUREMENTS``; ``--divide 100`` shows in a minute that everything works, with figures that mean
nothing.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Final

import anyio
import pytest
import structlog

from bench import backlog, commits, costs, deciding, intake, latency, pace
from bench.report import Row, Size, missing, table
from support.kafka import Broker, shared_broker
from support.programs import ROOT

Measurement = Callable[[Size, Path], list[Row]]


@cache
def _broker() -> Broker:
    return shared_broker()


def _intake(size: Size, folder: Path) -> list[Row]:
    return anyio.run(intake.measure, size, _broker(), folder)


def _latency(size: Size, folder: Path) -> list[Row]:
    return anyio.run(latency.measure, size, _broker(), folder)


def _costs(size: Size, folder: Path) -> list[Row]:
    return anyio.run(costs.measure, size, folder)


MEASUREMENTS: Final[Mapping[str, Measurement]] = {
    "intake": _intake,
    "latency": _latency,
    "pace": partial(anyio.run, pace.measure),
    "backlog": partial(anyio.run, backlog.measure),
    "costs": _costs,
    "ledger": partial(anyio.run, commits.measure),
    "policies": deciding.measure,
}


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure imageferry; print ratios.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--divide", type=float, default=1.0, help="divide every size by this, to try the bench itself")
    given = parser.parse_args(arguments)
    unknown = set(given.names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; expected any of {', '.join(MEASUREMENTS)}")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    print(table(measured(given.names or list(MEASUREMENTS), Size().shrunk(given.divide))))  # noqa: T201 - its output


def measured(names: Sequence[str], size: Size) -> list[Row]:
    """The rows of every measurement; one that fails says so and leaves the others be."""
    build = ROOT / "build"
    build.mkdir(exist_ok=True)  # on the same disk as the work: a temporary folder may be in memory
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=build) as folder:
        for name in names:
            began = time.perf_counter()
            rows += _tried(name, size, Path(folder) / name)
            print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)  # noqa: T201 - progress
    return rows


def _tried(name: str, size: Size, folder: Path) -> list[Row]:
    try:
        return MEASUREMENTS[name](size, folder)
    except (pytest.skip.Exception, pytest.fail.Exception) as absent:
        return [missing(name, str(absent))]
    except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are still worth having
        traceback.print_exc()
        return [missing(name, f"{type(error).__name__}: {error}")]


if __name__ == "__main__":
    main(sys.argv[1:])
