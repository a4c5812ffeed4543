import random

import pytest

from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Misbehaviour, Misbehaviours
from imageferry.rehearsal.store import Store
from imageferry.rehearsal.telling import chosen, common_parts


def test_without_names_every_part_is_told_but_the_recent_requests() -> None:
    made = {"a": lambda: 1, "recent": lambda: 2}
    assert (chosen(made, ()), chosen(made, ["recent"])) == ({"a": 1}, {"recent": 2})


def test_only_what_is_asked_for_is_worked_out() -> None:
    made = {"a": lambda: 1, "b": lambda: 1 // 0}
    assert chosen(made, ["a"]) == {"a": 1}


def test_a_part_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="there are only a"):
        chosen({"a": lambda: 1}, ["a", "b"])


def test_faults_and_the_busiest_moments_are_told_as_every_cloud_tells_them() -> None:
    chance = random.Random(1)
    store, faults, journal = Store(chance), Misbehaviours(chance), Journal()
    faults.add(Misbehaviour(fault="drop", count=2))
    store.running("Export", "here").start(0, 10)
    parts = common_parts(store, faults, journal, {("List", "here"): 3}, 5)
    told = chosen(parts, ["misbehaviours", "requests", "running", "tasks", "objects"])
    assert told["misbehaviours"] == [{"id": 1, "fault": "drop", "left": 2, "hits": 0}]
    assert told["requests"]["busiest"] == [{"action": "List", "entry": "here", "most": 3}]
    assert told["running"] == [{"action": "Export", "scope": "here", "most": 1}]
    assert (told["tasks"], told["objects"]) == ([], [])
