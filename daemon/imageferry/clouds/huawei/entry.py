"""Huawei Cloud's line in the registry."""

from __future__ import annotations

from typing import Final

from imageferry.clouds.entry import Entry
from imageferry.clouds.huawei.adapter import APIS, build
from imageferry.clouds.huawei.events import sightings
from imageferry.clouds.huawei.facts import FACTS

ENTRY: Final = Entry(FACTS, build, APIS, sightings)
