"""What ``check --online`` asks Alibaba Cloud: STS whose keys they are, OSS for a bucket.

Nothing here is needed to export or copy, and nothing changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imageferry.clouds.aliyun.client import Call, Client
from imageferry.clouds.aliyun.storage import Storage
from imageferry.ports import Bucket, Identity, Quota

CALLER: Final = "GetCallerIdentity"


@dataclass(frozen=True, slots=True)
class Inquiries:
    """One account's answers; see ``ports.Inquirer``."""

    client: Client
    storage: Storage

    async def identity(self, region: str) -> Identity:
        """The account, and the user or role that the keys are of."""
        told = await self.client.read(Call(CALLER, region, "read", {}, service="sts"))
        return Identity(str(told.content.get("AccountId") or ""), str(told.content.get("Arn") or ""))

    async def quotas(self, region: str) -> Sequence[Quota]:
        """None: the image API has no such question."""
        await self.client.let_in(region)
        return []

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket by the host of the images' region."""
        return await self.storage.bucket(bucket, region)
