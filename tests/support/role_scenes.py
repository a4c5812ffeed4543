"""A role at each cloud: the adapter with an account that takes it, against a rehearsal over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.aliyun.facts import FACTS as ALIYUN
from imageferry.clouds.credentials import Around, Credentials
from imageferry.clouds.huawei.adapter import HuaweiCloud
from imageferry.clouds.huawei.facts import FACTS as HUAWEI
from imageferry.clouds.jdcloud.adapter import JdCloud
from imageferry.clouds.jdcloud.facts import FACTS as JDCLOUD
from imageferry.clouds.objects import Missing
from imageferry.clouds.tencent.adapter import TencentCloud
from imageferry.clouds.tencent.facts import FACTS as TENCENT
from imageferry.core.account import Account, CredentialSpec, Role
from imageferry.core.facts import CloudFacts
from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.telemetry.metrics import Metrics
from support import aliyun_rehearsals, huawei_rehearsals, jdcloud_rehearsals, rehearsals
from support.accounts import tencent_account
from support.aliyun_stages import aliyun_account
from support.clocks import FakeClock
from support.gates import OpenGate
from support.huawei_stages import STATIC, huawei_account
from support.jdcloud_stages import jdcloud_account
from support.rehearsals import served

NOWHERE = Around({}, Path("/nowhere"))


@dataclass(frozen=True)
class Kind:
    """What differs between the clouds."""

    facts: CloudFacts
    server: Callable[..., Any]
    account: Callable[..., Account]
    adapter: Callable[..., Any]
    region: str
    bucket: str
    assume: str
    """What the rehearsal calls the request for a role's keys."""
    variables: tuple[str, str]
    """Of the environment: the id and the secret."""
    external_ids: bool = False
    owner: str = ""
    projects: Mapping[str, str] | None = None

    def role(self, **changes: Any) -> Role:
        """The role that the rehearsal gives."""
        return replace(Role(name=self.facts.role.example, owner=self.owner, duration=self.facts.role.usual), **changes)


KINDS = {
    "tencent": Kind(
        TENCENT,
        rehearsals.tencent,
        tencent_account,
        TencentCloud,
        rehearsals.REGION,
        rehearsals.BUCKET,
        "AssumeRole",
        ("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"),
        external_ids=True,
    ),
    "aliyun": Kind(
        ALIYUN,
        aliyun_rehearsals.aliyun,
        aliyun_account,
        AliyunCloud,
        aliyun_rehearsals.REGION,
        aliyun_rehearsals.BUCKET,
        "AssumeRole",
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
        external_ids=True,
    ),
    "huawei": Kind(
        HUAWEI,
        huawei_rehearsals.huawei,
        huawei_account,
        HuaweiCloud,
        huawei_rehearsals.REGION,
        huawei_rehearsals.BUCKET,
        "CreateTemporaryAccessKey",
        ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"),
        owner="rehearsal",
        projects=STATIC.projects,
    ),
    "jdcloud": Kind(
        JDCLOUD,
        jdcloud_rehearsals.jdcloud,
        jdcloud_account,
        JdCloud,
        jdcloud_rehearsals.REGION,
        jdcloud_rehearsals.BUCKET,
        "assumeRole",
        ("JDCLOUD_ACCESS_KEY", "JDCLOUD_SECRET_KEY"),
    ),
}
"""Cloud -> what differs there."""


@dataclass
class Scene:
    """See the module."""

    kind: Kind
    server: Any
    cloud: Any
    account: Account
    clock: FakeClock
    gate: OpenGate

    @property
    def credentials(self) -> Credentials:
        """The adapter's own."""
        found: Credentials = self.cloud._client._sending.credentials
        return found

    async def looks(self) -> bool:
        """Whether the adapter may read an image."""
        image_id = rehearsals.image(self.server, region=self.kind.region)
        return isinstance((await self.cloud.look(self.kind.region, [image_id]))[image_id], Image)

    async def missing(self) -> bool:
        """Whether the adapter may look at an object and sees that it is not there."""
        exports = self.cloud._exports
        [storage] = [held for name in dir(exports) if hasattr(held := getattr(exports, name), "head")]
        return isinstance(await storage.head(self.kind.bucket, self.kind.region, "no-such-key"), Missing)

    def taken(self) -> int:
        """How often the role's keys were asked for."""
        count: int = self.server.requests.asked(self.kind.assume)
        return count

    def end_sessions(self) -> None:
        """Let every temporary key that was given out run out at once, whatever it was promised."""
        sessions = self.server.world.sessions
        sessions[:] = [replace(key, expires_at=self.server.now() - SECOND) for key in sessions]


@asynccontextmanager
async def role_scene(
    cloud: str,
    *,
    role: Mapping[str, Any] | None = None,
    around: Around = NOWHERE,
    source: str = "static",
    **options: Any,
) -> AsyncIterator[Scene]:
    """An account that takes a role, with static keys at first; ``role`` changes it, ``options`` the rehearsal."""
    kind, clock, gate = KINDS[cloud], FakeClock(), OpenGate()
    server = kind.server(clock, **options)
    async with served(server) as base_url:
        plain = kind.account(base_url)
        spec = CredentialSpec(
            source=source,
            values=plain.credentials.values if source == "static" else {},
            projects=kind.projects or {},
            role=kind.role(**(role or {})),
        )
        configured = replace(plain, credentials=spec)
        adapter = kind.adapter(configured, gate, clock, Metrics(), around)
        try:
            yield Scene(kind, server, adapter, configured, clock, gate)
        finally:
            await adapter.aclose()
