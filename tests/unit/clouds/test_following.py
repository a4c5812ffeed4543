from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from anyio.lowlevel import checkpoint

from imageferry.clouds.following import by_action, some_at_once
from imageferry.core.image import Place
from imageferry.core.job import ActionKind
from imageferry.ports import Following, Progress
from support.adapters import job_at

PLACE = Place("tencent", "prod", "ap-guangzhou")
KINDS: tuple[ActionKind, ...] = ("export", "copy")


async def test_what_is_done_at_once_comes_in_order_and_is_never_more_than_was_said() -> None:
    running, most = 0, 0

    async def do(row: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(1 + row % 2):  # the second of two ends after the first of the next two has begun
            await checkpoint()
        running -= 1
        return row * 10

    assert await some_at_once(2, range(6), do) == [0, 10, 20, 30, 40, 50]
    assert most == 2


async def test_exports_and_copies_do_not_wait_for_each_other() -> None:
    copied = anyio.Event()
    asked = [Following(job_at(PLACE, kind, f"img-{n}", "there"), overdue=False) for n in range(2) for kind in KINDS]

    async def exports(some: Sequence[Following]) -> list[Progress]:
        await copied.wait()
        return [Progress(one.job.id, "running", "export") for one in some]

    async def copies(some: Sequence[Following]) -> list[Progress]:
        copied.set()
        return [Progress(one.job.id, "running", "copy") for one in some]

    with anyio.fail_after(10):
        told = {each.job_id: each.reason for each in await by_action(asked, exports=exports, copies=copies)}
    assert told == {one.job.id: one.job.action for one in asked}


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_asked_about_jobs_that_there_are_not(kind: ActionKind) -> None:
    calls: list[str] = []

    async def exports(some: Sequence[Following]) -> list[Progress]:
        calls.append("export")
        return []

    async def copies(some: Sequence[Following]) -> list[Progress]:
        calls.append("copy")
        return []

    asked = [Following(job_at(PLACE, kind, "img-1", "there"), overdue=False)]
    await by_action(asked, exports=exports, copies=copies)
    assert calls == [kind]
