"""A program for tests to kill: reads a topic as the daemon does and prints each event's id once it is accepted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anyio

from imageferry.ports import Delivery, Sighting
from imageferry.sources.kafka import KafkaSource
from imageferry.sources.specs import KafkaSpec
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics


async def accept(batch: Sequence[Delivery], /, *, source_type: str) -> None:
    sys.stdout.write("".join(f"id {one.event_id}\n" for one in batch if isinstance(one, Sighting)))
    sys.stdout.flush()


async def main(servers: str, topic: str, group: str) -> None:
    spec = KafkaSpec.model_validate({"bootstrap_servers": servers, "topics": [topic], "group_id": group})
    await KafkaSource(spec, "kafka", [], SystemClock(), Metrics(), host="a-host").run(accept)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
