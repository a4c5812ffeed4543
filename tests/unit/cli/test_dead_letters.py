from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result

from imageferry.control import ask, socket_path
from imageferry.flow.replay import MOST
from imageferry.ledgers.sqlite import open_ledger
from imageferry.ports import Headers, Unreadable
from support.clocks import FakeClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account, event, running_daemon
from support.events import binary, ready_event
from support.rehearsals import REGION
from support.waiting import until

MAPPING = {"cloud": "'tencent'", "region": "place", "image_id": "made", "id": "build"}
BUILT = json.dumps({"place": REGION, "made": "img-9", "build": 7}).encode()
KAFKA = {"type": "kafka", "bootstrap_servers": "127.0.0.1:9", "topics": ["builds"]}
NUMBERS = itertools.count(1)


def house(folder: Path, sources: Sequence[Mapping[str, Any]] = ()) -> House:
    return House(folder, {"prod": account("http://127.0.0.1:9")}, [EXPORT_ALL], sources=sources)


def letter(
    body: bytes, headers: Headers = (), source: str = "kafka:builds[0]@{}", reason: str = "not read"
) -> Unreadable:
    return Unreadable(source.format(next(NUMBERS)), reason, body, headers)


async def fill(at: House, *letters: Unreadable) -> None:
    async with open_ledger(f"sqlite://{at.ledger}", clock=FakeClock()) as ledger:
        await ledger.record(letters, FakeClock().now())


async def command(at: House, *arguments: str) -> Result:
    """A command has a loop of its own, so it needs a thread of its own."""
    call: Callable[[], Result] = lambda: invoke("dead-letters", arguments[0], "--config", at.config, *arguments[1:])  # noqa: E731
    return await anyio.to_thread.run_sync(call)


async def listed(at: House, *arguments: str) -> list[dict[str, Any]]:
    result = await command(at, "list", "--format", "json", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    rows: list[dict[str, Any]] = json.loads(result.stdout)
    return rows


async def images(at: House, image_id: str) -> int:
    async with at.reader() as reader:
        return len(await reader.image(image_id))


# --- list and show -------------------------------------------------------------------------------------------------


async def test_the_list_has_every_letter_newest_first(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(b"{"), letter(b"["))
    rows = await listed(at)
    assert [(row["id"], row["reason"], row["replayed_at"], row["outcome"]) for row in rows] == [
        (2, "not read", None, ""),
        (1, "not read", None, ""),
    ]
    assert rows[0]["received_at"].endswith("Z")
    assert rows[0]["source"].startswith("kafka:builds[0]@")
    assert [row["id"] for row in await listed(at, "--limit", "1")] == [2]


async def test_the_list_says_how_many_bytes_of_each_letter_there_are(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter("{ö".encode()), letter(b"[" + bytes(1_000_000)), letter(b"("))
    assert [row["bytes"] for row in await listed(at, "--limit", "2", "--waiting")] == [1, 1_000_001]
    assert [row["bytes"] for row in await listed(at)] == [1, 1_000_001, 3]


async def test_an_empty_list_says_so(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at)
    assert (await command(at, "list")).stdout == "no dead letters\n"


async def test_a_letter_is_shown_with_its_body_and_headers(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(b'{"a":\n"\x1b[1m"}', (("ce_id", b"e-1"), ("ce_x", None))))
    shown = json.loads((await command(at, "show", "--format", "json", "1")).stdout)
    assert (shown["body"], shown["headers"]) == ('{"a":\n"\x1b[1m"}', {"ce_id": "e-1", "ce_x": None})
    lines = (await command(at, "show", "1")).stdout.splitlines()
    assert lines[-2:] == ['{"a":', '"\\x1b[1m"}']
    assert "headers:       ce_id: e-1, ce_x: -" in lines


async def test_bytes_that_are_no_text_are_shown_as_base64(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(b"\xff\x00"))
    shown = json.loads((await command(at, "show", "--format", "json", "1")).stdout)
    assert (shown["body_base64"], "body" in shown) == ("/wA=", False)
    assert "body_base64:   /wA=" in (await command(at, "show", "1")).stdout


@pytest.mark.parametrize(("number", "code"), [("7", 1), ("x", 2), ("0", 2), (str(2**63), 2)])
async def test_a_letter_that_is_not_there_is_told(tmp_path: Path, number: str, code: int) -> None:
    at = house(tmp_path)
    await fill(at)
    assert (await command(at, "show", number)).exit_code == code


# --- replay --------------------------------------------------------------------------------------------------------


async def test_what_a_new_mapping_reads_becomes_an_event_and_the_letter_is_kept_as_history(tmp_path: Path) -> None:
    await fill(house(tmp_path), letter(BUILT))
    at = house(tmp_path, [{**KAFKA, "mapping": MAPPING}])
    result = await command(at, "replay", "1")
    assert (result.exit_code, result.stdout) == (0, "dead letter 1 is read: 1 accepted\n")
    [row] = await listed(at)
    assert (row["outcome"], row["replayed_at"] is not None, await images(at, "img-9")) == ("1 accepted", True, 1)
    assert await listed(at, "--waiting") == []


async def test_a_letter_is_replayed_once(tmp_path: Path) -> None:
    await fill(house(tmp_path), letter(BUILT))
    at = house(tmp_path, [{**KAFKA, "mapping": MAPPING}])
    await command(at, "replay", "1")
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 is read: was replayed before: 1 accepted\n"
    assert (await command(at, "replay", "--all")).stdout == "no dead letters\n"


async def test_what_still_cannot_be_read_stays_with_its_new_reason(tmp_path: Path) -> None:
    await fill(house(tmp_path), letter(b'{"place": "x"}'))
    at = house(tmp_path, [{**KAFKA, "mapping": MAPPING}])
    result = await command(at, "replay", "1")
    reason = 'mapping.image_id "made" yields nothing'
    assert (result.exit_code, result.stdout) == (1, f"dead letter 1 stays: {reason}\n")
    [row] = await listed(at, "--waiting")
    assert row["reason"] == reason


async def test_a_letter_of_which_only_the_beginning_was_kept_keeps_its_reason(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(b'{"a', reason="too large: 2000000 bytes"))
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 stays: too large: 2000000 bytes\n"


async def test_an_event_that_is_ignored_is_read_too(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(json.dumps(event("img-1", region="eu-frankfurt")).encode()))
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 is read: 1 ignored\n"


async def test_a_binary_message_is_replayed_by_the_headers_that_were_kept(tmp_path: Path) -> None:
    at = house(tmp_path)
    body, headers = binary(ready_event("img-1"))
    await fill(at, letter(body, headers))
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 is read: 1 accepted\n"
    assert await images(at, "img-1") == 1


async def test_a_line_of_a_file_is_read_as_that_file_is(tmp_path: Path) -> None:
    at = house(tmp_path)
    bare = json.dumps({"cloud": "tencent", "region": REGION, "image_id": "img-1"}).encode()
    await fill(at, letter(bare, source="file:/a b:c/events.ndjson:{}#0123456789ab"))
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 is read: 1 accepted\n"


async def test_of_a_batch_what_can_be_read_is_taken_and_the_rest_is_a_letter_of_its_own(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(b"[" + json.dumps(event("img-1")).encode() + b", 7]"))
    assert (await command(at, "replay", "1")).stdout == "dead letter 1 is read: 1 accepted, 1 dead\n"
    newest, first = await listed(at)
    assert (newest["source"], newest["bytes"]) == (first["source"] + "#1", 1)


async def test_all_are_replayed_however_many_there_are_and_those_that_stay_are_asked_once(tmp_path: Path) -> None:
    at = house(tmp_path)
    count = 2 * MOST + 3
    letters = [letter(b"{") if n % 2 else letter(json.dumps(event(f"img-{n}")).encode()) for n in range(count)]
    await fill(at, *letters)
    result = await command(at, "replay", "--all")
    lines = result.stdout.splitlines()
    assert (result.exit_code, len(lines), sum("is read" in line for line in lines)) == (1, count, count // 2 + 1)


@pytest.mark.parametrize("arguments", [(), ("--all", "1")])
async def test_which_letters_must_be_said(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert (await command(house(tmp_path), "replay", *arguments)).exit_code == 2


async def test_a_running_daemon_is_asked_and_looks_at_once(tmp_path: Path) -> None:
    at = house(tmp_path)
    await fill(at, letter(json.dumps(event("img-1")).encode()), letter(b"{"))
    async with running_daemon(at) as live:
        result = await command(at, "replay", "--all")
        counted = live.daemon.metrics.events_total.labels("kafka", "accepted")._value.get()

        async def looked() -> bool:
            async with at.reader() as reader:
                [row] = await reader.image("img-1")
                return "could not be read" in row.reason  # there is no cloud, but it was asked

        await until(looked)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "dead letter 1 is read: 1 accepted")
    assert counted == 1


@pytest.mark.parametrize("letters", [None, "1", [0], [2**63], ["1"], [True], list(range(1, MOST + 2))])
async def test_what_is_no_request_is_refused_by_the_daemon(tmp_path: Path, letters: object) -> None:
    at = house(tmp_path)
    async with running_daemon(at):
        answer = await ask(socket_path(at.ledger), {"do": "replay", "letters": letters})
    assert answer == {"error": f"this names no dead letters; a list of at most {MOST} numbers was expected"}
