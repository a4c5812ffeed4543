"""The last lines of ``demo``: what to try next. Every line after a ``$`` works as it stands."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from imageferry.cli.epilogue import Outcome
from imageferry.cli.show import what_of
from imageferry.cli.stage import House, Stage
from imageferry.clouds.facts import FACTS
from imageferry.core.job import Job


def program() -> str:
    """How this program was called, so that what is printed can be typed."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m imageferry"
    found = shutil.which(called.name)
    same = found is not None and called.exists() and Path(found).samefile(called)
    return called.name if same else shlex.quote(str(called))


def closing(outcome: Outcome, house: House, ops: tuple[str, int] | None) -> Iterator[str]:
    """What to try next; ``ops`` is where the metrics are while everything goes on, None where it has ended."""
    if ops is None:
        yield "To look at it more closely:"
        yield from map(_typed, _looks(outcome, house))
        yield _typed(f"{program()} demo --keep")
        yield "The last one leaves everything running, with metrics, to be played with."
        yield f"The daemon's own log: {house.log}"
        yield f"To delete everything: rm -r {shlex.quote(str(house.folder))}"
        return
    yield "Everything goes on until Ctrl-C. In another terminal, to look:"
    yield from map(_typed, [*_looks(outcome, house), *_pages(outcome, ops)])
    for stage in outcome.stages:
        yield from _moves(outcome, house, stage)
    yield f"The daemon's own log: {house.log}"
    yield f"To delete everything afterwards: rm -r {shlex.quote(str(house.folder))}"


def _typed(command: str) -> str:
    return f"  $ {command}"


def _looks(outcome: Outcome, house: House) -> Iterator[str]:
    config = f"--config {shlex.quote(str(house.config))}"
    yield f"{program()} plan {config} {shlex.quote(str(house.events))}"
    yield f"{program()} jobs list {config} --state failed"
    yield f"{program()} coverage {config}"
    yield f"{program()} why {config} {outcome.stages[0].scene.mended[0]}"
    for stage in outcome.stages:
        job = _job(outcome, stage.scene.doubted, "export")
        if job is not None:
            yield f"{program()} jobs show {config} {job.id}"


def _pages(outcome: Outcome, ops: tuple[str, int]) -> Iterator[str]:
    host, port = ops
    yield f"curl -s http://{host}:{port}/metrics | grep imageferry_jobs"
    yield f"curl -s http://{host}:{port}/readyz"
    for stage in outcome.stages:
        yield f"curl -s '{stage.url}/_rehearsal/state?parts=tasks,requests'"


def _moves(outcome: Outcome, house: House, stage: Stage) -> Iterator[str]:
    image = stage.scene.newcomer
    made = json.dumps({"region": image.region, "image_id": image.image_id, "name": image.name})
    event = json.dumps({"cloud": stage.scene.cloud, "region": image.region, "image_id": image.image_id})
    yield f"To make an image ready at {FACTS[stage.scene.cloud].title} and say so:"
    yield _typed(f"curl -s {stage.url}/_rehearsal/images -d {shlex.quote(made)}")
    yield _typed(f"echo {shlex.quote(event)} >> {shlex.quote(str(house.events))}")
    job = _job(outcome, *stage.scene.mended)
    if job is not None:
        yield f"To mend what refused {job.image_name}: {what_of(job)}, and give it another try:"
        yield _typed(f"curl -s {stage.url}/_rehearsal/options -d {shlex.quote(json.dumps(stage.scene.mend))}")
        yield _typed(f"{program()} jobs retry --config {shlex.quote(str(house.config))} {job.id}")


def _job(outcome: Outcome, image_id: str, what: str) -> Job | None:
    return next((j for j in outcome.last.jobs if j.image_id == image_id and what_of(j) == what), None)
