from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from imageferry.core.job import BACKFILL
from imageferry.core.times import rfc3339
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import DueLook
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, copy_to
from support.daemons import account as account_at
from support.ledgers import decided, new_job, sighting
from support.live import DAY, Held, held
from support.rehearsals import BUCKET, OTHER_REGION, REGION

FAR = 2**60
SUM = "images: {images}, put in: {put_in}, waiting: 0, existing: 0, no match: {no_match}, undecided: 0, left out: 0"


async def due(house: House) -> dict[str, DueLook]:
    async with open_ledger(f"sqlite://{house.ledger}", clock=SystemClock()) as ledger:
        rows = [row for region in (REGION, OTHER_REGION) for row in await ledger.due_looks("prod", region, FAR, 1000)]
    return {row.image_id: row for row in rows}


async def put_in(account: Held, *options: str) -> dict[str, int]:
    """The tally of a run that went well."""
    result = await account.run("backfill", "--format", "json", *options)
    assert result.exit_code == 0, result.output
    tally: dict[str, int] = json.loads(result.stdout)["backfill"]
    return {name: count for name, count in tally.items() if count}


async def test_what_a_policy_wants_is_put_in_and_the_rest_is_counted(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        wanted, there = account.add(name="生产-☃"), account.add(region=OTHER_REGION)
        account.add(platform="Windows", os_name="Windows Server 2022")
        account.add(fails=True)
        assert await put_in(account) == {"images": 4, "put_in": 2, "no_match": 1, "left_out": 1}
        looks = await due(account.house)
        assert {(one.image_id, one.place.region, one.priority) for one in looks.values()} == {
            (wanted, REGION, BACKFILL),
            (there, OTHER_REGION, BACKFILL),
        }


async def test_the_table_says_each_region_and_the_sum(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add()
        result = await account.run("backfill")
        assert (result.exit_code, sorted(result.stderr.splitlines())) == (
            0,
            [f"tencent/prod/{REGION}: 1 image", f"tencent/prod/{OTHER_REGION}: 0 images"],
        )
        assert result.stdout == SUM.format(images=1, put_in=1, no_match=0) + "\n"


async def test_a_second_run_puts_nothing_in_twice(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        for _ in range(3):
            account.add()
        await put_in(account)
        before = await due(account.house)
        assert await put_in(account) == {"images": 3, "waiting": 3}
        assert await due(account.house) == before


async def test_images_whose_jobs_exist_are_passed_over(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        done, new = account.add(), account.add()
        async with open_ledger(f"sqlite://{account.house.ledger}", clock=SystemClock()) as ledger:
            await ledger.record([sighting(done)], 1)
            [look] = await ledger.due_looks("prod", REGION, FAR, 10)
            await ledger.close_looks([decided(look, new_job(done, BUCKET))], 1)
        assert await put_in(account) == {"images": 2, "put_in": 1, "existing": 1}
        assert {*await due(account.house)} == {new}


async def test_an_image_that_was_decided_and_is_wanted_now_is_put_in(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        image_id = account.add()
        async with open_ledger(f"sqlite://{account.house.ledger}", clock=SystemClock()) as ledger:
            await ledger.record([sighting(image_id)], 1)
            [look] = await ledger.due_looks("prod", REGION, FAR, 10)
            await ledger.close_looks([decided(look)], 1)
        assert await put_in(account) == {"images": 1, "put_in": 1}


async def test_a_copy_that_imageferry_made_is_no_image_to_put_in(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        copy = account.add(region=OTHER_REGION, name="copy-of-web")
        async with open_ledger(f"sqlite://{account.house.ledger}", clock=SystemClock()) as ledger:
            await ledger.record([sighting("img-source")], 1)
            [look] = await ledger.due_looks("prod", REGION, FAR, 10)
            job = new_job("img-source", OTHER_REGION, action="copy")
            await ledger.close_looks([decided(look, job)], 1)
            made = await ledger.job(job.key)
            assert made is not None
        _name(account.house, made.id, "copy-of-web")
        assert await put_in(account) == {"images": 1, "no_match": 1}
        assert copy not in await due(account.house)


def _name(house: House, job: str, name: str) -> None:
    """Let a copy job be one that has made an image of this name."""
    with closing(sqlite3.connect(house.ledger)) as connection, connection:
        connection.execute("UPDATE jobs SET made_name = ? WHERE id = ?", (name, job))


# --- options -------------------------------------------------------------------------------------------------------


async def test_one_policy_alone_is_asked_and_written_down(tmp_path: Path) -> None:
    windows = {**copy_to(OTHER_REGION, name="windows"), "match": {"os": "windows"}}
    async with held(tmp_path, [EXPORT_ALL, copy_to(OTHER_REGION), windows]) as account:
        linux = account.add()
        account.add(platform="Windows", os_name="Windows Server 2022")
        assert await put_in(account, "--policy", "dr") == {"images": 2, "put_in": 1, "no_match": 1}
        assert {one.image_id: one.only for one in (await due(account.house)).values()} == {linux: ("dr",)}
        assert await put_in(account, "--policy", "archive", "--policy", "dr") == {
            "images": 2,
            "waiting": 1,
            "no_match": 1,
        }
        assert {one.only for one in (await due(account.house)).values()} == {("archive", "dr")}


@pytest.mark.parametrize("since", ["30d", "{day}", "{time}"])
async def test_since_goes_by_the_time_of_creation(tmp_path: Path, since: str) -> None:
    async with held(tmp_path) as account:
        now = SystemClock().now()
        young = account.add(created_at=now - 10 * DAY)
        account.add(created_at=now - 40 * DAY)
        month = rfc3339(now - 30 * DAY)
        said = since.format(day=month[:10], time=month)
        assert await put_in(account, "--since", said) == {"images": 2, "put_in": 1, "left_out": 1}
        assert {*await due(account.house)} == {young}


async def test_a_limit_is_kept_and_the_next_run_goes_on(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        for _ in range(5):
            account.add()
        result = await account.run("backfill", "--limit", "2")
        assert "put in: 2" in result.stdout
        assert "the limit is reached; run it again for more" in result.stdout
        assert len(await due(account.house)) == 2
        assert (await put_in(account, "--limit", "2"))["put_in"] == 2
        assert (await put_in(account, "--limit", "2"))["put_in"] == 1
        assert len(await due(account.house)) == 5


async def test_account_and_region_leave_the_others_alone(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add()
        there = account.add(region=OTHER_REGION)
        assert await put_in(account, "--account", "prod", "--region", OTHER_REGION) == {"images": 1, "put_in": 1}
        assert {*await due(account.house)} == {there}


async def test_a_region_where_no_policy_could_match_is_not_asked(tmp_path: Path) -> None:
    here = {**EXPORT_ALL, "match": {"region": REGION}}
    everywhere = {**EXPORT_ALL, "name": "everywhere"}
    async with held(tmp_path, [here, everywhere]) as account:
        account.add(region=OTHER_REGION)
        assert await put_in(account, "--policy", "archive") == {}
        assert account.server.requests.asked("DescribeImages") == 1
        assert await put_in(account) == {"images": 1, "put_in": 1}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--policy", "archiv"], "--policy archiv is not configured; did you mean archive?"),
        (["--account", "prd"], "--account prd is not configured; did you mean prod?"),
        (["--region", "eu-nowhere-9"], f"--region eu-nowhere-9 is not configured; expected one of {REGION}"),
        (["--since", "yesterday"], "'yesterday' is no time; expected one such as 30d"),
        (["--since", "2026-13-01"], "'2026-13-01' is no time"),
        (["--since", "2026-01-01T00:00:00"], "is no time"),
        (["--limit", "0"], "0 is not in the range"),
    ],
)
def test_an_option_that_means_nothing_is_said(tmp_path: Path, options: list[str], complaint: str) -> None:
    house = House(tmp_path, {"prod": account_at("http://127.0.0.1:9")})
    result = invoke("backfill", "--config", house.config, *options)
    assert (result.exit_code, complaint in result.stderr) == (2, True), result.stderr
    assert not house.ledger.exists()


# --- a dry run -----------------------------------------------------------------------------------------------------


async def test_a_dry_run_shows_what_would_be_put_in_and_writes_nothing(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        wanted = account.add(name="web")
        account.add(platform="Windows", os_name="Windows Server 2022")
        result = await account.run("backfill", "--dry-run")
        assert result.exit_code == 0
        assert result.stdout.splitlines() == [
            f"{wanted} (web) at tencent/prod/{REGION}",
            "  match     archive: cloud is tencent, os is linux",
            f"  -> export to {BUCKET} (archive)",
            "",
            result.stdout.splitlines()[-2],
            "nothing was written; " + SUM.format(images=2, put_in=1, no_match=1),
        ]
        assert result.stdout.splitlines()[-2].startswith("images: 1, match: 1, no match: 0")
        assert not account.house.ledger.exists()


async def test_a_dry_run_as_json_has_the_shape_of_plan(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        wanted = account.add(name="web")
        data = json.loads((await account.run("backfill", "--dry-run", "--format", "json")).stdout)
        assert [(each["image_id"], each["actions"][0]["destination"]) for each in data["images"]] == [(wanted, BUCKET)]
        assert (data["summary"]["actions"], data["backfill"]["put_in"]) == (1, 1)


async def test_a_dry_run_passes_over_what_waits_and_keeps_to_the_limit(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        for _ in range(4):
            account.add()
        await put_in(account, "--limit", "1")
        tally = await put_in(account, "--dry-run", "--limit", "2")
        assert (tally["put_in"], tally["waiting"]) == (2, 1)
        assert len(await due(account.house)) == 1


# --- what goes wrong -----------------------------------------------------------------------------------------------


async def test_a_region_that_cannot_be_listed_is_said_and_the_others_go_on(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add()
        there = account.add(region=OTHER_REGION)
        account.server.misbehave(
            Misbehaviour(fault="code", action="DescribeImages", region=REGION, code="InternalError")
        )
        result = await account.run("backfill", "--format", "json")
        assert result.exit_code == 1
        assert f"imageferry: tencent/prod/{REGION} could not be listed to its end: InternalError" in result.stderr
        assert json.loads(result.stdout)["backfill"]["put_in"] == 1
        assert {*await due(account.house)} == {there}


async def test_wrong_keys_are_said_after_one_request(tmp_path: Path) -> None:
    async with held(tmp_path, regions=[REGION]) as account:
        config = yaml.safe_load(account.house.config.read_text())
        config["accounts"]["prod"]["credentials"]["secret_key"] = "wrong-key-1"
        account.house.config.write_text(yaml.safe_dump(config))
        result = await account.run("backfill")
        assert (result.exit_code, "AuthFailure" in result.stderr) == (1, True)
        assert "wrong-key-1" not in result.output
        assert account.server.requests.asked("DescribeImages") == 1


async def test_a_ledger_that_another_program_holds_is_not_forced(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add()
        async with open_ledger(f"sqlite://{account.house.ledger}", clock=SystemClock()):
            result = await account.run("backfill")
        assert (result.exit_code, "the ledger is in use" in result.stderr) == (1, True)


async def test_what_no_policy_can_tell_of_is_counted_as_undecided(tmp_path: Path) -> None:
    unclear: dict[str, Any] = {**EXPORT_ALL, "match": {"cloud": "tencent", "encrypted": False}}
    async with held(tmp_path, [unclear]) as account:
        account.add()
        assert await put_in(account) == {"images": 1, "undecided": 1}
