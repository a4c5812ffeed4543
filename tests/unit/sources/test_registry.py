from __future__ import annotations

from typing import Any, get_args

import pytest

from imageferry.errors import SourceFailed
from imageferry.sources.registry import SOURCES
from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, Spec, WebhookSpec
from imageferry.sources.surroundings import Surroundings
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock

KAFKA = KafkaSpec.model_validate({"bootstrap_servers": "localhost:9092", "topics": ["t"]})


def build(spec: Any) -> Any:
    return SOURCES[spec.type](spec, "name", Surroundings([], FakeClock(), Metrics()))


POLLING = PollingSpec.model_validate({"every": "5m"})


@pytest.mark.parametrize("spec", [KAFKA, FileSpec(path="-"), POLLING])
def test_a_source_has_the_name_it_was_given_and_the_type_of_its_spec(spec: Any) -> None:
    source = build(spec)
    assert (source.name, source.type) == ("name", spec.type)


@pytest.mark.parametrize("spec", [WebhookSpec.model_validate({"listen": "h:1", "secret": "hush-hush"})])
def test_a_source_that_is_not_there_yet_says_so_by_its_name(spec: Any) -> None:
    with pytest.raises(SourceFailed, match=f"source name: sources of type {spec.type} are not there yet"):
        build(spec)


def test_every_spec_has_its_row() -> None:
    assert {kind.model_fields["type"].default for kind in get_args(get_args(Spec)[0])} == set(SOURCES)
