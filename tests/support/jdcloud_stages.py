"""The JD Cloud adapter on a stage: a rehearsal over real HTTP, the adapter that asks it, and the time of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from itertools import count
from typing import Any, ClassVar

from imageferry.clouds.credentials import Around
from imageferry.clouds.jdcloud.adapter import JdCloud
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.image import Place
from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.jdcloud_options import ROLE
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.adapters import NOWHERE, AdapterStage, account_at, job_at
from support.clocks import FakeClock
from support.gates import OpenGate
from support.jdcloud_rehearsals import BUCKET, OTHER_REGION, REGION, image, jdcloud
from support.rehearsals import served

PLACE = Place("jdcloud", "prod", REGION)


def jdcloud_account(base_url: str = "http://127.0.0.1:9", **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    keys = {"access_key": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    static = CredentialSpec(source="static", values=keys)
    return account_at(base_url, "jdcloud", (REGION, OTHER_REGION), static, **changes)


new_job = partial(job_at, PLACE)


class Stage(AdapterStage[JdcloudRehearsal, JdCloud]):
    """See the module."""

    place = PLACE
    bucket = BUCKET
    other_region = OTHER_REGION
    apis: ClassVar = {"export": "exportImage", "copy": "copyImages"}
    needs: ClassVar = {"export": {"role": ROLE}}

    def new_image(self) -> str:
        return image(self.server, name="web-1")


@asynccontextmanager
async def staged(
    gate: OpenGate | None = None,
    account: Mapping[str, Any] | None = None,
    around: Around = NOWHERE,
    **options: Any,
) -> AsyncIterator[Stage]:
    """A stage; ``account`` changes the account, ``options`` are the rehearsal's."""
    clock, gate, metrics, numbers = FakeClock(), gate or OpenGate(), Metrics(), count(1)
    server = jdcloud(clock, **{"requests_a_minute": None, **options})
    async with served(server) as base_url:
        configured = jdcloud_account(base_url, **(account or {}))
        cloud = JdCloud(configured, gate, clock, metrics, around, nonce=lambda: f"nonce-{next(numbers)}")
        try:
            yield Stage(server, cloud, gate, clock, metrics)
        finally:
            await cloud.aclose()
