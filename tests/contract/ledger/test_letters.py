"""Dead letters that are read again, and what was ever said of one image."""

from __future__ import annotations

import pytest

from imageferry.core.image import Place
from imageferry.errors import MoveConflict
from imageferry.ports import EventRow, Ignored, Ledger, LetterHead, Recorded, Sighting, Unreadable
from support.ledgers import NOW, PLACE, sighting

HEADERS = (("ce_id", b"e-\xff"), ("ce_x", None), ("content-type", b"application/json"))


async def dead(ledger: Ledger, *bodies: bytes) -> list[int]:
    """The numbers of new letters with these bodies, oldest first."""
    await ledger.record([Unreadable(f"kafka:a[0]@{n}", "not JSON", body) for n, body in enumerate(bodies)], NOW)
    return [one.id for one in await ledger.dead_letters()][::-1]


async def test_a_dead_letter_keeps_its_headers(ledger: Ledger) -> None:
    await ledger.record([Unreadable("kafka:a[0]@1", "not JSON", b"{", HEADERS)], NOW)
    [letter] = await ledger.dead_letters()
    assert (letter.headers, letter.replayed_at, letter.outcome) == (HEADERS, None, "")
    assert await ledger.dead_letter(letter.id) == letter


async def test_a_dead_letter_that_is_not_there_is_none(ledger: Ledger) -> None:
    assert await ledger.dead_letter(1) is None


async def test_a_replayed_letter_is_marked_with_what_its_events_became(ledger: Ledger) -> None:
    [number] = await dead(ledger, b"{")
    await ledger.record([sighting("img-1")], NOW)
    recorded = await ledger.replay(number, [sighting("img-1"), sighting("img-2")], NOW + 5)
    assert recorded == Recorded(accepted=1, duplicate=1, ignored=0, dead=0)
    [letter] = await ledger.dead_letters()
    assert (letter.replayed_at, letter.outcome, letter.body) == (NOW + 5, "1 accepted, 1 duplicate", b"{")
    assert len(await ledger.image("img-2")) == 1


async def test_a_letter_is_replayed_once_and_nothing_is_recorded_the_second_time(ledger: Ledger) -> None:
    [number] = await dead(ledger, b"{")
    await ledger.replay(number, [sighting("img-1")], NOW)
    with pytest.raises(MoveConflict, match=f"dead letter {number} is not there, or was replayed already"):
        await ledger.replay(number, [sighting("img-2")], NOW)
    assert await ledger.image("img-2") == []


async def test_a_letter_that_says_nothing_of_an_image_is_done_with_too(ledger: Ledger) -> None:
    [number] = await dead(ledger, b"{")
    await ledger.replay(number, [], NOW)
    [letter] = await ledger.dead_letters()
    assert letter.outcome == "read: it says nothing of an image"


async def test_a_letter_that_stays_has_its_new_reason_and_one_that_was_replayed_keeps_the_old(ledger: Ledger) -> None:
    first, second = await dead(ledger, b"{", b"[")
    await ledger.replay(second, [], NOW)
    for number in (first, second):
        await ledger.still_dead(number, "another reason")
    assert [one.reason for one in await ledger.dead_letters()] == ["not JSON", "another reason"]


async def test_waiting_letters_are_those_that_were_not_replayed(ledger: Ledger) -> None:
    first, second, third = await dead(ledger, b"{", b"[", b"(")
    await ledger.replay(second, [], NOW)
    assert await ledger.waiting_letters(0, 10) == [first, third]
    assert await ledger.waiting_letters(first, 10) == [third]
    assert await ledger.waiting_letters(0, 1) == [first]


async def test_the_heads_of_letters_are_read_without_their_bytes(ledger: Ledger) -> None:
    first, second, third = await dead(ledger, b"{", b"\xc3\xa9\x00", b"(")
    await ledger.replay(third, [], NOW + 5)
    assert await ledger.letter_heads() == [
        LetterHead(third, "kafka:a[0]@2", NOW, "not JSON", 1, NOW + 5, "read: it says nothing of an image"),
        LetterHead(second, "kafka:a[0]@1", NOW, "not JSON", 3, None, ""),
        LetterHead(first, "kafka:a[0]@0", NOW, "not JSON", 1, None, ""),
    ]
    assert [one.id for one in await ledger.letter_heads(1, waiting=True)] == [second]


async def test_letters_about_an_image_are_found_by_their_bytes(ledger: Ledger) -> None:
    bodies = [b"\xff img-1" if n % 100 == 7 else b"img-%d" % (n + 1000) for n in range(250)]
    await dead(ledger, *bodies)
    found = await ledger.letters_about("img-1")
    assert [one.body for one in found] == [b"\xff img-1"] * 3


async def test_events_of_an_image_are_all_of_them_oldest_first(ledger: Ledger) -> None:
    elsewhere = Sighting("/b", "2", "huawei", None, "cn-north-4", "img-1")
    await ledger.record([sighting("img-1", "1"), sighting("img-2")], NOW)
    await ledger.record([Ignored(elsewhere, "not configured")], NOW + 1)
    assert await ledger.events_of("img-1") == [
        EventRow("kafka/images", "1", PLACE, NOW, None),
        EventRow("/b", "2", Place("huawei", "", "cn-north-4"), NOW + 1, "not configured"),
    ]
