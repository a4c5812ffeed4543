"""The one table of rehearsal clouds; ``demo`` and ``rehearse`` look a cloud's name up here."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from imageferry.ports import Clock
from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.huawei import HuaweiRehearsal
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.jdcloud import JdcloudRehearsal
from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.options import AcceptedKey, RehearsalOptions
from imageferry.rehearsal.tencent import TencentRehearsal


class Options(Protocol):
    """What can be set about every rehearsal cloud; each has more of its own."""

    @property
    def keys(self) -> tuple[AcceptedKey, ...]:
        """The key pairs that it lets in."""
        ...

    @property
    def account_id(self) -> str:
        """The account's id, as the vendor writes it."""
        ...

    @property
    def regions(self) -> tuple[str, ...]:
        """The regions that it has."""
        ...

    @property
    def buckets(self) -> Mapping[str, str]:
        """Name -> region."""
        ...


# A builder takes the options of its own cloud, those that stand beside it.
RehearsalBuilder = Callable[[Any, Clock, random.Random], Rehearsal]

_TABLE: Final[Mapping[str, tuple[RehearsalBuilder, type[Options]]]] = {
    "tencent": (TencentRehearsal, RehearsalOptions),
    "aliyun": (AliyunRehearsal, AliyunOptions),
    "huawei": (HuaweiRehearsal, HuaweiOptions),
    "jdcloud": (JdcloudRehearsal, JdcloudOptions),
}

REHEARSALS: Final[Mapping[str, RehearsalBuilder]] = {cloud: build for cloud, (build, _) in _TABLE.items()}
"""Cloud name -> builder; a rehearsal of a cloud behaves like that cloud's own API."""

OPTIONS: Final[Mapping[str, type[Options]]] = {cloud: options for cloud, (_, options) in _TABLE.items()}
"""Cloud name -> the options that its rehearsal is built with, as a type that can be read from JSON."""
