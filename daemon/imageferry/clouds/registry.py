"""Every cloud's adapter and reader of vendor events, by name; the app builds from it.

To add a cloud, add its lines here. Nothing is built or asked by importing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from imageferry.clouds.aliyun.adapter import APIS as ALIYUN_APIS
from imageferry.clouds.aliyun.adapter import build as aliyun
from imageferry.clouds.aliyun.events import sightings as aliyun_sightings
from imageferry.clouds.huawei.adapter import APIS as HUAWEI_APIS
from imageferry.clouds.huawei.adapter import build as huawei
from imageferry.clouds.huawei.events import sightings as huawei_sightings
from imageferry.clouds.jdcloud.adapter import APIS as JDCLOUD_APIS
from imageferry.clouds.jdcloud.adapter import build as jdcloud
from imageferry.clouds.jdcloud.events import sightings as jdcloud_sightings
from imageferry.clouds.tencent.adapter import APIS as TENCENT_APIS
from imageferry.clouds.tencent.adapter import build as tencent
from imageferry.clouds.tencent.events import sightings as tencent_sightings
from imageferry.core.account import Account
from imageferry.ports import Clock, Cloud, Gate, Sighting
from imageferry.telemetry.metrics import Metrics

Builder = Callable[[Account, Gate, Clock, Metrics], Cloud]
Reader = Callable[[Mapping[str, Any]], list[Sighting] | None]
"""A vendor's event -> what it sighted, or None where it is not that vendor's.

:raises ValueError: it is that vendor's, but cannot be read; the message says why.
"""

CLOUDS: Final[dict[str, Builder]] = {"tencent": tencent, "aliyun": aliyun, "huawei": huawei, "jdcloud": jdcloud}
"""Cloud name -> builder of its adapter."""

APIS: Final[dict[str, tuple[str, ...]]] = {
    "tencent": TENCENT_APIS,
    "aliyun": ALIYUN_APIS,
    "huawei": HUAWEI_APIS,
    "jdcloud": JDCLOUD_APIS,
}
"""Cloud name -> what its adapter asks for, as the metrics name it."""

READERS: Final[tuple[Reader, ...]] = (tencent_sightings, aliyun_sightings, huawei_sightings, jdcloud_sightings)
"""Asked in turn about every event that is not of the daemon's own type."""
