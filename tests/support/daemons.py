"""Whole daemons in tests: a folder with its files, the daemon in this process or in one of its own, and what it did."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import yaml
from anyio.abc import Process

from imageferry.app import Daemon, Ended, Orders, Running
from imageferry.clouds.facts import FACTS
from imageferry.core.completion import job_json
from imageferry.core.job import Job, JobFilter
from imageferry.ledgers.sqlite import open_reader
from imageferry.policies import PolicyBook
from imageferry.ports import Reader
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.settings import load
from imageferry.telemetry.clock import SystemClock
from support.rehearsals import BUCKET, REGION

EXPORT_ALL = {
    "name": "archive",
    "match": {"cloud": "tencent", "os": "linux"},
    "actions": [{"export": {"bucket": BUCKET, "format": "qcow2"}}],
}
"""Every Linux image to the rehearsal's bucket."""


def copy_to(*regions: str, name: str = "dr") -> dict[str, Any]:
    """A policy that copies every Linux image."""
    match = {"cloud": "tencent", "os": "linux"}
    return {"name": name, "match": match, "actions": [{"copy": {"regions": list(regions)}}]}


def account(base_url: str, **changes: Any) -> dict[str, Any]:
    """An account at a rehearsal served at ``base_url``, with every time short."""
    return {
        "cloud": "tencent",
        "regions": [REGION],
        "endpoint": base_url,
        "identity_endpoint": base_url,
        "storage_endpoint": base_url + "/{bucket}",
        "credentials": {
            "source": "static",
            "secret_id": REHEARSAL_KEY.secret_id,
            "secret_key": REHEARSAL_KEY.secret_key,
        },
        "poll": {"tasks": "200ms", "images": "200ms"},
        "timeouts": {"request": "5s", "settle": "6s", "image": "60s", "export": "120s", "copy": "120s"},
        "backoff": {"first": "200ms", "longest": "2s", "attempts": 8},
        **changes,
    }


def event(image_id: str, *, number: int | None = None, region: str = REGION, **data: Any) -> dict[str, Any]:
    """The daemon's own event, structured."""
    return {
        "specversion": "1.0",
        "id": f"event-{image_id}" if number is None else f"event-{number}",
        "source": "/tests",
        "type": "io.imageferry.image.ready",
        "data": {"cloud": "tencent", "region": region, "image_id": image_id, **data},
    }


@dataclass(slots=True)
class House:
    """A folder with a config, policies, a file of events and what comes of them."""

    folder: Path
    accounts: Mapping[str, Any]
    policies: Sequence[Mapping[str, Any]] = (EXPORT_ALL,)
    sources: Sequence[Mapping[str, Any]] | None = None
    publishers: Sequence[Mapping[str, Any]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "policies.yaml").write_text(yaml.safe_dump({"policies": list(self.policies)}))
        config = {
            "ledger": {"url": f"sqlite://{self.ledger}"},
            "policies": "policies.yaml",
            "ops": {"listen": "127.0.0.1:0"},
            "logging": {"format": "json", "level": "info"},
            "accounts": dict(self.accounts),
            "sources": list(self.sources if self.sources is not None else [{"type": "file", "path": str(self.events)}]),
            "publishers": list(
                self.publishers if self.publishers is not None else [{"type": "file", "path": str(self.completions)}]
            ),
            **self.extra,
        }
        self.config.write_text(yaml.safe_dump(config, sort_keys=False))

    @property
    def config(self) -> Path:
        return self.folder / "imageferry.yaml"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def events(self) -> Path:
        return self.folder / "events.ndjson"

    @property
    def completions(self) -> Path:
        return self.folder / "completions.ndjson"

    @property
    def log(self) -> Path:
        return self.folder / "daemon.log"

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Append events to the file that the daemon reads."""
        with self.events.open("a") as file:
            file.writelines(json.dumps(one) + "\n" for one in events)

    def completed(self) -> list[dict[str, Any]]:
        """Every completion that was published to the file."""
        if not self.completions.exists():
            return []
        return [json.loads(line) for line in self.completions.read_text().splitlines()]

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Reader]:
        async with open_reader(f"sqlite://{self.ledger}") as reader:
            yield reader

    async def jobs(self) -> list[dict[str, Any]]:
        """Every job, as ``jobs list --format json`` prints it."""
        return [job_json(job) for job in await self.job_rows()]

    async def job_rows(self) -> list[Job]:
        async with self.reader() as reader:
            return await reader.jobs(JobFilter())


@dataclass(slots=True)
class Live:
    """A daemon that runs in this process."""

    daemon: Daemon
    running: Running
    ended: Ended | None = None

    def stop(self) -> None:
        self.daemon.orders.stop.set()


def _daemon(house: House, *, until_idle: bool) -> Daemon:
    settings = load(house.config, {})
    return Daemon(
        settings=settings,
        book=PolicyBook(settings.policies, FACTS),
        clock=SystemClock(),
        orders=Orders(),
        chance=random.Random(3),
        until_idle=until_idle,
    )


@asynccontextmanager
async def running_daemon(house: House, *, until_idle: bool = False) -> AsyncIterator[Live]:
    """Run the daemon in this process; leaving the block stops it in order."""
    daemon = _daemon(house, until_idle=until_idle)
    live: list[Live] = []
    async with anyio.create_task_group() as group:

        async def life(*, task_status: anyio.abc.TaskStatus[Running]) -> None:
            ended = await daemon.run(task_status=task_status)
            live[0].ended = ended

        live.append(Live(daemon, await group.start(life)))
        yield live[0]
        live[0].stop()


async def run_until_idle(house: House, within: float = 60.0) -> Ended:
    """Run the daemon in this process until nothing is left to do."""
    with anyio.fail_after(within):
        daemon = _daemon(house, until_idle=True)
        ended: list[Ended] = []
        async with anyio.create_task_group() as group:

            async def life(*, task_status: anyio.abc.TaskStatus[Running]) -> None:
                ended.append(await daemon.run(task_status=task_status))

            await group.start(life)
        return ended[0]


@asynccontextmanager
async def daemon_process(house: House, *options: str) -> AsyncIterator[Process]:
    """Run ``imageferry run`` as a process of its own; its log goes to ``house.log``; it is killed in the end."""
    with house.log.open("ab") as log:
        process = await anyio.open_process(
            [sys.executable, "-m", "imageferry", "run", "--config", str(house.config), *options],
            stdin=None,
            stdout=log,
            stderr=log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.wait()
