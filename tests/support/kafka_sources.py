"""Kafka sources for tests over a real broker, and the events they are to find there."""

from __future__ import annotations

from typing import Any

from imageferry.ports import Clock
from imageferry.sources.kafka import KafkaSource
from imageferry.sources.specs import KafkaSpec
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.metrics import Metrics
from support.events import ready_bytes


def reading(
    servers: str,
    topic: str,
    *,
    host: str = "host-1",
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    **more: Any,
) -> KafkaSource:
    spec = {"bootstrap_servers": servers, "topics": [topic], "group_id": f"group-{topic}", **more}
    return KafkaSource(
        KafkaSpec.model_validate(spec), "kafka", [], clock or SystemClock(), metrics or Metrics(), host=host
    )


def images(first: int, count: int) -> list[bytes]:
    return [ready_bytes(f"img-{i}") for i in range(first, first + count)]


def ids(first: int, count: int) -> set[str]:
    return {f"event-of-img-{i}" for i in range(first, first + count)}


class HurriedClock(SystemClock):
    """Real time, a hundred times as fast: what takes a minute is seen in less than a second."""

    def monotonic(self) -> float:
        return super().monotonic() * 100

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 100)
