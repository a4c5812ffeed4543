"""The one table of rehearsal clouds; ``demo`` and ``rehearse`` look a cloud's name up here."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from imageferry.ports import Clock
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.options import RehearsalOptions
from imageferry.rehearsal.tencent import TencentRehearsal

RehearsalBuilder = Callable[[RehearsalOptions, Clock, random.Random], Rehearsal]

REHEARSALS: Final[dict[str, RehearsalBuilder]] = {"tencent": TencentRehearsal}
"""Cloud name -> builder; a rehearsal of a cloud behaves like that cloud's own API."""
