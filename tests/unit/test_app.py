from __future__ import annotations

from pathlib import Path

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import CLOUDS
from support.commands import invoke
from support.daemons import EXPORT_ALL, House


def test_an_account_of_a_cloud_without_an_adapter_is_refused_with_the_clouds_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(CLOUDS, "aliyun")
    credentials = {"source": "static", **dict.fromkeys(FACTS["aliyun"].credential_words, "example")}
    account = {"cloud": "aliyun", "regions": ["cn-hangzhou"], "credentials": credentials}
    policy = {**EXPORT_ALL, "match": {"cloud": "aliyun"}}
    house = House(tmp_path, {"east": account}, [policy])
    result = invoke("run", "--config", house.config, "--until-idle")
    assert result.exit_code == 1
    assert (
        "imageferry: account east: the adapter for cloud aliyun is not there yet; this version runs "
        f"{', '.join(CLOUDS)} (check and plan know them all)"
    ) in result.stderr


def test_everything_that_is_not_there_yet_is_said_at_once(tmp_path: Path) -> None:
    account = {
        "cloud": "tencent",
        "regions": ["ap-guangzhou"],
        "credentials": {"source": "static", "secret_id": "example", "secret_key": "example"},
    }
    hook = {"type": "webhook", "url": "https://example.com/hook", "secret": "example-secret"}
    house = House(tmp_path, {"prod": account}, publishers=[hook, {**hook, "url": "https://example.com/other"}])
    result = invoke("run", "--config", house.config, "--until-idle")
    assert result.exit_code == 1
    assert [line.split(": ")[1] for line in result.stderr.splitlines() if line.startswith("imageferry: ")] == [
        "publisher webhook",
        "publisher webhook-2",
    ]
    assert not house.ledger.exists()
