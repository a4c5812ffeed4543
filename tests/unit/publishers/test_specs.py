from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from imageferry.publishers.specs import FileSpec, KafkaSpec, LogSpec, Spec, WebhookSpec

SPEC: TypeAdapter[Any] = TypeAdapter(Spec)
KAFKA = {"type": "kafka", "bootstrap_servers": "localhost:9092", "topic": "image-completions"}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (KAFKA, KafkaSpec),
        ({"type": "file", "path": "completions.ndjson"}, FileSpec),
        ({"type": "webhook", "url": "https://example.com/hook", "secret": "hush-hush"}, WebhookSpec),
        ({"type": "log"}, LogSpec),
    ],
)
def test_the_type_chooses_the_spec(value: dict[str, Any], kind: type) -> None:
    assert type(SPEC.validate_python(value)) is kind


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (KAFKA | {"topics": ["x"]}, ("kafka", "topics")),
        (KAFKA | {"topic": "a/b"}, ("kafka", "topic")),
        ({"type": "log", "path": "x"}, ("log", "path")),
        ({"type": "webhook", "url": "ftp://x", "secret": "s"}, ("webhook", "url")),
        ({"type": "webhook", "url": "https://user:pw@x/", "secret": "s"}, ("webhook", "url")),
    ],
)
def test_what_is_wrong_is_named_by_its_field(value: dict[str, Any], field: tuple[int | str, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        SPEC.validate_python(value)
    assert [error["loc"] for error in caught.value.errors()] == [field]


def test_no_repr_shows_a_webhooks_secret() -> None:
    assert "hush-hush" not in repr(SPEC.validate_python({"type": "webhook", "url": "http://x", "secret": "hush-hush"}))
