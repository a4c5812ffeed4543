from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from imageferry.cli import progress as shows
from imageferry.core.job import job_id
from imageferry.ledgers.sqlite import open_ledger
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.clock import SystemClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account, copy_to
from support.ledgers import decided, new_job, sighting
from support.live import Held, held
from support.rehearsals import BUCKET, OTHER_REGION, REGION


async def planned(account: Held, *options: str) -> dict[str, Any]:
    result = await account.run("plan", "--live", "--format", "json", *options)
    assert result.exit_code == 0, result.output
    data: dict[str, Any] = json.loads(result.stdout)
    return data


async def test_everything_the_accounts_hold_is_put_before_the_policies(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        ids = {account.add(name=f"生产-{n}") for n in range(120)}
        there = account.add(region=OTHER_REGION, platform="Windows", os_name="Windows Server 2022")
        data = await planned(account)
    assert data["images"][-1] == {
        "cloud": "tencent",
        "account": "prod",
        "region": OTHER_REGION,
        "image_id": there,
        "image_name": there,
        "verdicts": [{"policy": "archive", "verdict": "no_match", "reason": "os is windows, wanted linux"}],
        "actions": [],
    }
    assert {image["image_id"] for image in data["images"][:-1]} == ids
    assert data["images"][0]["actions"] == [
        {"action": "export", "destination": BUCKET, "policies": ["archive"], "refused": None, "job": None}
    ]
    assert data["summary"] == {
        "images": 121,
        "match": 120,
        "no_match": 1,
        "unknown": 0,
        "actions": 120,
        "refused": 0,
        "existing": 0,
        "ignored": 0,
        "unreadable": 0,
    }


async def test_what_the_ledger_knows_is_shown(tmp_path: Path) -> None:
    async with held(tmp_path, [copy_to(OTHER_REGION)]) as account:
        image_id = account.add()
        job = new_job(image_id, OTHER_REGION, action="copy")
        async with open_ledger(f"sqlite://{account.house.ledger}", clock=SystemClock()) as ledger:
            await ledger.record([sighting(image_id)], 1)
            [look] = await ledger.due_looks("prod", REGION, 2, 10)
            await ledger.close_looks([decided(look, job)], 1)
        data = await planned(account)
    assert data["images"][0]["actions"][0]["job"] == {"id": job_id(job.key), "state": "planned"}
    assert data["summary"]["existing"] == 1


async def test_what_preflight_refuses_is_shown_with_its_reason(tmp_path: Path) -> None:
    elsewhere = {**EXPORT_ALL, "actions": [{"export": {"bucket": {OTHER_REGION: BUCKET}}}]}
    async with held(tmp_path, [elsewhere]) as account:
        account.add()
        data = await planned(account)
    assert data["summary"]["refused"] == 1
    [action] = data["images"][0]["actions"]
    assert (action["destination"], REGION in action["refused"]) == ("?", True)


async def test_failed_images_are_ignored_and_no_ledger_is_made(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add(fails=True)
        assert (await planned(account))["summary"]["ignored"] == 1
        assert not account.house.ledger.exists()


async def test_the_table_ends_with_the_summary_and_the_lines_go_to_standard_error(tmp_path: Path) -> None:
    async with held(tmp_path, regions=[REGION]) as account:
        image_id = account.add(name="web")
        result = await account.run("plan", "--live")
    assert result.stdout.splitlines()[0] == f"{image_id} (web) at tencent/prod/{REGION}"
    assert result.stdout.splitlines()[-1].startswith("images: 1, match: 1, no match: 0")
    assert result.stderr == f"tencent/prod/{REGION}: 1 image\n"


async def test_a_region_that_cannot_be_listed_is_said_and_the_others_are_shown(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        there = account.add(region=OTHER_REGION)
        fault = Misbehaviour(fault="code", action="DescribeImages", region=REGION, code="InternalError")
        account.server.misbehave(fault)
        result = await account.run("plan", "--live", "--format", "json")
    assert result.exit_code == 1
    assert f"imageferry: tencent/prod/{REGION} could not be listed to its end" in result.stderr
    assert [image["image_id"] for image in json.loads(result.stdout)["images"]] == [there]


async def test_one_region_alone_can_be_asked_for(tmp_path: Path) -> None:
    async with held(tmp_path) as account:
        account.add()
        there = account.add(region=OTHER_REGION)
        assert [image["image_id"] for image in (await planned(account, "--region", OTHER_REGION))["images"]] == [there]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "name at least one file of events, or - for standard input; or give --live alone"),
        (["--live", "events.ndjson"], "or give --live alone"),
        (["--region", REGION, "events.ndjson"], "--account and --region go with --live"),
    ],
)
def test_events_and_accounts_are_one_or_the_other(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    house = House(tmp_path, {"prod": account("http://127.0.0.1:9")})
    result = invoke("plan", "--config", house.config, *arguments)
    assert (result.exit_code, complaint in result.stderr) == (2, True)


# --- progress ------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_keeps_a_line_for_each_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    stream = Terminal()
    with shows.progress(stream, 2) as shown:
        shown.read(100)
        shown.read(50)
        shown.done("tencent/prod/[bold]ap-guangzhou: 150 images")
    text = stream.getvalue()
    assert "tencent/prod/[bold]ap-guangzhou: 150 images" in text
    assert "1/2" in text
    assert "150 images" in text.replace("[bold]ap-guangzhou: 150 images", "")


def test_a_pipe_shows_lines() -> None:
    stream = io.StringIO()
    with shows.progress(stream, 2) as shown:
        shown.read(100)
        shown.done("a/b/c: 100 images")
    assert stream.getvalue() == "a/b/c: 100 images\n"
