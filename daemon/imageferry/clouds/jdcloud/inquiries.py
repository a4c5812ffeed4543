"""What ``check --online`` asks JD Cloud: IAM whose key it is, images and disks for their quotas, OSS for a bucket.

Nothing here is needed to export or copy, and nothing changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from imageferry.clouds.credentials import Credentials
from imageferry.clouds.jdcloud.client import Call, Client
from imageferry.clouds.jdcloud.storage import Storage
from imageferry.ports import Bucket, Identity, Quota

PIN: Final = "describeUserPin"
QUOTAS: Final = "describeQuotas"
DISK_QUOTA: Final = "describeQuota"

_IMAGES: Final = (("filters.1.name", "resourceTypes"), ("filters.1.values.1", "image"))


@dataclass(frozen=True, slots=True)
class Inquiries:
    """One account's answers; see ``ports.Inquirer``."""

    client: Client
    storage: Storage
    credentials: Credentials

    async def identity(self, region: str) -> Identity:
        """The name of the account that the key belongs to; its id is not told."""
        keys = await self.credentials.get()
        call = Call(PIN, region, "read", f"user:{PIN}", query=(("accessKey", keys.id),), service="iam")
        told = await self.client.read(call)
        return Identity("", str(told.content.get("pin") or ""))

    async def quotas(self, region: str) -> Sequence[Quota]:
        """Images and snapshots: a copy uses both."""
        images = await self.client.read(Call(QUOTAS, region, "read", "quotas", query=_IMAGES))
        disks = Call(DISK_QUOTA, region, "read", "quotas", query=(("type", "snapshot"),), service="disk")
        snapshots = await self.client.read(disks)
        listed = images.content.get("quotas")
        first = next(iter(listed), None) if isinstance(listed, list) else None
        return [*_quota("images", first), *_quota("snapshots", snapshots.content.get("quota"))]

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket by the host of the images' region."""
        return await self.storage.bucket(bucket, region)


def _quota(what: str, told: Any) -> list[Quota]:  # noqa: ANN401 - whatever the vendor's JSON holds there
    limit = told.get("limit") if isinstance(told, dict) else None
    used = told.get("used") if isinstance(told, dict) else None
    return [Quota(what, limit, used if isinstance(used, int) else None)] if isinstance(limit, int) else []
