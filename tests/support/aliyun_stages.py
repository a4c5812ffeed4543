"""The Alibaba Cloud adapter on a stage: a rehearsal over real HTTP, the adapter that asks it, and the time of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, ClassVar

from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.aliyun.codes import COPY, EXPORT
from imageferry.clouds.aliyun.requests import Signature
from imageferry.clouds.credentials import Around
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.image import Place
from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.adapters import NOWHERE, AdapterStage, account_at, job_at
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION, aliyun, image
from support.clocks import FakeClock
from support.gates import OpenGate
from support.rehearsals import served

PLACE = Place("aliyun", "prod", REGION)


def aliyun_account(base_url: str = "http://127.0.0.1:9", **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    keys = {"access_key_id": REHEARSAL_KEY.secret_id, "access_key_secret": REHEARSAL_KEY.secret_key}
    static = CredentialSpec(source="static", values=keys)
    return account_at(base_url, "aliyun", (REGION, OTHER_REGION), static, **changes)


new_job = partial(job_at, PLACE)


class Stage(AdapterStage[AliyunRehearsal, AliyunCloud]):
    """See the module."""

    place = PLACE
    bucket = BUCKET
    other_region = OTHER_REGION
    apis: ClassVar = {"export": EXPORT, "copy": COPY}

    def new_image(self) -> str:
        return image(self.server, name="web-1")


@asynccontextmanager
async def staged(
    gate: OpenGate | None = None,
    account: Mapping[str, Any] | None = None,
    around: Around = NOWHERE,
    signature: Signature = "acs3",
    **options: Any,
) -> AsyncIterator[Stage]:
    """A stage; ``account`` changes the account, ``options`` are the rehearsal's."""
    clock, gate, metrics, numbers = FakeClock(), gate or OpenGate(), Metrics(), count(1)
    server = aliyun(clock, **options)
    async with served(server) as base_url:
        configured = aliyun_account(base_url, **{"switches": {"signature": signature}, **(account or {})})
        nonce = lambda: f"nonce-{next(numbers)}"  # noqa: E731 - it is one
        cloud = AliyunCloud(configured, gate, clock, metrics, around, nonce=nonce)
        try:
            yield Stage(server, cloud, gate, clock, metrics)
        finally:
            await cloud.aclose()
