"""How much of an export limit of 20 requests a second a daemon uses, and whether it ever uses more.

The daemon is a process of its own; the rehearsal enforces the limit and notes every arrival. Once its answers come at
once, and once each takes two seconds.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

from bench.arrivals import EXPORT, cloud
from bench.report import Row, Size, at_least
from bench.town import event, house, image_id, region
from imageferry.rehearsal.store import NewImage
from imageferry.rehearsal.windows import WINDOW
from support.daemons import daemon_process
from support.waiting import until

LIMIT = 20
AIM = 0.95
SLOW = 2.0
SLOWER_THAN_ALLOWED = 5.0


async def measure(size: Size, folder: Path) -> list[Row]:
    """The rate that is held with answers at once, and with answers after two seconds."""
    return [
        *await _held(folder / "prompt", size.exports, 0.0),
        *await _held(folder / "slow", size.slow_exports, SLOW),
    ]


async def _held(folder: Path, count: int, answer_after: float) -> list[Row]:
    async with cloud(export_seconds=0.5) as here:
        if answer_after:
            here.slow(answer_after)
        town = house(folder, here.url)
        for number in range(count):
            here.rehearsal.add_image(NewImage(region=region(number), image_id=image_id(number)))
        town.tell([json.loads(event(number)) for number in range(count)])
        arrived = here.arrivals[EXPORT]
        async with daemon_process(town):
            await until(lambda: len(arrived) >= count, 30 + SLOWER_THAN_ALLOWED * count / LIMIT)
        throttled = here.throttled
    answers = f"answers after {answer_after:g} s" if answer_after else "prompt answers"
    rate = (count - 1) / max(arrived[-1] - arrived[0], 1e-9)
    busiest = worst_window(arrived)
    within = Row(
        f"most exports within {WINDOW:g} s, {answers}",
        f"{busiest} ({throttled} throttled)",
        f"{LIMIT}",
        busiest / LIMIT,
        f"<= {LIMIT}, none throttled",
        busiest <= LIMIT and not throttled,
    )
    return [at_least(f"export rate held, {answers}, to the limit", rate, LIMIT, "/s", AIM), within]


def worst_window(at: Sequence[float], seconds: float = WINDOW) -> int:
    """The most moments that lie within any so many seconds."""
    return max((index + 1 - bisect_right(at, moment - seconds) for index, moment in enumerate(at)), default=0)
