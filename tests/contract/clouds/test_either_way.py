"""Each doubt about a vendor answered the other way by itself: the same small walk ends the same.

Some images to two buckets and to two regions, answers lost before and after the work, busy images, too many tasks.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cloud_table import CLOUD_TABLE, Doubt, Entry
from support.trials import KINDS, named, states, trial

DOUBTS = [
    pytest.param(entry, doubt, id=f"{entry.cloud}-{name}")
    for entry in CLOUD_TABLE.values()
    for name, doubt in entry.doubts.items()
]
IMAGES = 2
TAKES = 20.0
"""Seconds of a task: longer ones are looked at more often, a hundred times over."""


@pytest.mark.parametrize(("entry", "doubt"), DOUBTS)
async def test_a_small_walk_ends_the_same(tmp_path: Path, entry: Entry, doubt: Doubt) -> None:
    options = {"export_seconds": TAKES, "copy_seconds": TAKES, "exports_running": 3, "copies_running": 3}
    async with trial(tmp_path, entry, **{**options, **doubt.options}) as there:
        ids = [there.image(name=f"web-{number}") for number in range(IMAGES)]
        await there.decided(there.everywhere(), *ids, entry.nobody)
        for kind in KINDS:
            there.misbehave("drop", kind, image_id=ids[0], work="done", count=1)
            there.misbehave("drop", kind, image_id=ids[1], work="none", count=1)
            there.misbehave("status", kind, image_id=ids[1], work="late", after=60.0, count=1)
            there.refuse(entry.busy[kind], kind, image_id=ids[0], count=1)
        jobs = await there.walked(1000)
        assert states(jobs) == {"succeeded": 4 * IMAGES}
        exports = [("export", each, bucket) for each in ids for bucket in entry.buckets]
        copies = [("copy", each, region) for each in ids for region in (entry.other_region, entry.third_region)]
        assert there.accepted == there.once(*exports, *copies)  # type: ignore[arg-type] # literals
        assert named(jobs) == there.written
