from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from imageferry.errors import PublishFailed
from imageferry.publishers.registry import PUBLISHERS
from imageferry.publishers.specs import FileSpec, KafkaSpec, LogSpec, Spec, WebhookSpec
from support.clocks import FakeClock

KAFKA = KafkaSpec.model_validate({"bootstrap_servers": "127.0.0.1:1", "topic": "t"})


@pytest.mark.parametrize("spec", [KAFKA, LogSpec(), FileSpec(path="c.ndjson")])
async def test_a_publisher_has_the_name_it_was_given_and_needs_no_receiver_to_open(
    spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with PUBLISHERS[spec.type](spec, "name", FakeClock()) as publisher:
        assert (publisher.name, publisher.type) == ("name", spec.type)


def test_a_publisher_that_is_not_there_yet_says_so_by_its_name() -> None:
    spec = WebhookSpec.model_validate({"url": "https://example.com", "secret": "hush-hush"})
    with pytest.raises(PublishFailed, match="publisher name: publishers of type webhook are not there yet"):
        PUBLISHERS["webhook"](spec, "name", FakeClock())


def test_every_spec_has_its_row() -> None:
    assert {kind.model_fields["type"].default for kind in get_args(get_args(Spec)[0])} == set(PUBLISHERS)
