"""Tencent Cloud's line in the registry."""

from __future__ import annotations

from typing import Final

from imageferry.clouds.entry import Entry
from imageferry.clouds.tencent.adapter import APIS, build
from imageferry.clouds.tencent.events import sightings
from imageferry.clouds.tencent.facts import FACTS

ENTRY: Final = Entry(FACTS, build, APIS, sightings)
