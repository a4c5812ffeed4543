"""Recording deliveries: once each, whatever is repeated."""

from __future__ import annotations

import pytest

from imageferry.ports import Admitted, DueLook, Ignored, Ledger, LookDone, LookLater, Recorded, Sighting, Unreadable
from support.ledgers import ELSEWHERE, HOUR, NOW, PLACE, decided, look, sighting


async def due(ledger: Ledger, now: int = NOW) -> list[DueLook]:
    return await ledger.due_looks(PLACE.account, PLACE.region, now, 100)


async def test_an_accepted_event_makes_its_image_due_at_once(ledger: Ledger) -> None:
    recorded = await ledger.record([sighting("img-1")], NOW)
    assert recorded == Recorded(accepted=1, duplicate=0, ignored=0, dead=0)
    assert await due(ledger) == [DueLook(PLACE, "img-1", attempts=0, first_seen_at=NOW, priority=0, version=1)]


async def test_every_kind_of_delivery_is_counted_as_what_it_became(ledger: Ledger) -> None:
    stranger = Sighting("kafka/images", "e-9", "tencent", None, "ap-nowhere", "img-9")
    batch = [
        sighting("img-1", "e-1"),
        sighting("img-2", "e-2"),
        Ignored(stranger, "region ap-nowhere is not configured"),
        Unreadable("kafka:images[0]@4", "not JSON", b"{"),
        sighting("img-1", "e-1"),
    ]
    assert await ledger.record(batch, NOW) == Recorded(accepted=2, duplicate=1, ignored=1, dead=1)


async def test_a_repeated_batch_changes_nothing(ledger: Ledger) -> None:
    batch = [
        sighting("img-1"),
        Ignored(sighting("img-2").sighting, "not configured"),
        Unreadable("kafka:images[0]@4", "not JSON", b"{"),
    ]
    await ledger.record(batch, NOW)
    assert await ledger.record(batch, NOW + HOUR) == Recorded(accepted=0, duplicate=3, ignored=0, dead=0)
    [row] = await due(ledger)
    assert (row.version, row.first_seen_at) == (1, NOW)


async def test_a_repeat_within_one_batch_counts_once(ledger: Ledger) -> None:
    recorded = await ledger.record([sighting("img-1", "e-1")] * 3, NOW)
    assert recorded == Recorded(accepted=1, duplicate=2, ignored=0, dead=0)


async def test_the_same_event_id_from_another_source_is_another_event(ledger: Ledger) -> None:
    first = sighting("img-1", "e-1")
    other = Admitted(first.sighting._replace(source="file/events"), PLACE)
    assert (await ledger.record([first, other], NOW)).accepted == 2


async def test_events_are_told_apart_wherever_source_and_id_meet(ledger: Ledger) -> None:
    first = sighting("img-1", "bc")._replace(sighting=sighting("img-1", "bc").sighting._replace(source="a"))
    other = sighting("img-1", "c")._replace(sighting=sighting("img-1", "c").sighting._replace(source="ab"))
    assert (await ledger.record([first, other], NOW)).accepted == 2


async def test_of_a_large_batch_only_what_is_new_makes_images_due_again(ledger: Ledger) -> None:
    await ledger.record([sighting(f"img-{n}") for n in range(0, 2500, 2)], NOW)
    recorded = await ledger.record([sighting(f"img-{n}") for n in range(2500)], NOW + HOUR)
    assert recorded == Recorded(accepted=1250, duplicate=1250, ignored=0, dead=0)
    rows = await ledger.due_looks(PLACE.account, PLACE.region, NOW + HOUR, 3000)
    assert {row.image_id: row.first_seen_at for row in rows} == {f"img-{n}": NOW + n % 2 * HOUR for n in range(2500)}
    assert {row.version for row in rows} == {1}


async def test_many_events_of_one_image_make_one_look(ledger: Ledger) -> None:
    recorded = await ledger.record([sighting("img-1", f"e-{n}") for n in range(500)], NOW)
    assert recorded.accepted == 500
    assert [(row.image_id, row.version) for row in await due(ledger)] == [("img-1", 1)]


@pytest.mark.parametrize("size", [1, 7, 8, 41, 249, 2000])
async def test_batches_of_any_size_are_recorded_whole(ledger: Ledger, size: int) -> None:
    recorded = await ledger.record([sighting(f"img-{n}") for n in range(size)], NOW)
    assert recorded == Recorded(accepted=size, duplicate=0, ignored=0, dead=0)
    assert await ledger.open_work() == (size, 0)


async def test_an_empty_batch_is_nothing(ledger: Ledger) -> None:
    assert await ledger.record([], NOW) == Recorded(0, 0, 0, 0)


async def test_a_new_event_makes_a_decided_image_due_again(ledger: Ledger) -> None:
    await ledger.close_looks([decided(await look(ledger, "img-1"))], NOW)
    await ledger.record([sighting("img-1", "second")], NOW + HOUR)
    [row] = await due(ledger, NOW + HOUR)
    assert (row.first_seen_at, row.attempts) == (NOW + HOUR, 0)


async def test_a_new_event_brings_a_look_that_was_put_off_forward_and_keeps_its_beginning(ledger: Ledger) -> None:
    first = await look(ledger, "img-1")
    await ledger.put_off_looks([LookLater(first, NOW + 9 * HOUR, "not ready")], NOW)
    await ledger.record([sighting("img-1", "second")], NOW + HOUR)
    [row] = await due(ledger, NOW + HOUR)
    assert (row.first_seen_at, row.attempts) == (NOW, 1)
    assert row.version > first.version


async def test_the_same_image_id_at_another_place_is_another_image(ledger: Ledger) -> None:
    await ledger.record([sighting("img-1", "here"), sighting("img-1", "there", ELSEWHERE)], NOW)
    assert [row.place for row in await ledger.image("img-1")] == [PLACE, ELSEWHERE]


async def test_an_ignored_event_makes_nothing_due(ledger: Ledger) -> None:
    await ledger.record([Ignored(sighting("img-1").sighting, "not configured")], NOW)
    assert await ledger.open_work() == (0, 0)


async def test_a_dead_letter_keeps_its_bytes_and_its_reason(ledger: Ledger) -> None:
    await ledger.record([Unreadable("kafka:images[3]@41", "not JSON", b"\x00\xff{")], NOW)
    [letter] = await ledger.dead_letters()
    assert letter[1:5] == ("kafka:images[3]@41", NOW, "not JSON", b"\x00\xff{")


async def test_other_bytes_from_the_same_place_are_another_dead_letter(ledger: Ledger) -> None:
    await ledger.record([Unreadable("file:events.ndjson:1", "not JSON", b"{")], NOW)
    await ledger.record([Unreadable("file:events.ndjson:1", "not JSON", b"[")], NOW + 1)
    assert [letter.body for letter in await ledger.dead_letters()] == [b"[", b"{"]
    assert [letter.body for letter in await ledger.dead_letters(limit=1)] == [b"["]


async def test_text_that_is_no_unicode_is_recorded_readably_and_once(ledger: Ledger) -> None:
    broken = sighting("img-\ud800", "e-\udfff")
    assert (await ledger.record([sighting("img-1"), broken], NOW)).accepted == 2
    assert (await ledger.record([broken], NOW)).duplicate == 1
    assert [row.image_id for row in await due(ledger)] == ["img-1", "img-?"]


async def test_a_gone_image_is_due_again_when_an_event_tells_of_it(ledger: Ledger) -> None:
    await ledger.close_looks([LookDone(await look(ledger, "img-1"), "gone", "no such image")], NOW)
    await ledger.record([sighting("img-1", "second")], NOW + 1)
    [row] = await ledger.image("img-1")
    assert (row.outcome, row.due_at) == ("due", NOW + 1)
