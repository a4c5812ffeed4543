from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result

from imageferry.control import socket_path
from imageferry.core.image import Place
from imageferry.core.job import Job
from imageferry.core.machine import State
from imageferry.ledgers.sqlite import open_ledger
from support.clocks import FakeClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account, running_daemon
from support.ledgers import job_in
from support.rehearsals import REGION

PLACE_FIELDS = ["cloud", "account", "region", "image_id", "image_name", "action", "destination"]
TIMES = ["created_at", "submitted_at", "ended_at"]
FIELDS = [
    *("id", "key", "state", "reason", "class", "policies"),
    *PLACE_FIELDS,
    *("attempts", "task_ref", "request_id", "vendor_code", "object_keys"),
    *TIMES,
]
HERE = Place("tencent", "prod", REGION)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, {"prod": account("http://127.0.0.1:9")}, [EXPORT_ALL])


async def fill(house: House, *states: State) -> list[Job]:
    """A ledger with one job in each of these states, of images img-1, img-2, …"""
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()) as ledger:
        return [await job_in(ledger, state, f"img-{n}", place=HERE) for n, state in enumerate(states, 1)]


async def jobs(house: House, *arguments: str) -> Result:
    """A command has a loop of its own, so it needs a thread of its own."""
    call: Callable[[], Result] = lambda: invoke("jobs", arguments[0], "--config", house.config, *arguments[1:])  # noqa: E731
    return await anyio.to_thread.run_sync(call)


async def listed(house: House, *filters: str) -> list[dict[str, Any]]:
    result = await jobs(house, "list", "--format", "json", *filters)
    assert (result.exit_code, result.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


@asynccontextmanager
async def tended(house: House) -> AsyncIterator[House]:
    """A daemon that holds the ledger, but works in another region, so that it leaves these jobs alone."""
    elsewhere = House(house.folder, {"prod": account("http://127.0.0.1:9", regions=["ap-shanghai"])}, [EXPORT_ALL])
    async with running_daemon(elsewhere):
        yield elsewhere


# --- list ----------------------------------------------------------------------------------------------------------


async def test_a_list_has_every_field_that_is_documented(house: House) -> None:
    await fill(house, "planned")
    [row] = await listed(house)
    assert [name for name in FIELDS if name not in row] == []


async def test_a_list_shows_everything_unless_filtered(house: House) -> None:
    await fill(house, "planned", "running", "succeeded", "failed", "cancelled")
    assert {row["state"] for row in await listed(house)} == {
        "planned",
        "running",
        "succeeded",
        "failed",
        "cancelled",
    }


@pytest.mark.parametrize(
    ("filters", "images"),
    [
        (("--state", "failed"), {"img-2"}),
        (("--image", "img-1"), {"img-1"}),
        (("--policy", "archive"), {"img-1", "img-2"}),
        (("--policy", "another"), set()),
        (("--account", "prod", "--cloud", "tencent"), {"img-1", "img-2"}),
        (("--cloud", "huawei"), set()),
    ],
)
async def test_a_filter_leaves_what_fits(house: House, filters: tuple[str, ...], images: set[str]) -> None:
    await fill(house, "planned", "failed")
    assert {row["image_id"] for row in await listed(house, *filters)} == images


async def test_a_limit_leaves_so_many(house: House) -> None:
    await fill(house, "planned", "planned", "planned")
    assert len(await listed(house, "--limit", "2")) == 2


async def test_the_table_has_a_line_for_each_job(house: House) -> None:
    [job] = await fill(house, "failed")
    head, line = (await jobs(house, "list")).stdout.splitlines()
    assert (head.split()[:3], line.split()[:3]) == (["ID", "STATE", "ACTION"], [job.id, "failed", "export"])


async def test_an_empty_list_says_so(house: House) -> None:
    await fill(house)
    assert (await jobs(house, "list")).stdout == "no jobs\n"


async def test_an_unknown_state_is_a_usage_error(house: House) -> None:
    assert (await jobs(house, "list", "--state", "done")).exit_code == 2


async def test_without_a_ledger_it_says_where_it_looked(house: House) -> None:
    result = await jobs(house, "list")
    assert (result.exit_code, f"there is no ledger at {house.ledger}" in result.stderr) == (1, True)


async def test_a_list_works_beside_a_daemon(house: House) -> None:
    await fill(house, "failed")
    async with tended(house):
        assert [row["state"] for row in await listed(house)] == ["failed"]


# --- show ----------------------------------------------------------------------------------------------------------


async def test_show_tells_every_move_with_its_reason(house: House) -> None:
    [job] = await fill(house, "succeeded")
    shown = json.loads((await jobs(house, "show", "--format", "json", job.id)).stdout)
    moves = [(move["from"], move["to"]) for move in shown["history"]]
    assert moves == [("", "planned"), ("planned", "submitting"), ("submitting", "running"), ("running", "succeeded")]
    assert all(move["reason"] for move in shown["history"])


async def test_show_takes_the_beginning_of_an_id(house: House) -> None:
    [job] = await fill(house, "planned")
    assert json.loads((await jobs(house, "show", "--format", "json", job.id[:6])).stdout)["id"] == job.id


async def test_show_writes_lists_and_options_for_people(house: House) -> None:
    [job] = await fill(house, "planned")
    lines = (await jobs(house, "show", job.id)).stdout.splitlines()
    assert "policies:      archive" in lines
    assert "options:       format: qcow2" in lines
    assert "object_keys:   -" in lines


async def test_a_job_that_is_not_there_is_exit_1(house: House) -> None:
    await fill(house)
    result = await jobs(house, "show", "nothing")
    assert (result.exit_code, result.stderr) == (
        1,
        "imageferry: there is no job nothing; `imageferry jobs list` shows them\n",
    )


# --- retry and cancel, with and without a daemon --------------------------------------------------------------------


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_retry_plans_an_ended_job_anew(house: House, state: State) -> None:
    [job] = await fill(house, state)
    result = await jobs(house, "retry", job.id)
    assert (result.exit_code, result.stdout) == (0, f"job {job.id} is planned: retried by hand\n")
    [row] = await listed(house)
    assert (row["state"], row["attempt"]) == ("planned", 2)


async def test_cancel_ends_a_planned_job(house: House) -> None:
    [job] = await fill(house, "planned")
    result = await jobs(house, "cancel", job.id)
    assert (result.exit_code, result.stdout) == (0, f"job {job.id} is cancelled: cancelled by hand\n")


@pytest.mark.parametrize(
    ("do", "state", "why"),
    [
        ("retry", "succeeded", "there is nothing to retry"),
        ("retry", "running", "goes on by itself"),
        ("cancel", "running", "the cloud cannot stop a task"),
        ("cancel", "failed", "it has ended"),
    ],
)
async def test_what_cannot_be_steered_is_refused_with_its_reason(house: House, do: str, state: State, why: str) -> None:
    [job] = await fill(house, state)
    result = await jobs(house, do, job.id)
    assert (result.exit_code, why in result.stderr) == (1, True)
    assert [row["state"] for row in await listed(house)] == [state]


async def test_a_running_daemon_is_asked_to_retry(house: House) -> None:
    [job] = await fill(house, "failed")
    async with tended(house):
        assert socket_path(house.ledger).exists()
        result = await jobs(house, "retry", job.id)
    assert (result.exit_code, result.stdout) == (0, f"job {job.id} is planned: retried by hand\n")


async def test_a_running_daemons_refusal_is_told(house: House) -> None:
    [job] = await fill(house, "succeeded")
    async with tended(house):
        result = await jobs(house, "retry", job.id)
    assert (result.exit_code, "there is nothing to retry" in result.stderr) == (1, True)


async def test_a_cancellation_by_a_running_daemon_is_announced(house: House) -> None:
    [job] = await fill(house, "failed")
    async with tended(house):
        await jobs(house, "retry", job.id)
        result = await jobs(house, "cancel", job.id)
    assert result.exit_code == 0
    assert [event["type"] for event in house.completed()][-1] == "io.imageferry.job.cancelled"


async def test_a_socket_that_a_dead_daemon_left_is_no_daemon(house: House) -> None:
    [job] = await fill(house, "failed")
    async with await anyio.create_unix_listener(socket_path(house.ledger)):
        pass
    result = await jobs(house, "retry", job.id)
    assert result.exit_code == 0


async def test_a_ledger_that_is_held_without_a_socket_is_not_written(house: House) -> None:
    [job] = await fill(house, "failed")
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()):
        result = await jobs(house, "retry", job.id)
    assert (result.exit_code, "the ledger is in use" in result.stderr) == (1, True)
