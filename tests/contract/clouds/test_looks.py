"""How every cloud reads images: many at once, some of them gone, none of them in the way of the others."""

from __future__ import annotations

import pytest

from imageferry.core.image import Image
from imageferry.core.job import ActionKind
from imageferry.errors import Refused
from imageferry.ports import Gone
from support.trials import KINDS, Begin

MANY = 230
HANDFUL = 30


async def test_hundreds_of_images_are_all_read_and_each_is_itself(begin: Begin) -> None:
    async with begin() as trial:
        names = {trial.image(name=f"web-{number}"): f"web-{number}" for number in range(MANY)}
        seen = await trial.stage.cloud.look(trial.entry.region, list(names))
        assert {each: look.name for each, look in seen.items() if isinstance(look, Image)} == names
        assert trial.asked(trial.entry.looks) <= HANDFUL


@pytest.mark.parametrize("others", [0, MANY], ids=["few images", "a full region"])
async def test_images_that_are_gone_spoil_nothing(begin: Begin, others: int) -> None:
    async with begin() as trial:
        for number in range(others):
            trial.image(name=f"other-{number}")
        known = [trial.image(name=f"web-{number}") for number in range(95)]
        missing = [trial.image(name=f"gone-{number}") for number in range(3)]
        for each in missing:
            trial.cloud.remove_image(trial.entry.region, each)
        asked = [*known[:50], *missing, trial.entry.nobody, *known[50:]]
        seen = await trial.stage.cloud.look(trial.entry.region, asked)
        assert set(seen) == set(asked)
        assert [each for each in known if not isinstance(seen[each], Image)] == []
        assert [each for each in (*missing, trial.entry.nobody) if not isinstance(seen[each], Gone)] == []
        assert trial.asked(trial.entry.looks) <= HANDFUL


async def test_an_id_that_is_none_spoils_nothing_either(begin: Begin) -> None:
    async with begin() as trial:
        known = [trial.image(name=f"web-{number}") for number in range(20)]
        seen = await trial.stage.cloud.look(trial.entry.region, [trial.entry.malformed, *known])
        assert [each for each in known if not isinstance(seen[each], Image)] == []
        assert isinstance(seen[trial.entry.malformed], Gone)


async def test_one_image_alone_may_be_gone(begin: Begin) -> None:
    async with begin() as trial:
        seen = await trial.stage.cloud.look(trial.entry.region, [trial.entry.nobody])
        assert isinstance(seen[trial.entry.nobody], Gone)


async def test_an_image_becomes_ready_and_says_so(begin: Begin) -> None:
    async with begin() as trial:
        image_id = trial.image(ready_seconds=60.0)
        first = (await trial.stage.cloud.look(trial.entry.region, [image_id]))[image_id]
        trial.stage.clock.jump(61)
        second = (await trial.stage.cloud.look(trial.entry.region, [image_id]))[image_id]
        assert isinstance(first, Image)
        assert isinstance(second, Image)
        assert (first.state, second.state) == ("pending", "ready")


async def test_an_image_that_fails_says_so(begin: Begin) -> None:
    async with begin() as trial:
        image_id = trial.image(fails=True)
        seen = (await trial.stage.cloud.look(trial.entry.region, [image_id]))[image_id]
        assert isinstance(seen, Image)
        assert seen.state == "failed"


async def test_what_an_image_is_is_read(begin: Begin) -> None:
    async with begin() as trial:
        linux = trial.image(name="prod-web", size_gib=40)
        windows = trial.image(name="desk", platform="Windows", os_name="Windows Server 2022 Datacenter 64bit")
        seen = await trial.stage.cloud.look(trial.entry.region, [linux, windows])
        one, other = seen[linux], seen[windows]
        assert isinstance(one, Image)
        assert isinstance(other, Image)
        assert (one.name, one.os, one.arch, one.size_gib) == ("prod-web", "linux", "x86_64", 40)
        assert (one.visibility, one.state, one.place.cloud) == ("private", "ready", trial.entry.cloud)
        assert other.os == "windows"


@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
async def test_an_answer_that_is_none_says_nothing_of_any_image(begin: Begin, fault: str) -> None:
    async with begin() as trial:
        image_id = trial.image()
        trial.misbehave(fault, trial.entry.looks)
        with pytest.raises(Refused) as refused:
            await trial.stage.cloud.look(trial.entry.region, [image_id])
        assert refused.value.answer.klass in ("retry", "unanswered")


@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
async def test_images_that_could_not_be_read_are_read_later(begin: Begin, fault: str) -> None:
    async with begin() as trial:
        trial.misbehave(fault, trial.entry.looks, count=2)
        image_id = await trial.job_of("export")
        for _ in range(3):
            trial.stage.clock.jump(30)
            await trial.stage.look(trial.wanted("export"))
        [job] = await trial.walked()
        assert (job.image_id, job.state) == (image_id, "succeeded")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ahead", [600.0, -600.0], ids=["ahead", "behind"])
async def test_a_vendor_whose_clock_is_ten_minutes_off_is_understood(
    begin: Begin, kind: ActionKind, ahead: float
) -> None:
    async with begin(clock_skew_seconds=ahead) as trial:
        image_id = await trial.job_of(kind)
        trial.misbehave("drop", kind, work="done", count=1)
        [job] = await trial.walked()
        assert job.state == "succeeded"
        assert trial.accepted == trial.once((kind, image_id, trial.target(kind)))
        now = trial.stage.clock.now()
        assert abs(trial.stage.cloud.vendor_time(now) - now - ahead * 1_000_000) < 5_000_000
