"""Where Alibaba Cloud's image API is: a region's own host, or the one that serves it where it has none.

The client and the credentials ask it. A configured endpoint serves everything; nothing here is sent.
"""

from __future__ import annotations

from typing import Final

from imageferry.clouds.aliyun.facts import FACTS
from imageferry.core.account import Account

_HANGZHOU: Final = "https://ecs-cn-hangzhou.aliyuncs.com"
_CENTRAL: Final = "https://ecs.aliyuncs.com"
_ELSEWHERE: Final[dict[str, str]] = {
    **dict.fromkeys(("cn-hangzhou", "cn-shanghai-finance-1", "cn-shenzhen-finance-1"), _HANGZHOU),
    **dict.fromkeys(("cn-north-2-gov-1", "cn-hangzhou-finance"), _CENTRAL),
}
"""Regions without a host of their own, as the vendor's SDK has them."""


def images(account: Account, region: str) -> str:
    """The base URL of the image API."""
    if account.endpoint == FACTS.endpoint and region in _ELSEWHERE:
        return _ELSEWHERE[region]
    return account.endpoint.replace("{region}", region).rstrip("/")


def tokens(account: Account, region: str, *, inner: bool = False) -> str:
    """The base URL of the token service (STS); without a region the one host that knows them all.

    ``inner``: the host inside a private network, where no address is configured.
    """
    base = account.identity_endpoint
    if inner and base == FACTS.identity_endpoint:
        base = base.replace("//sts.", "//sts-vpc.")
    if not region:
        return base.replace(".{region}", "").rstrip("/")
    return base.replace("{region}", region).rstrip("/")
