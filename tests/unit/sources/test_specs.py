from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from imageferry.sources.specs import FileSpec, KafkaSpec, PollingSpec, Spec, WebhookSpec

SPEC: TypeAdapter[Any] = TypeAdapter(Spec)
KAFKA = {"type": "kafka", "bootstrap_servers": "localhost:9092", "topics": ["image-events"]}


def fields_complained_of(value: dict[str, Any]) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as caught:
        SPEC.validate_python(value)
    return [error["loc"] for error in caught.value.errors()]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (KAFKA, KafkaSpec),
        ({"type": "file", "path": "-"}, FileSpec),
        ({"type": "webhook", "listen": "0.0.0.0:8443", "secret": "hush-hush"}, WebhookSpec),
        ({"type": "polling", "every": "5m"}, PollingSpec),
    ],
)
def test_the_type_chooses_the_spec(value: dict[str, Any], kind: type) -> None:
    assert type(SPEC.validate_python(value)) is kind


def test_the_designs_example_is_a_kafka_source() -> None:
    spec = SPEC.validate_python(KAFKA | {"group_id": "imageferry"})
    assert (spec.servers, spec.topics, spec.group_id) == ("localhost:9092", ("image-events",), "imageferry")


def test_durations_are_seconds() -> None:
    assert SPEC.validate_python({"type": "polling", "every": "5m", "since": "24h"}).since == 86_400.0


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (KAFKA | {"topics": []}, ("kafka", "topics")),
        (KAFKA | {"topics": ["two words"]}, ("kafka", "topics", 0)),
        (KAFKA | {"mapping": []}, ("kafka", "mapping")),
        (KAFKA | {"instance_id": "a b"}, ("kafka", "instance_id")),
        ({"type": "file", "path": ""}, ("file", "path")),
        ({"type": "file", "path": 3}, ("file", "path")),
        ({"type": "polling", "every": 300}, ("polling", "every")),
        ({"type": "webhook", "listen": "0.0.0.0:8443"}, ("webhook", "secret")),
        ({"type": "webhook", "listen": "h:1", "secret": "s", "path": "events"}, ("webhook", "path")),
    ],
)
def test_what_is_wrong_is_named_by_its_field(value: dict[str, Any], field: tuple[int | str, ...]) -> None:
    assert fields_complained_of(value) == [field]


def test_no_repr_shows_a_webhooks_secret() -> None:
    spec = SPEC.validate_python({"type": "webhook", "listen": "h:1", "secret": "hush-hush"})
    assert "hush-hush" not in repr(spec)
