from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imageferry.core.decision import Decision
from imageferry.core.policy import PolicySet
from imageferry.expressions.reader import Expressions
from imageferry.flow import undecided
from imageferry.flow.undecided import Undecided
from support.clouds import ScriptedCloud
from support.ledgers import PLACE
from support.policies import NOW, image, policies, policy, world
from support.stages import staged


def told(*decisions: Decision) -> list[tuple[str, str]]:
    teller = Undecided()
    with capture_logs() as lines:
        for decision in decisions:
            teller.tell(decision)
    return [(line["policy"], line["reason"]) for line in lines]


UNSURE = policies(policy("a", match={"os": "linux"}), policy("b", match={"arch": "x86_64"}))
DECISION = UNSURE.decide(image(os=None), world(), NOW)


def test_a_verdict_that_could_not_be_reached_is_told_once() -> None:
    assert told(DECISION, DECISION) == [("a", "os is not known")]


def test_every_policy_and_reason_is_told() -> None:
    assert told(DECISION, UNSURE.decide(image(os=None, arch=None), world(), NOW)) == [
        ("a", "os is not known"),
        ("b", "arch is not known"),
    ]


def test_other_policies_tell_it_again() -> None:
    assert len(told(DECISION, replace(DECISION, digest="another"))) == 2


def test_reasons_without_end_are_not_all_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undecided, "MOST", 2)
    others = [replace(DECISION, digest=digest) for digest in ("1", "2", "3", "1")]

    assert len(told(*others)) == 4


async def test_an_expression_that_fails_is_counted_logged_and_written_but_does_nothing(tmp_path: Path) -> None:
    spec = policy("archive", match={"when": "image.tags.owner == 'me'"})
    cloud = ScriptedCloud()
    cloud.images = {each: image(place=PLACE, id=each) for each in ("img-1", "img-2")}
    async with staged(tmp_path, cloud) as stage:
        await stage.sight("img-1", "img-2")
        with capture_logs() as lines:
            await stage.look(PolicySet([spec], Expressions()))

        [row] = await stage.ledger.image("img-1")
        reason = 'when "image.tags.owner == \'me\'" could not be decided: there is no "owner"'
        assert await stage.jobs() == []
        assert row.reason.startswith(f"0 actions; not decided: archive ({reason}")
        assert [line["policy"] for line in lines if line["event"].startswith("policy not decided")] == ["archive"]
        labels = {"policy": "archive", "verdict": "unknown"}
        assert stage.metrics.registry.get_sample_value("imageferry_decisions_total", labels) == 2
