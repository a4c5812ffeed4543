"""Every word of every switch of a vendor: a whole export against a rehearsal that takes nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.account import CredentialSpec
from imageferry.core.job import Job
from imageferry.ports import Progress
from imageferry.rehearsal.options import REHEARSAL_KEY
from support import aliyun_stages, huawei_stages, jdcloud_stages

TOKEN = "token/+=1"
STAGES: Mapping[str, Any] = {"aliyun": aliyun_stages, "huawei": huawei_stages, "jdcloud": jdcloud_stages}
WALKS: Mapping[tuple[str, str, str], Mapping[str, Any]] = {
    ("aliyun", "signature", "acs3"): {"signatures": ["acs3"]},
    ("aliyun", "signature", "rpc_v1"): {"signatures": ["rpc1"]},
    ("huawei", "export_version", "v1"): {},
    ("huawei", "export_version", "v2.1"): {},
    ("jdcloud", "signature", "jdcloud2"): {"algorithms": ["JDCLOUD2"]},
    ("jdcloud", "signature", "jdcloud3"): {"algorithms": ["JDCLOUD3"]},
    ("jdcloud", "token_encoding", "base64"): {"session_encoding": "base64"},
    ("jdcloud", "token_encoding", "raw"): {"session_encoding": "raw"},
}
"""(cloud, switch, word) -> the rehearsal's options under which only that word can work."""


def account_of(cloud: str, name: str, word: str) -> dict[str, Any]:
    changes: dict[str, Any] = {"switches": {name: word}}
    if name == "token_encoding":
        values = {"access_key": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "session_token": TOKEN}
        changes["credentials"] = CredentialSpec(source="static", values=values)
    return changes


def server_of(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    key = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": TOKEN}
    return {**options, **({"keys": [key]} if name == "token_encoding" else {})}


async def walked(stage: Any) -> tuple[Job, Progress]:
    """An export, from its submit to its end."""
    job = await stage.running(await stage.export())
    for _ in range(10):
        job, told = await stage.polls(job)
        if told.verdict != "running":
            break
        stage.clock.jump(30.0)
    return job, told


@pytest.mark.parametrize(("walk", "options"), WALKS.items(), ids=["-".join(walk) for walk in WALKS])
async def test_an_export_walks_to_its_end_with_every_word(
    walk: tuple[str, str, str], options: Mapping[str, Any]
) -> None:
    cloud, name, word = walk
    async with STAGES[cloud].staged(account=account_of(*walk), **server_of(name, options)) as stage:
        job, told = await walked(stage)
    assert told.verdict == "succeeded", told
    assert set(stage.gate.classes) == {"ok"}
    if name == "export_version":
        assert job.request["path"] == f"{word}/cloudimages/{job.image_id}/file"


def test_every_word_of_every_switch_is_walked() -> None:
    words = {
        (cloud, name, word)
        for cloud, facts in FACTS.items()
        for name, switch in facts.switches.items()
        for word in switch.words
    }
    assert words == WALKS.keys()
