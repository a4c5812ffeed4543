"""JD Cloud's line in the registry."""

from __future__ import annotations

from typing import Final

from imageferry.clouds.entry import Entry
from imageferry.clouds.jdcloud.adapter import APIS, build
from imageferry.clouds.jdcloud.events import sightings
from imageferry.clouds.jdcloud.facts import FACTS

ENTRY: Final = Entry(FACTS, build, APIS, sightings)
