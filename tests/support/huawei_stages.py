"""The Huawei Cloud adapter on a stage: a rehearsal over real HTTP, the adapter that asks it, and the time of both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, ClassVar

from imageferry.clouds.credentials import Around
from imageferry.clouds.huawei.adapter import HuaweiCloud
from imageferry.clouds.huawei.facts import FACTS
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.image import Place
from imageferry.core.job import ActionKind
from imageferry.rehearsal.huawei import HuaweiRehearsal
from imageferry.rehearsal.huawei_options import AGENCY
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.adapters import NOWHERE, AdapterStage, account_at, job_at
from support.clocks import FakeClock
from support.gates import OpenGate
from support.huawei_rehearsals import BUCKET, OTHER_PROJECT, OTHER_REGION, PROJECT, REGION, huawei, image
from support.rehearsals import served

PLACE = Place("huawei", "prod", REGION)
KEYS = {"ak": REHEARSAL_KEY.secret_id, "sk": REHEARSAL_KEY.secret_key}
STATIC = CredentialSpec(source="static", values=KEYS, projects={REGION: PROJECT, OTHER_REGION: OTHER_PROJECT})
ACTIONS: Mapping[ActionKind, str] = {"export": "ExportImage", "copy": "CopyImageCrossRegion"}


def huawei_account(base_url: str = "http://127.0.0.1:9", **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    return account_at(base_url, "huawei", (REGION, OTHER_REGION), STATIC, **{"counted_by": FACTS.counted_by, **changes})


new_job = partial(job_at, PLACE)


class Stage(AdapterStage[HuaweiRehearsal, HuaweiCloud]):
    """See the module."""

    place = PLACE
    bucket = BUCKET
    other_region = OTHER_REGION
    apis = ACTIONS
    needs: ClassVar = {"copy": {"agency": AGENCY}}

    def new_image(self) -> str:
        return image(self.server, name="web-1")


@asynccontextmanager
async def staged(
    gate: OpenGate | None = None,
    account: Mapping[str, Any] | None = None,
    around: Around = NOWHERE,
    export_version: str = "v1",
    **options: Any,
) -> AsyncIterator[Stage]:
    """A stage; ``account`` changes the account, ``options`` are the rehearsal's."""
    clock, gate, metrics = FakeClock(), gate or OpenGate(), Metrics()
    server = huawei(clock, **options)
    async with served(server) as base_url:
        configured = huawei_account(base_url, **{"switches": {"export_version": export_version}, **(account or {})})
        cloud = HuaweiCloud(configured, gate, clock, metrics, around)
        try:
            yield Stage(server, cloud, gate, clock, metrics)
        finally:
            await cloud.aclose()
