from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from imageferry.core.answers import Answer
from imageferry.core.image import Image, ImageState, Place
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import Admitted, Delivery, ImagePage, Ledger, LookDone, Partly, Sighting
from imageferry.sources.polling import FIRST_RETRY, PollingSource
from imageferry.sources.specs import PollingSpec
from imageferry.sources.surroundings import Surroundings, Watched
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.clouds import ScriptedCloud
from support.inbox import Inbox, running
from support.ledgers import PLACE, decided, look

HOUR = 3600 * SECOND
EVERY = 300.0
REFUSED = Refused(Answer("unanswered", "no answer within 20 s"))


def image(image_id: str, made: int | None = START - HOUR, state: ImageState = "ready", place: Place = PLACE) -> Image:
    return Image(place=place, id=image_id, name=f"Köln-{image_id}", state=state, created_at=made)


class Recording(Inbox):
    """An intake that also writes to the ledger, as the daemon's does."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.ledger = ledger
        self.duplicates = 0

    async def __call__(self, batch: Sequence[Delivery], /, *, source_type: str) -> None:
        rows = [Admitted(one, Place(one.cloud, one.account or "", one.region)) for one in batch if _said(one)]
        self.duplicates += (await self.ledger.record(rows, START)).duplicate
        await super().__call__(batch, source_type=source_type)


def _said(one: Delivery) -> bool:
    return isinstance(one, Sighting)


class Stage:
    """A polling source over clouds that list what a test has written down, and a real ledger."""

    def __init__(self, ledger: Ledger, clock: FakeClock) -> None:
        self.ledger = ledger
        self.clock = clock
        self.cloud = ScriptedCloud()
        self.metrics = Metrics()
        self.inbox = Recording(ledger)
        self.places: list[tuple[str, str, ScriptedCloud]] = [("prod", PLACE.region, self.cloud)]
        self.spec: dict[str, Any] = {"every": "5m"}

    def shows(self, *pages: Sequence[Image] | Exception, region: str = PLACE.region) -> None:
        self.cloud.pages[region] = list(pages)

    def source(self) -> PollingSource:
        watched = [Watched(account, region, cloud, self.ledger) for account, region, cloud in self.places]
        around = Surroundings([], self.clock, self.metrics, watched)
        return PollingSource(PollingSpec.model_validate(self.spec), "polling", around)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[PollingSource]:
        """The source, after the first round of every region."""
        source = self.source()
        async with running(source, self.inbox):
            await self.rounds_end()
            yield source

    async def rounds_end(self) -> None:
        """Wait until every region rests."""
        with anyio.fail_after(30):
            await self.clock.until_sleeping(len(self.places))

    async def again(self, seconds: float = EVERY) -> None:
        """Let time pass, and the rounds that are due then end."""
        self.clock.jump(seconds)
        await self.rounds_end()

    def lag(self, partition: str = f"prod/{PLACE.region}") -> float | None:
        return self.metrics.registry.get_sample_value(
            "imageferry_source_lag", {"source": "polling", "partition": partition}
        )

    @property
    def told(self) -> list[str]:
        return self.inbox.image_ids


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = FakeClock()
    async with open_ledger(f"sqlite://{tmp_path}/ledger.db", clock=clock) as ledger:
        yield Stage(ledger, clock)


# --- the first round -----------------------------------------------------------------------------------------------


async def test_the_first_round_only_takes_stock_and_the_next_tells_what_is_new(stage: Stage) -> None:
    stage.shows([image("old-1")], [image("old-2", None)])
    async with stage.running():
        assert stage.told == []
        stage.shows([image("old-1"), image("new", START + 60 * SECOND)], [image("old-2", None)])
        await stage.again()
        assert stage.told == ["new"]
        await stage.again()
        assert stage.told == ["new"]


async def test_since_lets_the_first_round_reach_back_by_the_vendors_clock(stage: Stage) -> None:
    stage.spec["since"] = "24h"
    stage.cloud.ahead = 2 * HOUR
    day = 24 * HOUR
    stage.shows([image("too-old", START - day + HOUR), image("young", START - day + 2 * HOUR), image("untimed", None)])
    async with stage.running():
        assert stage.told == ["young"]


async def test_an_image_that_is_not_ready_yet_is_told_of_once(stage: Stage) -> None:
    stage.shows([image("making", state="pending")])
    async with stage.running():
        assert stage.told == ["making"]
        stage.shows([image("making")])
        await stage.again()
        assert stage.told == ["making"]


async def test_what_came_while_a_first_round_failed_is_not_taken_for_old(stage: Stage) -> None:
    stage.shows([image("old")], REFUSED)
    async with stage.running():
        stage.shows([image("old")], [image("meanwhile", START + SECOND)])
        await stage.again(FIRST_RETRY)
        assert stage.told == ["meanwhile"]


async def test_news_reaches_as_far_as_the_first_attempt_over_a_restart(stage: Stage) -> None:
    stage.shows(REFUSED)
    async with stage.running():
        assert stage.told == []
    stage.clock.jump(3600)
    stage.shows([image("old"), image("meanwhile", START + 60 * SECOND)])
    async with stage.running():
        assert stage.told == ["meanwhile"]


# --- restarts and repeats ------------------------------------------------------------------------------------------


async def test_a_restart_goes_on_where_it_was(stage: Stage) -> None:
    stage.shows([image("old")])
    async with stage.running():
        pass
    stage.clock.jump(86_400)
    stage.shows([image("old"), image("while-down", START + HOUR)])
    async with stage.running():
        assert stage.told == ["while-down"]
    async with stage.running():
        assert stage.told == ["while-down"]


async def test_what_was_told_and_not_remembered_is_a_duplicate(stage: Stage) -> None:
    """As after a kill between the intake and the bookmark, and with the images given up since."""
    stage.shows([])
    async with stage.running():
        bookmark = await stage.ledger.cursor(f"polling/prod/{PLACE.region}")
        stage.shows([image("new", START), image("untimed", None)])
        await stage.again()
    assert bookmark is not None
    await stage.ledger.set_cursor(f"polling/prod/{PLACE.region}", bookmark, START)
    due = await stage.ledger.due_looks("prod", PLACE.region, START, 10)
    await stage.ledger.close_looks([LookDone(one, "gone", "not there") for one in due], START)
    async with stage.running():
        assert (stage.told, stage.inbox.duplicates) == (["new", "untimed", "new", "untimed"], 2)
    assert await stage.ledger.due_looks("prod", PLACE.region, START, 10) == []


async def test_what_an_event_told_already_is_not_told_again(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        await look(stage.ledger, "img-due")
        await stage.ledger.close_looks([decided(await look(stage.ledger, "img-decided"))], START)
        stage.shows([image("img-due"), image("img-decided"), image("img-new")])
        await stage.again()
        assert stage.told == ["img-new"]


async def test_what_a_backfill_asked_some_policies_about_is_told_to_all_of_them(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        await stage.ledger.put_in(PLACE, ["img-due", "img-decided"], ["dr"], START)
        due = await stage.ledger.due_looks("prod", PLACE.region, START, 10)
        await stage.ledger.close_looks([decided(one) for one in due if one.image_id == "img-decided"], START)
        stage.shows([image("img-due"), image("img-decided")])
        await stage.again()
        assert stage.told == ["img-due", "img-decided"]
        looks = await stage.ledger.due_looks("prod", PLACE.region, START, 10)
        assert {one.image_id: one.only for one in looks} == {"img-due": (), "img-decided": ()}


async def test_an_image_that_an_event_told_of_too_early_is_told_of_once_it_is_there(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        due = await look(stage.ledger, "img-early")
        await stage.ledger.close_looks([LookDone(due, "gone", "the cloud does not have it")], START)
        stage.shows([image("img-early")])
        await stage.again()
        await stage.again()
        assert stage.told == ["img-early"]


async def test_a_region_that_is_new_in_the_config_takes_stock_of_its_own(stage: Stage) -> None:
    stage.shows([image("old")])
    async with stage.running():
        pass
    stage.places.append(("prod", "ap-shanghai", stage.cloud))
    stage.shows([image("old-there")], region="ap-shanghai")
    async with stage.running():
        assert stage.told == []


# --- listings that are not as one would like -----------------------------------------------------------------------


async def test_an_image_that_is_left_out_of_one_listing_is_not_told_of_when_it_is_back(stage: Stage) -> None:
    stage.shows([image("a"), image("b")])
    async with stage.running():
        stage.shows([image("a")])
        await stage.again()
        stage.shows([image("a"), image("b")])
        await stage.again()
        assert stage.told == []


async def test_an_image_that_shows_late_is_told_of_though_younger_ones_were_listed_before(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        stage.shows([image("younger", START + 50 * SECOND)])
        await stage.again()
        stage.shows([image("younger", START + 50 * SECOND), image("late", START + 10 * SECOND)])
        await stage.again()
        assert stage.told == ["younger", "late"]


async def test_a_page_that_cannot_be_read_hides_only_itself_and_what_is_behind_it(stage: Stage) -> None:
    stage.shows([image("a")], [image("b")])
    async with stage.running() as source:
        stage.shows([image("a"), image("c", START)], REFUSED)
        await stage.again()
        assert (stage.told, "could not be listed" in (source.health() or "")) == (["c"], True)
        stage.shows([image("a"), image("c", START)], [image("b"), image("d", START)])
        await stage.again(FIRST_RETRY)
        assert (stage.told, source.health()) == (["c", "d"], None)


async def test_a_failed_image_is_told_of_when_it_turns_out_well(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        stage.shows([image("odd", START, "failed")])
        await stage.again()
        assert stage.told == []
        stage.shows([image("odd", START)])
        await stage.again()
        assert stage.told == ["odd"]


async def test_two_hundred_and_fifty_new_images_are_all_told_of(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        made = [image(f"img-{n}", START) for n in range(250)]
        stage.shows(made[:100], made[100:200], made[200:])
        await stage.again()
        assert sorted(stage.told) == sorted(one.id for one in made)


# --- accounts that do not answer -----------------------------------------------------------------------------------


class Hanging(ScriptedCloud):
    """Never answers."""

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        await anyio.sleep_forever()
        raise AssertionError(region, marker)


async def test_a_cloud_that_hangs_delays_no_other(stage: Stage) -> None:
    source_of_trouble = Hanging()
    stage.places.insert(0, ("stuck", PLACE.region, source_of_trouble))
    source = stage.source()
    async with running(source, stage.inbox):
        await stage.clock.until_sleeping(1)
        stage.shows([image("new", START)])
        stage.clock.jump(EVERY)
        await stage.inbox.until_count(1)
    assert stage.told == ["new"]


async def test_a_closed_account_is_said_and_does_not_make_the_source_unready(stage: Stage) -> None:
    closed = ScriptedCloud()
    closed.pages[PLACE.region] = [CircuitOpen("stuck", "its keys were refused")]
    stage.places.insert(0, ("stuck", PLACE.region, closed))
    async with stage.running() as source:
        health = source.health()
        assert isinstance(health, Partly)
        assert str(health) == (
            f"stuck/{PLACE.region} could not be listed: account stuck is closed off: its keys were refused"
        )
        closed.pages[PLACE.region] = [[]]
        await stage.again(FIRST_RETRY)
        assert source.health() is None


async def test_a_source_that_can_ask_nobody_is_not_well_at_all(stage: Stage) -> None:
    stage.shows(REFUSED)
    async with stage.running() as source:
        assert source.health() == f"prod/{PLACE.region} could not be listed: {REFUSED}"
        assert not isinstance(source.health(), Partly)
        assert not source.drained()


async def test_a_region_that_fails_is_asked_again_ever_later_and_said_once(stage: Stage) -> None:
    stage.shows(REFUSED)
    with capture_logs() as lines:
        async with stage.running():
            waits = []
            for _ in range(7):
                waits.append(await stage.clock.next())
                await stage.rounds_end()
    assert waits == [10.0, 20.0, 40.0, 80.0, 160.0, EVERY, EVERY]
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "a region could not be listed to its end"
    ]


# --- what is seen of it --------------------------------------------------------------------------------------------


async def test_the_lag_is_the_time_since_a_whole_round(stage: Stage) -> None:
    stage.shows([])
    async with stage.running():
        stage.clock.jump(100)
        assert stage.lag() == 100
        await stage.again(200)
        assert stage.lag() == 0
        stage.shows(REFUSED)
        await stage.again()
        assert stage.lag() == EVERY


async def test_a_sighting_names_the_place_and_is_the_same_for_the_same_image(stage: Stage) -> None:
    stage.spec["since"] = "1h"
    stage.shows([image("img-1", START - 1)])
    async with stage.running():
        source = f"/imageferry/polling/tencent/prod/{PLACE.region}"
        event_id = "img-1@2025-12-31T23:59:59.999999Z"
        assert stage.inbox.sightings == [Sighting(source, event_id, *PLACE, "img-1")]
        assert stage.inbox.types == {"polling"}


async def test_it_is_not_waited_for_when_idle(stage: Stage) -> None:
    assert (stage.source().finite, stage.source().drained()) == (False, False)


async def test_nothing_is_written_where_nothing_changed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = stage.ledger.set_cursor

    async def set_cursor(name: str, value: str, now: int) -> None:
        written.append(name)
        await write(name, value, now)

    monkeypatch.setattr(stage.ledger, "set_cursor", set_cursor)
    stage.shows([image("a")])
    async with stage.running():
        await stage.again()
        await stage.again()
    assert written == [f"polling/prod/{PLACE.region}"]
