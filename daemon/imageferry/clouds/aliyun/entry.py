"""Alibaba Cloud's line in the registry."""

from __future__ import annotations

from typing import Final

from imageferry.clouds.aliyun.adapter import APIS, build
from imageferry.clouds.aliyun.events import sightings
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.entry import Entry

ENTRY: Final = Entry(FACTS, build, APIS, sightings)
