import random
from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Aim, Misbehaviour, Misbehaviours

EXPORT = Aim("ExportImages", "ap-guangzhou", ["img-00000001"], ["archive-1"])


def struck(faults: Misbehaviours, aim: Aim = EXPORT) -> str | None:
    _, fault = faults.strike_answer(aim)
    return fault.fault if fault else None


@pytest.mark.parametrize(
    "aim",
    [
        {},
        {"action": "ExportImages"},
        {"region": "ap-guangzhou"},
        {"image_id": "img-00000001"},
        {"destination": "archive-1"},
    ],
)
def test_a_fault_hits_what_it_is_aimed_at(aim: dict[str, Any]) -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", **aim))
    assert struck(faults) == "drop"


@pytest.mark.parametrize(
    "aim",
    [{"action": "SyncImages"}, {"region": "ap-tokyo"}, {"image_id": "img-00000002"}, {"destination": "archive-2"}],
)
def test_a_fault_passes_over_everything_else(aim: dict[str, Any]) -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", **aim))
    assert struck(faults) is None


def test_a_counted_fault_is_used_up() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="hang", count=2))
    assert [struck(faults) for _ in range(3)] == ["hang", "hang", None]
    assert faults.standing() == []


def test_an_improbable_fault_hits_about_as_often_as_it_says() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", probability=0.3))
    hits = sum(struck(faults) == "drop" for _ in range(1000))
    assert 250 < hits < 350
    assert faults.standing()[0].hits == hits


def test_the_first_fault_in_force_wins_and_the_others_keep_their_counts() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", count=1))
    faults.add(Misbehaviour(fault="hang", count=1))
    assert [struck(faults) for _ in range(3)] == ["drop", "hang", None]


def test_slowness_comes_on_top_of_another_fault() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="slow", after=2))
    faults.add(Misbehaviour(fault="status", status=502))
    faults.add(Misbehaviour(fault="slow", after=0.5))
    delay, fault = faults.strike_answer(EXPORT)
    assert (delay, fault and fault.status) == (2.5, 502)


def test_faults_of_tasks_do_not_befall_answers() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="task_fails", count=1))
    assert struck(faults) is None
    assert [each.fault for each in faults.strike_task(EXPORT)] == ["task_fails"]


def test_faults_of_answers_do_not_befall_tasks() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", count=1))
    assert faults.strike_task(EXPORT) == []
    assert struck(faults) == "drop"


def test_a_task_is_struck_once_by_each_kind() -> None:
    faults = Misbehaviours(random.Random(1))
    for after in (1, 2):
        faults.add(Misbehaviour(fault="object_late", after=after, count=1))
    faults.add(Misbehaviour(fault="object_empty"))
    assert [(each.fault, each.after) for each in faults.strike_task(EXPORT)] == [
        ("object_late", 1),
        ("object_empty", 0),
    ]


def test_dry_runs_can_be_spared() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop", dry_runs=False))
    assert struck(faults, Aim("ExportImages", dry_run=True)) is None


@pytest.mark.parametrize("kind", ["throttle", "code", "garbage"])
def test_faults_of_the_api_pass_over_storage(kind: Any) -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault=kind, count=1))
    assert struck(faults, Aim(HEAD_OBJECT)) is None
    assert struck(faults) == kind


def test_one_fault_is_taken_away_by_its_number() -> None:
    faults = Misbehaviours(random.Random(1))
    number = faults.add(Misbehaviour(fault="drop"))
    faults.add(Misbehaviour(fault="hang"))
    assert faults.remove(number) == 1
    assert struck(faults) == "hang"


def test_all_faults_are_taken_away_together() -> None:
    faults = Misbehaviours(random.Random(1))
    faults.add(Misbehaviour(fault="drop"))
    faults.add(Misbehaviour(fault="hang"))
    assert (faults.remove(), faults.remove(), struck(faults)) == (2, 0, None)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"fault": "drop", "probability": 1.5}, "probability"),
        ({"fault": "drop", "after": -1}, "after"),
        ({"fault": "drop", "count": 0}, "count"),
        ({"fault": "status", "status": 200}, "status"),
        ({"fault": "code", "action": HEAD_OBJECT}, "storage"),
    ],
)
def test_a_fault_that_means_nothing_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Misbehaviour(**wrong)
