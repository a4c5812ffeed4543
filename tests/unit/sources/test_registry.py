from __future__ import annotations

from typing import Any, get_args

import pytest

from imageferry.sources.registry import SOURCES
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, Spec, WebhookSpec
from imageferry.sources.surroundings import Surroundings
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock

KAFKA = KafkaSpec.model_validate({"bootstrap_servers": "localhost:9092", "topics": ["t"]})
HOOK = WebhookSpec.model_validate({"listen": "h:1", "secret": "hush-hush"})


def build(spec: Any) -> Any:
    return SOURCES[spec.type](spec, "name", Surroundings([], FakeClock(), Metrics()))


POLLING = PollingSpec.model_validate({"every": "5m"})


@pytest.mark.parametrize("spec", [KAFKA, FileSpec(path="-"), HOOK, POLLING])
def test_a_source_has_the_name_it_was_given_and_the_type_of_its_spec(spec: Any) -> None:
    source = build(spec)
    assert (source.name, source.type) == ("name", spec.type)


def test_every_spec_has_its_row() -> None:
    assert {kind.model_fields["type"].default for kind in get_args(get_args(Spec)[0])} == set(SOURCES)
