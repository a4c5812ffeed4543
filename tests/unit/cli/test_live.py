from __future__ import annotations

from collections import deque

import pytest

from imageferry.cli.live import PASSING, SHARE, TRIES, Patient, slowed
from imageferry.core.account import Backoff
from imageferry.core.answers import ANSWER_CLASSES, Answer
from imageferry.errors import Refused
from imageferry.ports import ImagePage
from support.accounts import tencent_account
from support.clouds import ScriptedCloud
from support.stages import HastyClock

BACKOFF = Backoff(first=2.0, longest=3.0)


class Moody(ScriptedCloud):
    """Answers a listing as its list says, then well."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.moods = deque(answers)

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        page = await super().list_images(region, marker)
        if self.moods:
            raise Refused(Answer(self.moods.popleft(), "rehearsed"))  # type: ignore[arg-type] # a test's word
        return page


@pytest.mark.parametrize("klass", sorted(PASSING))
async def test_a_fault_that_passes_does_not_cost_the_listing(klass: str) -> None:
    cloud, clock = Moody(klass, klass), HastyClock()
    before = clock.monotonic()
    assert await Patient(cloud, clock, BACKOFF).list_images("here", "0") == ImagePage([], None)
    assert (cloud.listed, clock.monotonic() - before) == ([("here", "0")] * 3, 2.0 + 3.0)


async def test_a_fault_that_stays_is_said_after_a_few_times() -> None:
    cloud = Moody(*["retry"] * 9)
    with pytest.raises(Refused):
        await Patient(cloud, HastyClock(), BACKOFF).list_images("here")
    assert len(cloud.listed) == TRIES


@pytest.mark.parametrize("klass", sorted({*ANSWER_CLASSES} - PASSING - {"ok"}))
async def test_a_refusal_is_said_at_once(klass: str) -> None:
    cloud = Moody(klass)
    with pytest.raises(Refused):
        await Patient(cloud, HastyClock(), BACKOFF).list_images("here")
    assert len(cloud.listed) == 1


def test_beside_a_daemon_a_share_of_the_reads_is_taken_and_nothing_else_changes() -> None:
    account = tencent_account()
    changed = slowed(account, SHARE)
    assert changed.limits["read"].rate == account.limits["read"].rate / 4
    assert changed.limits["export"] == account.limits["export"]
    assert slowed(account, 1.0) == account
