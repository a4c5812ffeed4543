from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result

from imageferry.core.image import Place
from imageferry.core.job import job_id, job_key
from imageferry.ledgers.sqlite import open_ledger
from support.clocks import FakeClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account, copy_to
from support.ledgers import new_job
from support.ledgers import plan as plan_jobs
from support.rehearsals import BUCKET, REGION

FACTS = {"name": "prod-1", "os": "linux", "visibility": "private", "is_copy": False}
HERE = Place("tencent", "prod", REGION)


@pytest.fixture
def house(tmp_path: Path) -> House:
    accounts = {"prod": account("http://127.0.0.1:9", regions=[REGION, "ap-shanghai"])}
    return House(tmp_path, accounts, [EXPORT_ALL, copy_to("ap-shanghai")])


def event(image_id: str = "img-00000001", region: str = REGION, **facts: Any) -> dict[str, Any]:
    data = {"cloud": "tencent", "region": region, "image_id": image_id, "image": {**FACTS, **facts}}
    return {
        "specversion": "1.0",
        "id": f"of-{image_id}",
        "source": "/t",
        "type": "io.imageferry.image.ready",
        "data": data,
    }


def plan(house: House, *events: Any, text: str | None = None) -> Result:
    file = house.folder / "asked.json"
    file.write_text(text if text is not None else "".join(json.dumps(each) + "\n" for each in events))
    return invoke("plan", "--config", house.config, "--format", "json", file)


def planned(house: House, *events: Any) -> dict[str, Any]:
    result = plan(house, *events)
    assert (result.exit_code, result.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_the_json_has_exactly_the_shape_that_is_documented(house: House) -> None:
    assert planned(house, event()) == {
        "images": [
            {
                "cloud": "tencent",
                "account": "prod",
                "region": REGION,
                "image_id": "img-00000001",
                "image_name": "prod-1",
                "verdicts": [
                    {"policy": "archive", "verdict": "match", "reason": "cloud is tencent, os is linux"},
                    {"policy": "dr", "verdict": "match", "reason": "cloud is tencent, os is linux"},
                ],
                "actions": [
                    {"action": "export", "destination": BUCKET, "policies": ["archive"], "refused": None, "job": None},
                    {"action": "copy", "destination": "ap-shanghai", "policies": ["dr"], "refused": None, "job": None},
                ],
            }
        ],
        "summary": {
            "images": 1,
            "match": 2,
            "no_match": 0,
            "unknown": 0,
            "actions": 2,
            "refused": 0,
            "existing": 0,
            "ignored": 0,
            "unreadable": 0,
        },
    }


def verdicts(house: House, **facts: Any) -> list[tuple[str, str]]:
    [image] = planned(house, event(**facts))["images"]
    return [(each["verdict"], each["reason"]) for each in image["verdicts"]]


def test_a_policy_that_does_not_match_says_which_matcher(house: House) -> None:
    assert verdicts(house, os="windows")[0] == ("no_match", "os is windows, wanted linux")


def test_what_the_event_does_not_say_stays_unknown(house: House) -> None:
    assert verdicts(house, os=None)[0] == ("unknown", "os is not known")


def test_what_is_unknown_plans_nothing(house: House) -> None:
    [image] = planned(house, event(os=None))["images"]
    assert image["actions"] == []


def test_an_image_whose_name_is_not_told_has_none(house: House) -> None:
    [image] = planned(house, event(name=None))["images"]
    assert image["image_name"] is None


def test_what_the_cloud_never_does_is_planned_as_refused_with_its_reason(house: House) -> None:
    answer = planned(house, event(encrypted=True))
    reasons = [action["refused"] for action in answer["images"][0]["actions"]]
    assert answer["summary"]["refused"] == 2
    assert all("never" in reason for reason in reasons)


async def test_a_job_that_exists_is_named_with_its_state(house: House) -> None:
    wanted = new_job("img-00000001", BUCKET, place=HERE)
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()) as ledger:
        await plan_jobs(ledger, wanted)
    answer = await aside(lambda: planned(house, event()))
    expected = {"id": job_id(job_key(HERE, "img-00000001", "export", BUCKET)), "state": "planned"}
    assert [action["job"] for action in answer["images"][0]["actions"]] == [expected, None]
    assert answer["summary"]["existing"] == 1


async def aside(call: Any) -> Any:
    """A command has a loop of its own, so it needs a thread of its own."""
    return await anyio.to_thread.run_sync(call)


def test_planning_makes_no_ledger(house: House) -> None:
    planned(house, event())
    assert not house.ledger.exists()


def test_an_unreadable_event_is_told_with_its_line_and_the_others_are_planned(house: House) -> None:
    result = plan(house, text=json.dumps(event()) + "\n{cut off\n")
    assert result.exit_code == 2
    assert f"{house.folder}/asked.json:2:1: cannot be read: not JSON" in result.stderr
    summary = json.loads(result.stdout)["summary"]
    assert (summary["images"], summary["unreadable"]) == (1, 1)


def test_json_that_is_nested_too_deeply_is_unreadable(house: House) -> None:
    result = plan(house, text="[" * 200_000)
    assert (result.exit_code, "asked.json:1:1: cannot be read: JSON that is nested" in result.stderr) == (2, True)


def test_a_name_with_control_characters_leaves_the_terminal_alone(house: House) -> None:
    file = house.folder / "asked.json"
    file.write_text(json.dumps(event(name="prod-\x1b[2J\n1")))
    result = invoke("plan", "--config", house.config, file)
    assert result.stdout.splitlines()[0] == rf"img-00000001 (prod-\x1b[2J\x0a1) at tencent/prod/{REGION}"


def test_an_event_of_a_region_that_is_not_configured_is_ignored_and_told(house: House) -> None:
    result = plan(house, event(region="ap-beijing"))
    assert (result.exit_code, json.loads(result.stdout)["summary"]["ignored"]) == (0, 1)
    assert "img-00000001 is ignored" in result.stderr


def test_a_fact_that_policies_do_not_know_is_told(house: House) -> None:
    result = plan(house, event(osname="Debian"))
    assert "did you mean os_name?" in result.stderr


def test_one_json_array_is_as_good_as_lines(house: House) -> None:
    result = plan(house, text=json.dumps([event("img-00000001"), event("img-00000002")], indent=1))
    assert [image["image_id"] for image in json.loads(result.stdout)["images"]] == ["img-00000001", "img-00000002"]


def test_an_array_is_told_of_event_by_event_and_may_be_larger_than_a_delivery(house: House) -> None:
    text = json.dumps([event(), {"x": "y" * 1_000_000}, event("img-00000002"), 5, event("img-00000003")], indent=1)
    result = plan(house, text=text)
    assert [image["image_id"][-1] for image in json.loads(result.stdout)["images"]] == ["1", "2", "3"]
    line = 1 + text.splitlines().index(" 5,")
    first, second = result.stderr.splitlines()
    assert f":{line}:1: cannot be read: this is a number" in second
    assert f":{text.splitlines().index(' {', 2) + 1}:1: cannot be read: neither a CloudEvent nor" in first
    assert "too large" in plan(house, text=json.dumps([{"x": "y" * 1_100_000}])).stderr


def test_a_hyphen_reads_standard_input(house: House) -> None:
    result = invoke("plan", "--config", house.config, "--format", "json", "-", stdin=json.dumps(event()))
    assert json.loads(result.stdout)["summary"]["images"] == 1


def test_the_table_tells_the_same_to_people(house: House) -> None:
    (house.folder / "e.json").write_text(json.dumps(event(os="windows")))
    lines = invoke("plan", "--config", house.config, house.folder / "e.json").stdout.splitlines()
    assert lines[:2] == [
        f"img-00000001 (prod-1) at tencent/prod/{REGION}",
        "  no_match  archive: os is windows, wanted linux",
    ]


def test_other_json_is_read_through_the_mappings_of_the_config(tmp_path: Path) -> None:
    mapping = {"cloud": "'tencent'", "region": "place", "image_id": "made", "image": {"os": "system"}}
    sources = [{"type": "webhook", "listen": "127.0.0.1:0", "secret": "hush", "mapping": mapping}]
    house = House(tmp_path, {"prod": account("http://127.0.0.1:9", regions=[REGION])}, [EXPORT_ALL], sources=sources)
    [image] = planned(house, {"place": REGION, "made": "img-00000001", "system": "windows"})["images"]
    assert (image["image_id"], image["verdicts"][0]["reason"]) == ("img-00000001", "os is windows, wanted linux")


def test_without_events_it_is_a_usage_error(house: House) -> None:
    result = invoke("plan", "--config", house.config)
    assert (result.exit_code, "name at least one file" in result.stderr) == (2, True)


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_file_without_events_is_a_bad_file(house: House, content: str) -> None:
    result = plan(house, text=content)
    assert (result.exit_code, "there is no event in it" in result.stderr) == (2, True)


def test_a_file_that_is_not_there_is_a_bad_file(house: House) -> None:
    result = invoke("plan", "--config", house.config, house.folder / "none.json")
    assert (result.exit_code, "none.json:1:1: cannot be read" in result.stderr) == (2, True)
