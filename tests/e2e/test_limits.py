"""The limits, kept from outside: a daemon in a process of its own against rehearsal clouds that count and refuse."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, account, daemon_process, event
from support.rehearsals import image, served, tencent
from support.waiting import until

SECOND = 1_000_000
EXPORT = "ExportImages"
TASKS, SLOTS, TASK_SECONDS = 60, 5, 2.5
IDEAL = TASKS / SLOTS * TASK_SECONDS


def images(rehearsal: TencentRehearsal, count: int) -> list[str]:
    return [image(rehearsal, name=f"image-{number}") for number in range(count)]


def log_tail(house: House) -> str:
    return house.log.read_text()[-3000:]


# --- requests a second ----------------------------------------------------------------------------------------------

RATE, DUE = 20, 500


def arrivals(rehearsal: TencentRehearsal) -> list[int]:
    """When each export was asked for, as the cloud saw it, microseconds."""
    return [each.at for each in rehearsal.requests.last if each.action == EXPORT]


def most_within(seconds: float, times: Sequence[int]) -> int:
    """The most of these times that lie within any window of that length."""
    window: deque[int] = deque()
    most = 0
    for at in times:
        window.append(at)
        while window[0] <= at - seconds * SECOND:
            window.popleft()
        most = max(most, len(window))
    return most


@pytest.mark.parametrize("answer_seconds", [0, 2])
async def test_five_hundred_exports_hold_the_rate_and_never_exceed_it(tmp_path: Path, answer_seconds: float) -> None:
    rehearsal = tencent(SystemClock(), exports_running=None, export_seconds=1.0)
    if answer_seconds:
        rehearsal.misbehave(Misbehaviour(fault="slow", after=answer_seconds))
    ids = images(rehearsal, DUE)
    async with served(rehearsal) as url:
        limits = {"export": {"rate": f"{RATE}/s", "running": 1000}}
        house = House(tmp_path, {"prod": account(url, limits=limits, poll={"tasks": "2s", "images": "2s"})})
        house.tell([event(each) for each in ids])
        async with daemon_process(house):
            await until(lambda: rehearsal.requests.asked(EXPORT) >= DUE, within=60)
    asked = arrivals(rehearsal)
    held = (len(asked) - 1) * SECOND / (asked[-1] - asked[0])
    assert Counter(task.image_id for task in rehearsal.tasks) == dict.fromkeys(ids, 1)
    assert rehearsal.requests.throttled == 0
    assert most_within(0.9, asked) <= RATE
    assert held >= 0.95 * RATE


# --- tasks running at once ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Crowd:
    """A rehearsal with sixty due exports, and what became of them."""

    rehearsal: TencentRehearsal
    ids: Sequence[str]

    @classmethod
    def before(cls, slots: int | None) -> Crowd:
        """``slots``: how many tasks this cloud runs at once before it refuses; None: any number."""
        rehearsal = tencent(SystemClock(), exports_running=slots, export_seconds=TASK_SECONDS)
        return cls(rehearsal, images(rehearsal, TASKS))

    def events(self, name: str) -> list[dict[str, Any]]:
        return [{**event(each, account=name), "id": f"{name}-{each}"} for each in self.ids]

    @property
    def seconds(self) -> float:
        """From the first task's start to the last one's end."""
        tasks = self.rehearsal.tasks
        return (max(task.ends_at for task in tasks) - min(task.accepted_at for task in tasks)) / SECOND

    @property
    def most_running(self) -> int:
        """The most tasks that ran at once."""
        edges = [(task.accepted_at, 1) for task in self.rehearsal.tasks]
        edges += [(task.ends_at, -1) for task in self.rehearsal.tasks]
        return max(accumulate(change for _, change in sorted(edges)))

    @property
    def refused(self) -> int:
        return self.rehearsal.requests.answered("LimitExceeded", EXPORT)


async def test_five_slots_are_never_exceeded_and_never_left_empty_whether_configured_or_learned(
    tmp_path: Path,
) -> None:
    configured, learned = Crowd.before(slots=None), Crowd.before(slots=SLOTS)
    async with served(configured.rehearsal) as one, served(learned.rehearsal) as other:
        poll = {"tasks": "50ms", "images": "1s"}
        accounts = {
            "configured": account(one, account_id="1", limits={"export": {"running": SLOTS}}, poll=poll),
            "learned": account(other, account_id="2", poll=poll),
        }
        house = House(tmp_path, accounts)
        house.tell([*configured.events("configured"), *learned.events("learned")])
        async with daemon_process(house, "--until-idle") as process:
            with anyio.fail_after(90):
                assert await process.wait() == 0, log_tail(house)
    for crowd in (configured, learned):
        assert (len(crowd.rehearsal.tasks), crowd.most_running) == (TASKS, SLOTS)
        assert crowd.seconds <= 1.2 * IDEAL
    assert configured.refused == 0
    assert 1 <= learned.refused <= 3
