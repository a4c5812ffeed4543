"""Secrets stay where they are used: a whole walk that logs all it can is searched for every one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, account, daemon_process
from support.events import ready_event
from support.kafka import PASSWORD, USER, Broker, create_topic, free_port, need_kafka, read_all, send, shared_broker
from support.rehearsals import image, served, tencent
from support.waiting import until

SECRETS = (REHEARSAL_KEY.secret_key, PASSWORD, "Signature=", "TC3-HMAC-SHA256 Credential", "AWS4-HMAC-SHA256 Cred")
"""What opens something, and the beginnings of the headers that prove possession of it."""


@pytest.fixture
def broker() -> Broker:
    need_kafka()
    return shared_broker()


def found(secrets: tuple[str, ...], texts: dict[str, bytes]) -> set[tuple[str, str]]:
    """(where, which) of every secret that is there."""
    return {(where, secret) for where, text in texts.items() for secret in secrets if secret.encode() in text}


def login(broker: Broker, password: str = PASSWORD) -> dict[str, Any]:
    return {
        "type": "kafka",
        "bootstrap_servers": broker.at("SASL"),
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
        "sasl_password": password,
    }


def house_at(folder: Path, url: str, source: dict[str, Any], publisher: dict[str, Any]) -> tuple[House, str]:
    """A house that logs all it can, and the address of its ops listener."""
    ops = f"127.0.0.1:{free_port()}"
    extra = {"ops": {"listen": ops}, "logging": {"format": "json", "level": "debug"}}
    house = House(folder, {"prod": account(url)}, sources=[source], publishers=[publisher], extra=extra)
    return house, f"http://{ops}"


def written(house: House) -> dict[str, bytes]:
    """What the daemon left on the disk: its log and its ledger with the files beside it."""
    files = [house.log, *house.folder.glob("ledger.db*")]
    return {file.name: file.read_bytes() for file in files if file.is_file()}


async def shown(ops: str, *pages: str) -> dict[str, bytes]:
    async with httpx.AsyncClient(base_url=ops) as client:
        return {page: (await client.get(page)).content for page in pages}


async def test_a_walk_that_logs_all_it_can_shows_no_secret_anywhere(tmp_path: Path, broker: Broker) -> None:
    events = await create_topic(broker, f"events-{uuid4().hex}")
    completions = await create_topic(broker, f"completions-{uuid4().hex}")
    rehearsal = tencent(SystemClock(), export_seconds=0.2)
    ids = [image(rehearsal) for _ in range(3)]
    await send(broker, events, [json.dumps(ready_event(each, data__account=None)).encode() for each in ids])
    async with served(rehearsal) as url:
        source = {**login(broker), "topics": [events], "group_id": events}
        house, ops = house_at(tmp_path, url, source, {**login(broker), "topic": completions})
        async with daemon_process(house):
            announced = b"\n".join(record.value for record in await read_all(broker, completions, len(ids)))
            texts = await shown(ops, "/metrics", "/readyz", "/api/v1/jobs") | written(house)
    assert {"/metrics", "daemon.log", "ledger.db", "ledger.db-wal"} <= texts.keys()
    assert all(each.encode() in texts["/api/v1/jobs"] for each in ids)
    assert b"vendor request" in texts["daemon.log"]
    assert found(SECRETS, {**texts, "completions": announced}) == set()


async def test_a_wrong_kafka_password_is_told_without_showing_it(tmp_path: Path, broker: Broker) -> None:
    wrong = "not-the-" + PASSWORD
    events = await create_topic(broker, f"events-{uuid4().hex}")
    async with served(tencent(SystemClock())) as url:
        source = {**login(broker, wrong), "topics": [events], "group_id": events}
        house, ops = house_at(tmp_path, url, source, {"type": "file", "path": str(tmp_path / "completions.ndjson")})
        async with daemon_process(house):
            await until(lambda: b"the user name or the password is wrong" in house.log.read_bytes())
            texts = await shown(ops, "/metrics", "/readyz") | written(house)
    assert b"the user name or the password is wrong" in texts["/readyz"]
    assert found((*SECRETS, wrong), texts) == set()
