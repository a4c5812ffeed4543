"""How long an event waits in an idle daemon: from sending it to Kafka until the export's request is at the cloud.

The daemon is a process of its own. Beside it stands what one bare request to the same rehearsal takes, there and
back. Between the two lie Kafka, three commits on the disk, a look at the image, the decision and the request itself.
"""

from __future__ import annotations

import math
import statistics
import time
from pathlib import Path
from uuid import uuid4

import httpx
from aiokafka import AIOKafkaProducer

from bench.arrivals import EXPORT, Cloud, cloud
from bench.report import Row, Size
from bench.town import REGIONS, event, house, image_id, region
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, daemon_process
from support.kafka import Broker, create_topic, producing
from support.rehearsals import Caller
from support.waiting import until

BEFORE = 3
"""Events told before the ones that count, so that connections are open."""
WITHIN = 30.0


async def measure(size: Size, broker: Broker, folder: Path) -> list[Row]:
    """The median and the slowest in a hundred."""
    topic = await create_topic(broker, f"bench-{uuid4().hex}")
    async with cloud(export_seconds=0.05, rates={"DescribeImages": None}) as here:
        source = {"type": "kafka", "bootstrap_servers": broker.servers, "topics": [topic], "group_id": topic}
        town = house(folder / "town", here.url, sources=[source])
        async with daemon_process(town), producing(broker) as producer:
            await _told(here, town, producer, topic, range(BEFORE))
            waits = await _told(here, town, producer, topic, range(BEFORE, BEFORE + size.sightings))
        trips = await _round_trips(here, size.sightings)
    return [
        _row("p50", statistics.median(waits), statistics.median(trips)),
        _row("p99", _percentile(waits, 0.99), _percentile(trips, 0.99)),
    ]


def _row(which: str, wait: float, trip: float) -> Row:
    what = f"event to submit when idle, {which}, to one bare request"
    return Row(what, f"{wait * 1000:.1f} ms", f"{trip * 1000:.1f} ms", wait / trip)


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[math.ceil(len(values) * share) - 1]


async def _told(here: Cloud, town: House, producer: AIOKafkaProducer, topic: str, numbers: range) -> list[float]:
    """Tell one event after the other, each when the job of the one before has ended; seconds until each submit."""
    waits = []
    for number in numbers:
        here.rehearsal.add_image(NewImage(region=region(number), image_id=image_id(number)))
        sent = time.perf_counter()
        await producer.send_and_wait(topic, event(number))
        await until(lambda: len(here.arrivals[EXPORT]) > number, WITHIN)  # noqa: B023 - awaited before the next turn
        waits.append(here.arrivals[EXPORT][number] - sent)
        await until(lambda: len(town.completed()) > number, WITHIN)  # noqa: B023 - the same
    return waits


async def _round_trips(here: Cloud, count: int) -> list[float]:
    """Seconds that a signed request takes over a connection that is open."""
    trips = []
    async with httpx.AsyncClient(base_url=here.url) as client:
        caller = Caller(client, SystemClock())
        await caller.images(REGIONS[0], ImageIds=[image_id(0)])
        for _ in range(count):
            began = time.perf_counter()
            await caller.images(REGIONS[0], ImageIds=[image_id(0)])
            trips.append(time.perf_counter() - began)
    return trips
