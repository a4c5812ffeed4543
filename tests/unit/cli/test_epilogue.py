from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imageferry.cli.epilogue import Outcome, announced, misses, told
from imageferry.cli.scenes import SCENES, Part
from imageferry.cli.show import Scenery
from imageferry.cli.stage import Stage
from imageferry.core.completion import completion_id
from imageferry.core.image import Place
from imageferry.core.job import Job
from imageferry.core.machine import State
from imageferry.ports import DeadLetter
from imageferry.rehearsal.tencent import TencentRehearsal
from support.rehearsals import tencent

SCENE = SCENES["tencent"]
EVENTS = {"accepted": 13, "duplicate": 1, "ignored": 0, "dead": 1}


def job(part: Part, what: str, state: State) -> Job:
    action, _, region = what.partition(" ")
    return Job(
        id=f"{part.image.name}-{what}",
        key="k" * 26,
        place=Place("tencent", "rehearsal-tencent", part.image.region),
        image_id=part.image.image_id,
        image_name=part.image.name,
        action="export" if action == "export" else "copy",
        destination=region or "a-bucket",
        options={},
        policies=("archive-production",),
        state=state,
        reason="why it is so",
        priority=0,
        version=1,
        created_at=0,
        due_at=0,
        give_up_at=0,
    )


def played(jobs: Sequence[Job], rehearsal: TencentRehearsal, **changes: object) -> Outcome:
    stage = Stage(SCENE, rehearsal, "http://127.0.0.1:1")
    scenery = Scenery(12.3, jobs, {}, {}, [])
    outcome = Outcome([stage], scenery, [completion_id(each) for each in jobs], [], EVENTS)
    return replace(outcome, **changes)  # type: ignore[arg-type] # each test changes another field


@pytest.fixture
def jobs() -> list[Job]:
    """Every job as the scene wants it."""
    return [job(part, what, state) for part in SCENE.parts for what, state in part.ends.items()]


@pytest.fixture
def rehearsal(jobs: list[Job]) -> TencentRehearsal:
    """A rehearsal that has started one task for each job that succeeded."""
    made = tencent()
    for each in jobs:
        if each.state == "succeeded":
            made.world.journal.accepted["ExportImages", each.image_id, each.destination] += 1
    return made


def test_a_play_as_it_should_be_misses_nothing(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    assert misses(played(jobs, rehearsal)) == []


def test_a_job_that_ended_otherwise_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    jobs[0] = replace(jobs[0], state="failed")
    assert "img-web00001 export is failed; it should be succeeded" in misses(played(jobs, rehearsal))


def test_a_job_that_is_not_there_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    assert "img-web00001 export is not there; it should be succeeded" in misses(played(jobs[1:], rehearsal))


def test_a_job_that_nobody_wanted_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    [temporary] = [part for part in SCENE.parts if not part.ends]
    extra = job(temporary, "export", "failed")
    assert misses(played([*jobs, extra], rehearsal)) == ["img-temp0001 export is failed; it should be not there"]


def test_a_second_task_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    rehearsal.world.journal.accepted["ExportImages", "img-web00001", "a-bucket"] += 1
    assert misses(played(jobs, rehearsal)) == [
        "img-web00001 has 2 tasks to a-bucket; it should be one",
        "9 tasks were started for 8 jobs that succeeded; it should be as many",
    ]


def test_an_end_that_was_not_announced_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    ids = [completion_id(each) for each in jobs[1:]]
    [missed] = misses(played(jobs, rehearsal, announced=ids))
    assert missed == f"1 ends were not announced: {completion_id(jobs[0])}"


def test_an_event_that_was_lost_is_missed(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    assert misses(played(jobs, rehearsal, events={**EVENTS, "dead": 0})) == ["0 events were dead; it should be 1"]


def test_the_story_names_what_was_done_refused_and_read_by_nobody(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    letter = DeadLetter(1, "file:/tmp/x/strange.ndjson:2#abc", 0, "not JSON", b"{")
    story = "\n".join(told(played(jobs, rehearsal, unread=[letter]), 100))
    assert "Done (8)" in story
    assert "prod-desktop: export, wanted by archive-production. Known without asking: why it is so" in story
    assert "strange.ndjson:2: kept as a dead letter: not JSON" in story


def test_no_line_of_the_story_is_wider_than_wanted(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    assert max(len(line) for line in told(played(jobs, rehearsal), 60)) <= 60


def test_a_refusal_of_the_cloud_is_told_apart(jobs: list[Job], rehearsal: TencentRehearsal) -> None:
    refused = [replace(each, vendor_code="A.B") if each.state == "failed" else each for each in jobs]
    story = "\n".join(told(played(refused, rehearsal), 100))
    assert ("Known without asking" in story, story.count("The cloud: why it is so")) == (False, 5)


def test_completions_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "completions.ndjson"
    assert announced(file) == []
    file.write_text('{"id": "a-1"}\n{"id": "b-1"}\n')
    assert announced(file) == ["a-1", "b-1"]
