from __future__ import annotations

import re

from imageferry.sources.kafka import KafkaSource, instance_id
from imageferry.sources.specs import KafkaSpec
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock


def spec(*topics: str, instance: str | None = None) -> KafkaSpec:
    return KafkaSpec.model_validate(
        {"bootstrap_servers": "localhost:9092", "topics": list(topics), "instance_id": instance}
    )


def test_a_given_instance_id_is_taken_as_it_is() -> None:
    assert instance_id(spec("t", instance="replica-0"), "host") == "replica-0"


def test_the_same_host_and_topics_make_the_same_member_whatever_their_order() -> None:
    assert instance_id(spec("a", "b"), "host") == instance_id(spec("b", "a"), "host")


def test_another_host_makes_another_member() -> None:
    assert instance_id(spec("a"), "host-1") != instance_id(spec("a"), "host-2")


def test_two_sources_of_one_host_are_two_members() -> None:
    assert instance_id(spec("a"), "host") != instance_id(spec("b"), "host")


def test_a_member_has_a_name_that_kafka_allows() -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,249}", instance_id(spec("a"), "höst name/" * 60))


def test_before_the_first_connection_it_is_not_well_and_not_drained() -> None:
    source = KafkaSource(spec("t"), "kafka", [], FakeClock(), Metrics())
    assert (source.health(), source.drained()) == ("Kafka at localhost:9092: not connected yet", False)
