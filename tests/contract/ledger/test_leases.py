"""Lanes are held by one owner at a time; bookmarks stay."""

from __future__ import annotations

import asyncio

from imageferry.ports import Ledger
from support.ledgers import HOUR, NOW

UNTIL = NOW + HOUR


async def test_free_lanes_are_taken(ledger: Ledger) -> None:
    assert await ledger.claim_lanes("a", ["l-1", "l-2"], NOW, UNTIL) == {"l-1", "l-2"}


async def test_a_held_lane_is_not_given_to_another(ledger: Ledger) -> None:
    await ledger.claim_lanes("a", ["l-1"], NOW, UNTIL)
    assert await ledger.claim_lanes("b", ["l-1", "l-2"], UNTIL - 1, UNTIL + HOUR) == {"l-2"}


async def test_an_expired_lane_is_given_to_another(ledger: Ledger) -> None:
    await ledger.claim_lanes("a", ["l-1"], NOW, UNTIL)
    assert await ledger.claim_lanes("b", ["l-1"], UNTIL, UNTIL + HOUR) == {"l-1"}
    assert await ledger.claim_lanes("a", ["l-1"], UNTIL, UNTIL + HOUR) == set()


async def test_an_owner_keeps_its_lanes_by_claiming_them_again(ledger: Ledger) -> None:
    await ledger.claim_lanes("a", ["l-1"], NOW, UNTIL)
    assert await ledger.claim_lanes("a", ["l-1"], UNTIL - 1, UNTIL + HOUR) == {"l-1"}
    assert await ledger.claim_lanes("b", ["l-1"], UNTIL, UNTIL + HOUR) == set()


async def test_released_lanes_are_free_and_those_of_others_stay_held(ledger: Ledger) -> None:
    await ledger.claim_lanes("a", ["l-1"], NOW, UNTIL)
    await ledger.claim_lanes("b", ["l-2"], NOW, UNTIL)
    await ledger.release_lanes("a")
    assert await ledger.claim_lanes("c", ["l-1", "l-2"], NOW, UNTIL) == {"l-1"}


async def test_of_many_contenders_one_gets_a_lane(ledger: Ledger) -> None:
    lanes = [f"l-{n}" for n in range(20)]
    held = await asyncio.gather(*(ledger.claim_lanes(f"owner-{n}", lanes, NOW, UNTIL) for n in range(8)))
    assert sorted(lane for some in held for lane in some) == sorted(lanes)


async def test_no_lanes_wanted_is_no_lanes_held(ledger: Ledger) -> None:
    assert await ledger.claim_lanes("a", [], NOW, UNTIL) == set()


async def test_a_bookmark_is_what_was_written_last(ledger: Ledger) -> None:
    assert await ledger.cursor("polling") is None
    await ledger.set_cursor("polling", "page 1", NOW)
    await ledger.set_cursor("polling", "page 2", NOW + 1)
    await ledger.set_cursor("file", "17", NOW)
    assert (await ledger.cursor("polling"), await ledger.cursor("file")) == ("page 2", "17")
