from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.answers import Refusal
from imageferry.core.decide import World
from imageferry.core.decision import Decision, PlannedAction, Verdict
from imageferry.core.image import Image, Place
from imageferry.core.spec import ActionSpec, PolicySpec
from support.policies import NOW, image, policies, policy, world


def decided(*specs: PolicySpec, about: Image | None = None, given: World | None = None) -> Decision:
    about = about or image()
    return policies(*specs).decide(about, given or world(about.place.cloud), NOW)


def the_action(*specs: PolicySpec, about: Image | None = None, given: World | None = None) -> PlannedAction:
    (action,) = decided(*specs, about=about, given=given).actions
    return action


def export(bucket: Any = "archive", **options: Any) -> dict[str, Any]:
    return {"export": {"bucket": bucket, **options}}


def copy(*regions: str, **options: Any) -> dict[str, Any]:
    return {"copy": {"regions": list(regions), **options}}


def of_cloud(cloud: str, region: str = "cn-east-2", **facts: Any) -> Image:
    return image(Place(cloud, "prod", region), **facts)


TENCENT = {"cloud": "tencent"}


# --- exports ---


def test_a_matching_policy_plans_its_export() -> None:
    decision = decided(policy("p", export("b-{region}"), match={"os": "linux"}))

    assert decision.verdicts == (Verdict("p", "match", "os is linux"),)
    assert decision.actions == (
        PlannedAction("export", "b-ap-guangzhou", {"prefix": "", "disks": "all", "format": "raw"}, ("p",)),
    )


def test_a_policy_that_does_not_match_plans_nothing() -> None:
    decision = decided(policy("p", match={"os": "windows"}))

    assert decision.verdicts == (Verdict("p", "no_match", "os is linux, wanted windows"),)
    assert decision.actions == ()


def test_a_policy_that_cannot_tell_plans_nothing() -> None:
    decision = decided(policy("p", match={"os": "linux"}), about=image(os=None))

    assert decision.verdicts == (Verdict("p", "unknown", "os is not known"),)
    assert decision.actions == ()
    assert decision.undecided


def test_every_option_that_is_written_is_kept() -> None:
    action = the_action(policy("p", export(format="QCOW2", prefix="x.{date}", role="r", disks="system")))

    assert action.options == {"format": "qcow2", "prefix": "x.2026-01-01", "role": "r", "disks": "system"}


def test_a_cloud_without_a_choice_of_formats_or_disks_gets_neither() -> None:
    action = the_action(policy("p", export()), about=of_cloud("huawei"), given=no_formats("huawei"))

    assert action.options == {"prefix": ""}


def no_formats(cloud: str) -> World:
    return World(facts=replace(FACTS[cloud], formats=()), account_regions=("cn-east-2",))


def test_options_that_are_judged_once_are_judged_for_each_cloud() -> None:
    chosen = policies(policy("p", export(format="qcow2")))
    tencent, jdcloud = image(), of_cloud("jdcloud", "cn-north-1")

    for _ in range(2):
        (fine,) = chosen.decide(tencent, world(), NOW).actions
        (refused,) = chosen.decide(jdcloud, world("jdcloud"), NOW).actions
        assert fine.refused is None
        assert refused.refused is not None
        assert refused.refused.reason.startswith("jdcloud has no format for an export")


def test_a_default_is_never_held_against_the_policy() -> None:
    bare = World(facts=replace(FACTS["tencent"], export_options=frozenset()), account_regions=())

    assert the_action(policy("p", export()), given=bare).refused is None


def test_a_quick_export_has_no_format() -> None:
    action = the_action(policy("p", export(quick=True)), about=of_cloud("huawei"))

    assert action.options == {"prefix": "", "quick": True}


def test_quick_false_keeps_the_format() -> None:
    action = the_action(policy("p", export(quick=False)), about=of_cloud("huawei"))

    assert action.options == {"prefix": "", "quick": False, "format": "qcow2"}


def test_a_bucket_map_gives_the_bucket_of_the_images_region() -> None:
    action = the_action(policy("p", export({"ap-guangzhou": "gz", "ap-shanghai": "sh"})))

    assert action.destination == "gz"


def test_a_bucket_map_without_the_region_is_an_error_a_person_sees() -> None:
    action = the_action(policy("p", export({"ap-shanghai": "sh", "ap-beijing": "bj"})))

    reason = "no bucket is given for region ap-guangzhou; the policy has one for ap-shanghai, ap-beijing"
    assert (action.destination, action.refused) == ("?", Refusal("permanent_config", reason))


def test_a_bucket_that_no_cloud_can_have_is_refused() -> None:
    action = the_action(policy("p", export("b-{image.name}")), about=image(name="evil.example/x?"))

    assert action.refused == Refusal(
        "permanent_config",
        '"b-evil.example/x?" cannot be the name of a bucket; expected 3 to 63 lower-case letters, digits, dots or '
        "hyphens",
    )


def test_a_prefix_that_the_cloud_does_not_take_once_filled_in_is_refused() -> None:
    action = the_action(policy("p", export(prefix="{image.name}")), about=image(name="my image"))

    assert action.refused == Refusal(
        "permanent_config",
        'tencent does not take the prefix "my image"; expected it to fit [A-Za-z0-9._-]{1,64} with 12 more letters',
    )


def test_a_prefix_that_leaves_no_room_once_filled_in_is_refused() -> None:
    action = the_action(policy("p", export(prefix="{image.name}")), about=image(name="n" * 52))

    assert action.refused is not None
    assert action.refused.reason.endswith("expected at most 51 characters on tencent")


def test_the_longest_prefix_that_leaves_room_is_taken() -> None:
    action = the_action(policy("p", export(prefix="{image.name}")), about=image(name="n" * 51))

    assert action.refused is None


def test_an_option_the_images_cloud_does_not_have_is_refused() -> None:
    about = of_cloud("jdcloud")

    action = the_action(policy("p", export(format="qcow2", role="role")), about=about)

    reason = "jdcloud has no format for an export; expected disks, prefix, role"
    assert action.refused == Refusal("permanent_config", reason)


def test_an_option_the_images_cloud_wants_is_missed() -> None:
    action = the_action(policy("p", export()), about=of_cloud("jdcloud"))

    assert action.refused == Refusal(
        "permanent_config", "jdcloud wants role for every export; expected it to be written"
    )


@pytest.mark.parametrize(("cloud", "disks"), [("tencent", "all"), ("jdcloud", "system")])
def test_which_disks_are_meant_where_nobody_says_it_is_the_clouds_affair(cloud: str, disks: str) -> None:
    action = the_action(policy("p", export(role="role")), about=of_cloud(cloud))

    assert action.options["disks"] == disks


def test_what_the_cloud_can_never_do_is_refused_with_its_rule() -> None:
    action = the_action(policy("p", export()), about=image(os="windows"))

    assert action.refused == FACTS["tencent"].preflight(image(os="windows"), "export", "archive", action.options)
    assert action.refused is not None
    assert action.refused.klass == "permanent_image"


def test_the_preflight_hears_what_is_wanted_with_every_default() -> None:
    heard: list[object] = []

    def preflight(*asked: object) -> None:
        heard.append(asked)

    given = World(facts=replace(FACTS["tencent"], preflight=preflight), account_regions=())
    action = the_action(policy("p", export(role="r")), given=given)

    assert heard == [(image(), "export", "archive", action.options)]
    assert action.options == {"format": "raw", "prefix": "", "disks": "all", "role": "r"}


# --- copies ---


def test_a_copy_to_two_regions_is_two_actions() -> None:
    decision = decided(policy("p", copy("ap-shanghai", "ap-beijing")))

    assert decision.actions == (
        PlannedAction("copy", "ap-shanghai", {}, ("p",)),
        PlannedAction("copy", "ap-beijing", {}, ("p",)),
    )


def test_the_options_of_a_copy_are_kept() -> None:
    spec = policy("p", copy("cn-east-2", name="dr-{region}", agency="a", project="p"))

    action = the_action(spec, about=of_cloud("huawei", "cn-north-4"), given=world("huawei", ("cn-east-2",)))

    assert action.options == {"name": "dr-cn-north-4", "agency": "a", "project": "p"}


def test_the_images_own_region_is_left_out_with_a_word_in_the_verdict() -> None:
    decision = decided(policy("p", copy("ap-guangzhou", "ap-shanghai"), match={"os": "linux"}))

    reason = "os is linux; copy to ap-guangzhou left out: it is the image's own region"
    assert decision.verdicts == (Verdict("p", "match", reason),)
    assert [action.destination for action in decision.actions] == ["ap-shanghai"]


def test_a_region_the_account_lacks_is_left_out_when_the_policy_names_no_cloud() -> None:
    decision = decided(policy("p", copy("cn-east-2"), match={"os": "linux"}))

    reason = "os is linux; copy to cn-east-2 left out: account prod does not list the region cn-east-2"
    assert decision.verdicts == (Verdict("p", "match", reason),)
    assert decision.actions == ()


@pytest.mark.parametrize(
    "match",
    [
        TENCENT,
        {"all": [TENCENT, {"os": "linux"}]},
        {"any": [TENCENT, {"cloud": "aliyun"}]},
        {"not": {"cloud": "[ahj]*"}},
    ],
)
def test_a_region_the_account_lacks_is_an_error_when_the_policy_names_a_cloud(match: dict[str, Any]) -> None:
    action = the_action(policy("p", copy("cn-east-2"), match=match))

    reason = "account prod does not list the region cn-east-2"
    assert (action.destination, action.refused) == ("cn-east-2", Refusal("permanent_config", reason))


def test_a_bad_region_does_not_hold_up_the_other() -> None:
    decision = decided(policy("p", copy("cn-east-2", "ap-shanghai"), match=TENCENT))

    assert [(action.destination, action.refused is None) for action in decision.actions] == [
        ("cn-east-2", False),
        ("ap-shanghai", True),
    ]


def test_an_agency_that_huawei_wants_is_missed() -> None:
    about, given = of_cloud("huawei", "cn-north-4"), world("huawei", ("cn-east-2",))

    action = the_action(policy("p", copy("cn-east-2")), about=about, given=given)

    assert action.refused == Refusal(
        "permanent_config", "huawei wants agency for every copy; expected it to be written"
    )


def test_a_copy_the_cloud_can_never_make_is_refused_with_its_rule() -> None:
    action = the_action(policy("p", copy("ap-shanghai")), about=image(encrypted=True))

    assert action.refused is not None
    assert action.refused.klass == "permanent_image"


def test_a_name_the_cloud_does_not_take_is_refused() -> None:
    about, given = of_cloud("jdcloud", "cn-north-1"), world("jdcloud", ("cn-east-2",))

    action = the_action(policy("p", copy("cn-east-2", name="{image.name} copy")), about=about, given=given)

    assert action.refused is not None
    assert action.refused.reason.startswith('jdcloud does not take the name "prod-1 copy"; expected it to fit')


def test_a_name_that_is_too_long_once_filled_in_is_the_adapters_to_cut() -> None:
    action = the_action(policy("p", copy("ap-shanghai", name="{image.name}")), about=image(name="n" * 60))

    assert action.refused is None
    assert action.options == {"name": "n" * 60}


# --- templates with unknown facts ---


@pytest.mark.parametrize(
    "action", [export("b-{image.name}"), export(prefix="{image.name}"), copy("ap-shanghai", name="{image.name}")]
)
def test_a_template_whose_fact_is_not_known_makes_the_policy_unknown(action: dict[str, Any]) -> None:
    decision = decided(policy("p", action, export("other")), about=image(name=None))

    reason = "image.name is not known, and its templates need it"
    assert decision.verdicts == (Verdict("p", "unknown", reason),)
    assert decision.actions == ()


def test_a_policy_that_does_not_match_is_no_match_whatever_its_templates_need() -> None:
    decision = decided(policy("p", export("b-{image.name}"), match={"os": "windows"}), about=image(name=None))

    assert decision.verdicts[0].verdict == "no_match"


ACTIONS = {"export": export("b-{image.name}"), "copy": copy("ap-shanghai", name="{image.name}")}


@pytest.mark.parametrize("name", [field.alias or name for name, field in ActionSpec.model_fields.items()])
@pytest.mark.parametrize(
    ("facts", "verdict", "wanted"),
    [
        ({"os": "linux"}, "match", True),
        ({"os": "windows"}, "no_match", False),
        ({"os": None}, "unknown", False),
        ({"os": "linux", "name": None}, "unknown", False),
    ],
)
def test_every_action_is_wanted_of_a_match_alone(
    name: str, facts: dict[str, Any], verdict: str, *, wanted: bool
) -> None:
    decision = decided(policy("p", ACTIONS[name], match={"os": "linux"}), about=image(**facts))

    assert decision.verdicts[0].verdict == verdict
    assert [action.action for action in decision.actions] == ([name] if wanted else [])


# --- several policies ---


def test_two_policies_that_want_the_same_make_one_action_with_both_names() -> None:
    decision = decided(policy("a", export("same")), policy("b", export("same")))

    assert [(action.destination, action.policies) for action in decision.actions] == [("same", ("a", "b"))]
    assert [verdict.reason for verdict in decision.verdicts] == ["region is ap-guangzhou", "region is ap-guangzhou"]


def test_a_default_that_is_written_out_is_no_difference() -> None:
    decision = decided(policy("a", export()), policy("b", export(disks="all", format="raw")))

    assert decision.verdicts[1].reason == "region is ap-guangzhou"


def test_the_first_policys_options_win_and_the_others_verdict_says_so() -> None:
    first = policy("a", export("same", format="qcow2"))
    second = policy("b", export("same", format="vhd", prefix="x"), match={"os": "linux"})

    decision = decided(first, second)

    assert decision.actions[0].options["format"] == "qcow2"
    assert decision.verdicts == (
        Verdict("a", "match", "region is ap-guangzhou"),
        Verdict(
            "b",
            "match",
            "os is linux; export to same is already wanted by policy a, whose options win: format qcow2, not vhd, "
            "prefix none, not x",
        ),
    )


def test_an_export_and_a_copy_never_make_one_action() -> None:
    decision = decided(policy("a", export("ap-shanghai")), policy("b", copy("ap-shanghai")))

    assert [action.action for action in decision.actions] == ["export", "copy"]


def test_buckets_that_become_the_same_within_one_policy_name_it_once() -> None:
    decision = decided(policy("a", export("b-{region}"), export("b-ap-guangzhou", format="qcow2")))

    assert [action.policies for action in decision.actions] == [("a",)]
    assert decision.verdicts[0].reason.endswith("whose options win: format raw, not qcow2")


def test_a_policy_that_does_not_match_is_not_named_by_the_action() -> None:
    decision = decided(policy("a", match={"os": "windows"}), policy("b"))

    assert decision.actions[0].policies == ("b",)


def test_actions_stand_in_the_order_in_which_they_are_first_wanted() -> None:
    decision = decided(policy("a", export("one"), export("two")), policy("b", export("three"), export("one")))

    assert [action.destination for action in decision.actions] == ["one", "two", "three"]


@pytest.mark.parametrize("state", [None, "pending", "failed"])
def test_the_images_state_is_not_the_policies_affair(state: str | None) -> None:
    assert decided(policy("p"), about=image(state=state)).verdicts[0].verdict == "match"


# --- when only some policies are asked ---


def test_only_the_policies_that_are_asked_have_a_verdict_and_actions() -> None:
    specs = (
        policy("first", export("shared"), match=TENCENT),
        policy("second", export("shared", format="vmdk"), export("own"), match=TENCENT),
        policy("elsewhere", match={"cloud": "huawei"}),
    )
    decision = policies(*specs).decide(image(), world(), NOW, ["second", "elsewhere"])
    assert [(v.policy, v.verdict) for v in decision.verdicts] == [("second", "match"), ("elsewhere", "no_match")]
    assert [(a.destination, a.policies, a.options["format"]) for a in decision.actions] == [
        ("shared", ("second",), "vmdk"),
        ("own", ("second",), "raw"),
    ]
    assert decision.only == ("second", "elsewhere")


def test_nobody_asked_by_name_is_everybody() -> None:
    specs = policies(policy("a"), policy("b", export("b")))
    assert specs.decide(image(), world(), NOW, ()) == specs.decide(image(), world(), NOW)
