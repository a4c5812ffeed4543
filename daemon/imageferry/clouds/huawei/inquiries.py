"""What ``check --online`` asks Huawei Cloud: IAM (or STS) whose keys they are, IMS its quota, OBS for a bucket.

Nothing here is needed to export or copy, and nothing changes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from imageferry.clouds.huawei.client import Call, Client
from imageferry.clouds.huawei.storage import Storage
from imageferry.ports import Bucket, Identity, Quota

DOMAINS: Final = "KeystoneListAuthDomains"
CALLER: Final = "GetCallerIdentity"
QUOTA: Final = "ShowImageQuota"


@dataclass(frozen=True, slots=True)
class Inquiries:
    """One account's answers; see ``ports.Inquirer``."""

    client: Client
    storage: Storage

    async def identity(self, region: str) -> Identity:
        """The account's id; IAM may show none to keys that STS knows all the same."""
        told = await self.client.read(Call(DOMAINS, region, "read", "v3/auth/domains", service="identity"))
        domains = told.content.get("domains")
        first = domains[0] if isinstance(domains, list) and domains and isinstance(domains[0], dict) else {}
        if first.get("id"):
            return Identity(str(first["id"]), str(first.get("name") or ""))
        told = await self.client.read(Call(CALLER, region, "read", "v5/caller-identity", service="tokens"))
        return Identity(str(told.content.get("account_id") or ""), str(told.content.get("principal_urn") or ""))

    async def quotas(self, region: str) -> Sequence[Quota]:
        """How many private images a region may hold, and holds."""
        told = await self.client.read(Call(QUOTA, region, "read", "v1/cloudimages/quota"))
        quotas = told.content.get("quotas")
        rows = quotas.get("resources") if isinstance(quotas, dict) else None
        return [
            Quota("images", row["quota"], row["used"] if isinstance(row.get("used"), int) else None)
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, dict) and row.get("type") == "image" and isinstance(row.get("quota"), int)
        ]

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket by the host of the images' region."""
        return await self.storage.bucket(bucket, region)
