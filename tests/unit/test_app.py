from __future__ import annotations

from pathlib import Path

from support.commands import invoke
from support.daemons import House


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
