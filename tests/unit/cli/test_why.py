from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import Result

from imageferry.core.answers import Answer
from imageferry.core.decision import Verdict
from imageferry.core.image import Place
from imageferry.core.machine import State
from imageferry.ledgers.sqlite import SqliteLedger, open_ledger
from imageferry.ports import Ignored, LookDone, LookLater, Move, Sighting, Unreadable
from support.clocks import FakeClock
from support.commands import invoke
from support.daemons import EXPORT_ALL, House, account
from support.ledgers import ELSEWHERE, NOW, PLACE, decision, image, job_in, look, new_job, plan, sighting, step

SECOND = 1_000_000
HERE = "tencent/prod/ap-guangzhou"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path, {"prod": account("http://127.0.0.1:9")}, [EXPORT_ALL])


@asynccontextmanager
async def ledger_of(house: House) -> AsyncIterator[SqliteLedger]:
    async with open_ledger(f"sqlite://{house.ledger}", clock=FakeClock()) as ledger:
        yield ledger


async def why(house: House, *arguments: str) -> Result:
    """A command has a loop of its own, so it needs a thread of its own."""
    call: Callable[[], Result] = lambda: invoke("why", "--config", house.config, *arguments)  # noqa: E731
    return await anyio.to_thread.run_sync(call)


async def told(house: House, image_id: str = "img-1") -> dict[str, Any]:
    result = await why(house, "--format", "json", image_id)
    assert (result.exit_code, result.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


async def first_line(house: House) -> str:
    result = await why(house, "img-1")
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout.splitlines()[0]


async def test_an_image_that_the_ledger_does_not_know_is_exit_1(house: House) -> None:
    async with ledger_of(house) as ledger:
        await ledger.record([sighting("img-10")], NOW)
    result = await why(house, "img-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("imageferry: the ledger knows nothing of img-1: no event named it")


# --- the first line ------------------------------------------------------------------------------------------------


async def test_an_image_that_waits_for_a_look_says_why_and_when(house: House) -> None:
    async with ledger_of(house) as ledger:
        due = await look(ledger, "img-1")
        await ledger.put_off_looks([LookLater(due, NOW + 30 * SECOND, "the image is not ready yet")], NOW)
    line = await first_line(house)
    assert line.startswith(f"{HERE}: NOT DECIDED: it waits to be looked at, the next look is due 20")
    assert line.endswith(": the image is not ready yet")


@pytest.mark.parametrize("outcome", ["gone", "failed", "expired"])
async def test_an_image_that_could_not_be_looked_at_is_not_protected(house: House, outcome: Any) -> None:
    async with ledger_of(house) as ledger:
        await ledger.close_looks([LookDone(await look(ledger, "img-1"), outcome, "the reason")], NOW)
    assert await first_line(house) == f"{HERE}: NOT PROTECTED: the look ended as {outcome}: the reason"


async def decide(house: House, *verdicts: Verdict) -> None:
    async with ledger_of(house) as ledger:
        due = await look(ledger, "img-1")
        await ledger.close_looks([LookDone(due, "decided", "0 actions", decision(image("img-1"), *verdicts))], NOW)


async def test_an_image_that_no_policy_wants_says_every_policys_reason(house: House) -> None:
    await decide(house, Verdict("a", "no_match", "os is windows, wanted linux"), Verdict("b", "no_match", "no tag env"))
    assert await first_line(house) == (
        f"{HERE}: NOT WANTED: no policy wants it: a: os is windows, wanted linux; b: no tag env"
    )


async def test_an_image_that_a_policy_cannot_tell_of_says_what_is_unknown(house: House) -> None:
    await decide(house, Verdict("a", "no_match", "x"), Verdict("b", "unknown", "encrypted is not known"))
    assert await first_line(house) == f"{HERE}: NOT DECIDED: policy b could not tell: encrypted is not known"


async def test_a_policy_that_matches_and_leaves_nothing_to_do_is_told(house: House) -> None:
    await decide(house, Verdict("a", "match", "os is linux; ap-guangzhou is its own region, left out"))
    assert "NOT WANTED: policy a matches, but leaves nothing to do: os is linux; ap-guangzhou is" in (
        await first_line(house)
    )


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("planned", "ON THE WAY: the export to bucket is planned: policy archive: matches"),
        ("in_doubt", "ON THE WAY: the export to bucket is in_doubt: to in_doubt"),
        ("running", "ON THE WAY: the export to bucket is running: accepted"),
        ("succeeded", "PROTECTED: export to bucket (to succeeded)"),
        ("failed", "NOT PROTECTED: the export to bucket failed: to failed"),
        ("cancelled", "NOT PROTECTED: the export to bucket was cancelled: to cancelled"),
    ],
)
async def test_a_job_is_told_by_its_state(house: House, state: State, said: str) -> None:
    async with ledger_of(house) as ledger:
        await job_in(ledger, state)
    assert await first_line(house) == f"{HERE}: {said}"


async def test_of_several_jobs_the_worst_counts_with_the_vendors_own_words(house: House) -> None:
    async with ledger_of(house) as ledger:
        await job_in(ledger, "succeeded", destination="one")
        [job] = await plan(ledger, new_job(destination="two"), now=NOW + 1)
        job = await step(ledger, job, "submitting", NOW + 1)
        answer = Answer("permanent_image", "no", "InvalidImage.Encrypted", "req-9")
        await ledger.move([Move(job=job, to="failed", reason="the image is encrypted", answer=answer)], NOW + 2)
    assert await first_line(house) == (
        f"{HERE}: NOT PROTECTED: the export to two failed: the image is encrypted "
        "[permanent_image, InvalidImage.Encrypted, request req-9]; export to one: succeeded"
    )


async def test_what_the_reason_names_already_is_not_said_twice(house: House) -> None:
    async with ledger_of(house) as ledger:
        [job] = await plan(ledger, new_job(destination="two"), now=NOW)
        job = await step(ledger, job, "submitting", NOW)
        answer = Answer("permanent_image", "no", "InvalidImage.Encrypted", "req-9")
        await ledger.move([Move(job=job, to="failed", reason=str(answer), answer=answer)], NOW + 1)
    assert await first_line(house) == (
        f"{HERE}: NOT PROTECTED: the export to two failed: InvalidImage.Encrypted: no (request req-9) [permanent_image]"
    )


async def test_events_that_were_ignored_say_the_reason(house: House) -> None:
    async with ledger_of(house) as ledger:
        said = Sighting("/ci", "1", "tencent", None, "ap-nowhere", "img-1")
        await ledger.record([Ignored(said, "region ap-nowhere of account prod is not configured")], NOW)
    assert await first_line(house) == (
        "tencent/?/ap-nowhere: IGNORED: nothing is done about events from there: "
        "region ap-nowhere of account prod is not configured"
    )


async def test_an_image_that_only_a_dead_letter_mentions_is_told(house: House) -> None:
    async with ledger_of(house) as ledger:
        await ledger.record([Unreadable("kafka:a[0]@1", "region missing", b'{"id": "img-1"}')], NOW)
    lines = (await why(house, "img-1")).stdout.splitlines()
    assert lines[0] == "img-1: NOT KNOWN: no event about it could be read"
    assert "dead letter 1 from kafka:a[0]@1 mentions it and could not be read: region missing" in lines[2]


async def test_every_place_has_a_line(house: House) -> None:
    async with ledger_of(house) as ledger:
        await job_in(ledger, "succeeded")
        await job_in(ledger, "failed", place=ELSEWHERE, now=NOW + 1)
    lines = (await why(house, "img-1")).stdout.splitlines()
    assert [line.split(": ")[:2] for line in lines[:2]] == [
        [HERE, "PROTECTED"],
        ["tencent/prod/ap-shanghai", "NOT PROTECTED"],
    ]


# --- everything that happened --------------------------------------------------------------------------------------


async def test_everything_is_told_in_its_order(house: House) -> None:
    async with ledger_of(house) as ledger:
        job = await job_in(ledger, "planned", now=NOW + SECOND)
        await ledger.record([Unreadable("kafka:a[0]@1", "not JSON", b"{img-1")], NOW)
        job = await step(ledger, job, "submitting", NOW + 2 * SECOND)
        job = await step(ledger, job, "running", NOW + 3 * SECOND)
        await step(ledger, job, "succeeded", NOW + 4 * SECOND)
    answer = await told(house)
    entries = [(entry["what"], entry["text"]) for entry in answer["entries"]]
    moves = [
        f"export to bucket, job {job.id}, {move}"
        for move in (
            "begins as planned: policy archive: matches",
            "from planned to submitting: claimed",
            "from submitting to running: accepted [ok, request req-1]",
            "from running to succeeded: to succeeded",
        )
    ]
    assert entries == [
        ("dead letter", "dead letter 1 from kafka:a[0]@1 mentions it and could not be read: not JSON"),
        ("event", f"event img-1 {NOW + SECOND} bucket from kafka/images: it is to be looked at"),
        ("look", "last look: decided: decided; the cloud shows name name of img-1, state ready, os linux"),
        ("verdict", "policy archive: match: os is linux (policies digest-1)"),
        *(("job", move) for move in moves),
    ]
    assert [entry["at"] for entry in answer["entries"]] == sorted(entry["at"] for entry in answer["entries"])


async def test_the_json_has_the_verdicts_the_digest_and_the_jobs(house: House) -> None:
    async with ledger_of(house) as ledger:
        job = await job_in(ledger, "failed")
    [place] = (await told(house))["places"]
    assert Place(place["cloud"], place["account"], place["region"]) == PLACE
    assert (place["status"], place["conclusion"]) == ("not_protected", "the export to bucket failed: to failed")
    assert (place["digest"], [one["policy"] for one in place["verdicts"]]) == ("digest-1", ["archive"])
    assert [one["id"] for one in place["jobs"]] == [job.id]


async def test_a_name_with_control_characters_leaves_the_terminal_alone(house: House) -> None:
    async with ledger_of(house) as ledger:
        await ledger.record([sighting("img-1", "an\x1b[31m event")], NOW)
    assert "event an\\x1b[31m event from" in (await why(house, "img-1")).stdout
