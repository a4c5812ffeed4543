"""Every cloud there is, in one table; the app, the commands and the settings look a cloud's name up here.

To add a cloud, add its line. Nothing is built or asked by importing it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageferry.clouds.aliyun.entry import ENTRY as ALIYUN
from imageferry.clouds.entry import Builder, Entry, Reader
from imageferry.clouds.huawei.entry import ENTRY as HUAWEI
from imageferry.clouds.jdcloud.entry import ENTRY as JDCLOUD
from imageferry.clouds.tencent.entry import ENTRY as TENCENT

ENTRIES: Final[tuple[Entry, ...]] = (
    TENCENT,
    ALIYUN,
    HUAWEI,
    JDCLOUD,
)
"""In the order in which they are shown."""

CLOUDS: Final[Mapping[str, Builder]] = {each.facts.name: each.build for each in ENTRIES}
"""Cloud name -> builder of its adapter."""

APIS: Final[Mapping[str, tuple[str, ...]]] = {each.facts.name: each.apis for each in ENTRIES}
"""Cloud name -> what its adapter asks for, as the metrics name it."""

READERS: Final[tuple[Reader, ...]] = tuple(each.sightings for each in ENTRIES)
"""Asked in turn about every event that is not of the daemon's own type."""
