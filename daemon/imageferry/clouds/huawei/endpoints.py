"""Where Huawei Cloud's identity services are: a region's own, or the one that serves it where it has none.

The client and the credentials ask it. A configured identity endpoint serves everything; nothing here is sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageferry.clouds.huawei.facts import FACTS
from imageferry.core.account import Account

_GLOBAL: Final = "https://iam.myhuaweicloud.com"
_IDENTITY: Final[dict[str, str]] = {
    **dict.fromkeys(("af-north-1", "ap-southeast-5", "cn-north-11", "cn-south-4", "cn-southwest-3"), _GLOBAL),
    "eu-west-101": "https://iam.myhuaweicloud.eu",
}
"""Regions of the image service without an identity host of their own."""
_STS_REGIONS: Final = frozenset(
    (
        *("cn-north-4", "cn-south-1", "cn-east-3", "cn-southwest-2", "ap-southeast-1", "ap-southeast-2"),
        *("ap-southeast-3", "ap-southeast-4", "sa-brazil-1", "la-south-2", "af-south-1", "tr-west-1"),
    )
)
_STS_ELSEWHERE: Final = "cn-north-4"


def identity(account: Account, region: str) -> str:
    """The base URL of the identity service."""
    if account.identity_endpoint == FACTS.identity_endpoint and region in _IDENTITY:
        return _IDENTITY[region]
    return account.identity_endpoint.replace("{region}", region).rstrip("/")


def tokens(account: Account, region: str, environ: Mapping[str, str]) -> str:
    """The base URL of the token service (STS)."""
    if account.identity_endpoint != FACTS.identity_endpoint:
        return identity(account, region)
    own = environ.get("HUAWEICLOUD_SDK_STS_ENDPOINT")
    return own or f"https://sts.{region if region in _STS_REGIONS else _STS_ELSEWHERE}.myhuaweicloud.com"
