"""What ``check --online`` asks Tencent Cloud: STS who the keys belong to, the image API its quota, COS for a bucket.

Nothing here is needed to export or copy, and nothing changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imageferry.clouds.objects import Objects
from imageferry.clouds.tencent.client import Call, Client, call
from imageferry.ports import Bucket, Identity, Quota

CALLER: Final = "GetCallerIdentity"
QUOTA: Final = "DescribeImageQuota"


@dataclass(frozen=True, slots=True)
class Inquiries:
    """One account's answers; see ``ports.Inquirer``."""

    client: Client
    objects: Objects

    async def identity(self, region: str) -> Identity:
        """The main account's uin, and the user or role that the keys belong to."""
        told = await self.client.read(Call(CALLER, region, "read", b"{}", service="sts"))
        return Identity(str(told.content.get("AccountId") or ""), str(told.content.get("Arn") or ""))

    async def quotas(self, region: str) -> Sequence[Quota]:
        """How many images a region may hold; how many it holds is not said."""
        told = await self.client.read(call(QUOTA, region, {}))
        most = told.content.get("ImageNumQuota")
        return [Quota("images", most)] if isinstance(most, int) else []

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket by the host of the images' region."""
        return await self.objects.bucket(bucket, region)
