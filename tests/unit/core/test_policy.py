from __future__ import annotations

from typing import Any

import pytest

from imageferry.core.decision import Verdict
from imageferry.core.image import Place
from imageferry.core.match import compile_match
from imageferry.core.policy import PolicySet, possible_clouds
from imageferry.core.spec import MatchSpec, PolicySpec
from support.policies import EXPORT, HERE, NOW, image, policies, policy, world


def at(match: dict[str, Any], place: Place = HERE) -> bool:
    return policies(policy(match=match)).could_match(place)


@pytest.mark.parametrize(
    "match",
    [
        {"cloud": "tencent"},
        {"account": "p*"},
        {"region": ["x", "ap-*"]},
        {"os": "linux"},
        {"any": [{"cloud": "jdcloud"}, {"name": "x"}]},
        {"not": {"cloud": "jdcloud"}},
        {"all": [{"cloud": "tencent"}, {"region": "ap-guangzhou"}]},
        {"visibility": "public"},
    ],
)
def test_a_place_where_some_image_could_match(match: dict[str, Any]) -> None:
    assert at(match)


@pytest.mark.parametrize(
    "match",
    [
        {"cloud": "jdcloud"},
        {"account": "dev"},
        {"region": "cn-*"},
        {"os": "linux", "all": [{"all": [{"region": "cn-*"}]}]},
        {"any": [{"cloud": "jdcloud", "name": "x"}, {"region": "cn-*"}]},
        {"not": {"region": "ap-*"}},
    ],
)
def test_a_place_where_no_image_could_match(match: dict[str, Any]) -> None:
    assert not at(match)


def test_one_policy_that_could_match_is_enough() -> None:
    assert policies(policy("a", match={"cloud": "jdcloud"}), policy("b")).could_match(HERE)


def test_where_only_some_policies_are_asked_the_others_do_not_count() -> None:
    both = policies(policy("a", match={"cloud": "jdcloud"}), policy("b"))
    assert [both.could_match(HERE, only) for only in (["a"], ["b"], ["a", "b"], [])] == [False, True, True, True]


def test_no_policies_match_nowhere() -> None:
    assert not policies().could_match(HERE)


def test_a_place_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = policies(policy())
    chosen.could_match(HERE)
    monkeypatch.setattr(PolicySet, "_viewed", lambda *_: pytest.fail("worked out again"))

    assert chosen.could_match(HERE)


def test_names_stand_in_file_order() -> None:
    assert policies(policy("b"), policy("a")).names == ("b", "a")


def test_every_policy_has_a_verdict_in_file_order_even_where_its_place_excludes_it() -> None:
    chosen = policies(
        policy("a", match={"cloud": "jdcloud", "os": "windows"}),
        policy("b", match={"os": "linux"}),
        policy("c", match={"os": "windows"}),
        policy("d", match={"os": "linux", "region": "cn-*"}),
    )

    assert chosen.decide(image(), world(), NOW).verdicts == (
        Verdict("a", "no_match", "cloud is tencent, wanted jdcloud"),
        Verdict("b", "match", "os is linux"),
        Verdict("c", "no_match", "os is linux, wanted windows"),
        Verdict("d", "no_match", "region is ap-guangzhou, wanted cn-*"),
    )


def test_what_the_place_settles_is_not_asked_again_but_still_told() -> None:
    chosen = policies(policy("a", match={"cloud": "tencent", "account": "p*", "os": "linux"}))

    assert chosen.decide(image(), world(), NOW).verdicts[0].reason == "cloud is tencent, account is prod, os is linux"
    ((_, here),) = chosen._view(HERE).candidates
    assert here.ask(image(Place("jdcloud", "dev", "cn-north-1")), NOW).verdict == "match"


def test_a_policy_that_the_place_settles_altogether_matches() -> None:
    chosen = policies(policy(match={"cloud": "tencent", "visibility": "*"}, copies="include"))

    assert chosen.decide(image(), world(), NOW).verdicts[0].reason == "cloud is tencent, visibility is private"
    chosen = policies(policy(match={"any": [{"cloud": "tencent"}, {"visibility": "public"}]}, copies="include"))
    assert chosen.decide(image(), world(), NOW).verdicts[0].reason == "cloud is tencent"


def test_one_image_leaves_no_trace_in_the_next_decision() -> None:
    chosen = policies(policy("a", match={"os": "linux"}))
    chosen.decide(image(), world(), NOW)

    decision = chosen.decide(image(os="windows"), world(), NOW)

    assert decision.verdicts == (Verdict("a", "no_match", "os is windows, wanted linux"),)
    assert decision.actions == ()


def test_a_decision_names_the_set_that_decided() -> None:
    chosen = policies(policy())

    assert chosen.decide(image(), world(), NOW).digest == chosen.digest


def test_a_decision_without_policies_is_empty() -> None:
    decision = policies().decide(image(), world(), NOW)

    assert (decision.verdicts, decision.actions) == ((), ())


def spec(**data: Any) -> PolicySpec:
    return PolicySpec.model_validate({"name": "p", "match": {"os": "linux"}, "actions": [EXPORT]} | data)


def test_the_digest_is_the_same_for_the_same_content_however_it_is_written() -> None:
    one = spec(match={"os": "linux", "name": "a"})
    other = spec(match={"name": ["a"], "os": ["linux"]})

    assert policies(one).digest == policies(other).digest


@pytest.mark.parametrize(
    "other",
    [
        {"name": "q"},
        {"match": {"os": "windows"}},
        {"match": {"not": {"os": "linux"}}},
        {"copies": "include"},
        {"actions": [{"export": {"bucket": "other"}}]},
        {"actions": [{"copy": {"regions": "r"}}]},
    ],
)
def test_the_digest_changes_with_the_content(other: dict[str, Any]) -> None:
    assert policies(spec()).digest != policies(spec(**other)).digest


def test_the_digest_changes_with_the_order() -> None:
    assert policies(policy("a"), policy("b")).digest != policies(policy("b"), policy("a")).digest


@pytest.mark.parametrize(
    ("match", "clouds"),
    [
        ({"os": "linux"}, ("tencent", "aliyun", "huawei", "jdcloud")),
        ({"cloud": ["jdcloud", "aliyun"]}, ("aliyun", "jdcloud")),
        ({"not": {"cloud": "tencent"}}, ("aliyun", "huawei", "jdcloud")),
        ({"any": [{"cloud": "tencent", "os": "linux"}, {"cloud": "huawei"}]}, ("tencent", "huawei")),
        ({"any": [{"cloud": "tencent"}, {"os": "linux"}]}, ("tencent", "aliyun", "huawei", "jdcloud")),
        ({"region": "x", "account": "y"}, ("tencent", "aliyun", "huawei", "jdcloud")),
        ({"cloud": "tencent", "all": [{"cloud": "aliyun"}]}, ()),
    ],
)
def test_the_clouds_a_match_leaves_possible(match: dict[str, Any], clouds: tuple[str, ...]) -> None:
    assert possible_clouds(compile_match(MatchSpec.model_validate(match))) == clouds
