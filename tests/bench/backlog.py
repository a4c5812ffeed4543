"""What a large backlog costs a daemon: memory while it works on it, and time from exec until it is ready.

The ledger is filled through its own API: images sighted, looked at and decided about, each with a planned job. The
daemon is a process of its own, asked over HTTP and read from ``/proc``. Each start follows a kill, so that it has a
log to recover and requests to doubt. Beside it stands the same daemon with an empty ledger.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx
from anyio.abc import Process

from bench.arrivals import EXPORT, Cloud, cloud
from bench.report import Row, Size, at_most
from bench.town import BUCKETS, house, image_id, region
from imageferry.core.decision import Decision, Verdict
from imageferry.core.image import Image, Place
from imageferry.core.job import NewJob
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import Admitted, Ledger, LookDone, Sighting
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, daemon_process
from support.kafka import free_port
from support.waiting import until

MOST_MEMORY = 150
MOST_START = 3.0
WITHIN = 120.0
LOOK_EVERY = 0.005
DAY = 86_400_000_000
BATCH = 1_000
SPARE = 1_000
"""Images at the cloud beyond those that are submitted while memory is measured."""


async def measure(size: Size, folder: Path) -> list[Row]:
    """Memory and start with the backlog, beside an empty ledger."""
    memory: list[float] = []
    starts: list[float] = []
    for name, jobs in (("empty", 0), ("full", size.jobs)):
        async with cloud(export_seconds=86_400) as here:
            town = house(folder / name, here.url, extra={"ops": {"listen": f"127.0.0.1:{free_port()}"}})
            town.tell([])
            await fill(town, jobs)
            for number in range(min(jobs, size.submits + SPARE)):
                here.rehearsal.add_image(NewImage(region=region(number), image_id=image_id(number)))
            starts.append(statistics.median([await _start(town) for _ in range(size.starts)]))
            memory.append(await _peak(town, here, min(jobs, size.submits)))
    backlog = f"with {size.jobs:,} open jobs, to none"
    return [
        at_most(f"peak memory {backlog}", memory[1], memory[0], "MB", MOST_MEMORY),
        at_most(f"start to ready {backlog}", starts[1], starts[0], "s", MOST_START),
    ]


# --- filling a ledger -------------------------------------------------------------------------------------------------


async def fill(town: House, count: int) -> None:
    """A ledger with so many planned jobs, each of its own image."""
    clock = SystemClock()
    async with open_ledger(f"sqlite://{town.ledger}", clock=clock) as ledger:
        for start in range(0, count, BATCH):
            await _plan(ledger, range(start, min(start + BATCH, count)), clock.now())


async def _plan(ledger: Ledger, numbers: Sequence[int], now: int) -> None:
    places = [Place("tencent", "prod", region(number)) for number in numbers]
    sighted = [
        Admitted(Sighting("/bench", f"event-{number}", *place, image_id(number)), place)
        for number, place in zip(numbers, places, strict=True)
    ]
    await ledger.record(sighted, now)
    for place in dict.fromkeys(places):
        due = await ledger.due_looks(place.account, place.region, now, BATCH)
        images = [_image(place, one.image_id) for one in due]
        done = [
            LookDone(one, "decided", "1 action", _decision(image), (_job(image, now),))
            for one, image in zip(due, images, strict=True)
        ]
        await ledger.close_looks(done, now)


def _image(place: Place, named: str) -> Image:
    return Image(
        place=place,
        id=named,
        name=f"prod-web-{named}",
        os="linux",
        os_name="Ubuntu Server 22.04 LTS 64bit",
        arch="x86_64",
        size_gib=40,
        state="ready",
        visibility="private",
        encrypted=False,
        tags={"env": "prod", "team": "web"},
        created_at=0,
        is_copy=False,
        extra={"snapshots": [f"snap-{named}"]},
    )


def _decision(image: Image) -> Decision:
    verdict = Verdict("archive", "match", "os is linux; size_gib 40 is at most 500")
    return Decision(image, (verdict,), (), "0123456789abcdef")


def _job(image: Image, now: int) -> NewJob:
    return NewJob(
        place=image.place,
        image_id=image.id,
        image_name=image.name or "",
        action="export",
        destination=BUCKETS[image.place.region],
        options={"format": "qcow2"},
        policies=("archive",),
        reason="policy archive: os is linux; size_gib 40 is at most 500",
        give_up_at=now + DAY,
    )


# --- the daemon on it ------------------------------------------------------------------------------------------------


def _url(town: House) -> str:
    return f"http://{town.extra['ops']['listen']}"


async def _start(town: House) -> float:
    """Seconds from exec to the first 200 of ``/readyz``."""
    began = time.perf_counter()
    async with daemon_process(town) as process:
        await _ready(town, process)
        return time.perf_counter() - began


async def _ready(town: House, process: Process) -> None:
    async with httpx.AsyncClient(base_url=_url(town)) as client:
        with anyio.fail_after(WITHIN):
            while not await _answers(client):
                if process.returncode is not None:
                    raise AssertionError(f"the daemon ended: {town.log.read_text()[-2000:]}")
                await anyio.sleep(LOOK_EVERY)


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


async def _peak(town: House, here: Cloud, submits: int) -> float:
    """The most memory, in MB, of a daemon that submits so many jobs and is scraped meanwhile."""
    asked = len(here.arrivals[EXPORT])
    async with daemon_process(town) as process, httpx.AsyncClient(base_url=_url(town)) as client:
        await _ready(town, process)

        async def worked() -> bool:
            for page in ("/metrics", "/readyz", "/livez", "/api/v1/jobs?limit=100"):
                (await client.get(page)).raise_for_status()
            return len(here.arrivals[EXPORT]) - asked >= submits

        await until(worked, WITHIN)
        status = await anyio.Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    if found is None:
        raise AssertionError("this system does not tell a process's peak memory")
    return int(found[1]) / 1000
