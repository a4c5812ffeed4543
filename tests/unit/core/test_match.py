from __future__ import annotations

from typing import Any

import pytest

from imageferry.core.image import Image
from imageferry.core.match import Outcome, compile_match, compile_policy, every
from imageferry.core.spec import MatchSpec
from imageferry.expressions.reader import Expressions
from support.policies import DAY, HERE, HOUR, NOW, image, policy

EXPRESSIONS = Expressions()


def asked(match: dict[str, Any], about: Image | None = None) -> Outcome:
    return compile_match(MatchSpec.model_validate(match), EXPRESSIONS)(about or image(), NOW)


def of(match: dict[str, Any], **facts: Any) -> Outcome:
    return asked(match, image(**facts))


MATCHING = [
    ({"cloud": "tencent"}, "cloud is tencent"),
    ({"cloud": ["jdcloud", "tencent"]}, "cloud is tencent"),
    ({"cloud": "t*"}, "cloud is tencent"),
    ({"account": "prod"}, "account is prod"),
    ({"region": "ap-*"}, "region is ap-guangzhou"),
    ({"os": "linux"}, "os is linux"),
    ({"os_name": "Debian*"}, 'os_name "Debian 12" matches "Debian*"'),
    ({"name": ["a", "prod-?"]}, 'name "prod-1" matches "a" or "prod-?"'),
    ({"name": "prod-[0-9]"}, 'name "prod-1" matches "prod-[0-9]"'),
    ({"name": "prod-[!a-z]"}, 'name "prod-1" matches "prod-[!a-z]"'),
    ({"arch": "x86_64"}, "arch is x86_64"),
    ({"visibility": "private"}, "visibility is private"),
    ({"encrypted": False}, "encrypted is false"),
    ({"size_gib": {"min": 40, "max": 40}}, "size_gib is 40"),
    ({"size_gib": {"min": 0}}, "size_gib is 40"),
    ({"size_gib": {"max": 41}}, "size_gib is 40"),
    ({"created_within": "24h"}, "created within 24h"),
    ({"tags": {"env": "prod"}}, 'tag env is "prod"'),
    ({"tags": {"env": ["a", "p*"]}}, 'tag env is "prod"'),
    ({"tags": {"env": "*"}}, 'tag env is "prod"'),
    ({"os": "linux", "arch": "x86_64"}, "os is linux, arch is x86_64"),
    ({"any": [{"os": "windows"}, {"os": "linux"}]}, "os is linux"),
    ({"all": [{"os": "linux"}, {"arch": "x86_64"}]}, "os is linux, arch is x86_64"),
    ({"not": {"os": "windows"}}, "os is linux, wanted windows"),
    ({"not": {"not": {"os": "linux"}}}, "os is linux: not wanted"),
    ({"when": "image.size_gib < 50"}, 'when "image.size_gib < 50" is true'),
    ({"os": "linux", "when": "!image.encrypted"}, 'os is linux, when "!image.encrypted" is true'),
]


@pytest.mark.parametrize(("match", "reason"), MATCHING)
def test_it_matches_and_says_what_matched(match: dict[str, Any], reason: str) -> None:
    assert asked(match) == Outcome("match", reason)


FAILING = [
    ({"cloud": "jdcloud"}, "cloud is tencent, wanted jdcloud"),
    ({"account": "Prod"}, "account is prod, wanted Prod"),
    ({"region": ["cn-*", "eu-*"]}, "region is ap-guangzhou, wanted cn-* or eu-*"),
    ({"os": "windows"}, "os is linux, wanted windows"),
    ({"os_name": "debian*"}, 'os_name "Debian 12" does not match "debian*"'),
    ({"name": "tmp-*"}, 'name "prod-1" does not match "tmp-*"'),
    ({"name": "prod"}, 'name "prod-1" does not match "prod"'),
    ({"name": "PROD-*"}, 'name "prod-1" does not match "PROD-*"'),
    ({"arch": ["i386", "aarch64"]}, "arch is x86_64, wanted i386 or aarch64"),
    ({"visibility": "public"}, "visibility is private, wanted public"),
    ({"encrypted": True}, "encrypted is false, wanted true"),
    ({"size_gib": {"min": 41}}, "size_gib is 40, wanted at least 41"),
    ({"size_gib": {"max": 39}}, "size_gib is 40, wanted at most 39"),
    ({"size_gib": {"min": 50, "max": 60}}, "size_gib is 40, wanted 50 to 60"),
    ({"created_within": "12h"}, "created 24h ago, wanted within 12h"),
    ({"tags": {"env": ["dev", "test"]}}, 'tag env is "prod", wanted "dev" or "test"'),
    ({"tags": {"owner": "*"}}, 'tag owner is missing, wanted "*"'),
    ({"tags": {"env": "prod", "owner": "me"}}, 'tag owner is missing, wanted "me"'),
    ({"os": "linux", "arch": "i386"}, "arch is x86_64, wanted i386"),
    (
        {"any": [{"os": "windows"}, {"arch": "i386"}]},
        "os is linux, wanted windows, arch is x86_64, wanted i386",
    ),
    ({"all": [{"os": "linux"}, {"os": "windows"}]}, "os is linux, wanted windows"),
    ({"not": {"name": "prod-*"}}, 'name "prod-1" matches "prod-*": not wanted'),
    ({"when": "image.size_gib > 50"}, 'when "image.size_gib > 50" is false: size_gib is 40'),
    ({"not": {"when": "!image.encrypted"}}, 'when "!image.encrypted" is true: not wanted'),
]


@pytest.mark.parametrize(("match", "reason"), FAILING)
def test_it_does_not_match_and_says_which_matcher_decided(match: dict[str, Any], reason: str) -> None:
    assert asked(match) == Outcome("no_match", reason)


UNKNOWN = [
    ({"cloud": "tencent"}, "cloud", "cloud is not known"),
    ({"account": "*"}, "account", "account is not known"),
    ({"region": "*"}, "region", "region is not known"),
    ({"os": "linux"}, "os", "os is not known"),
    ({"os_name": "*"}, "os_name", "os_name is not known"),
    ({"name": "*"}, "name", "name is not known"),
    ({"arch": "x86_64"}, "arch", "arch is not known"),
    ({"visibility": "public"}, "visibility", "visibility is not known"),
    ({"encrypted": True}, "encrypted", "encrypted is not known"),
    ({"size_gib": {"min": 1}}, "size_gib", "size_gib is not known"),
    ({"created_within": "7d"}, "created_at", "created_at is not known"),
    ({"tags": {"env": "*"}}, "tags", "tags are not known"),
    ({"any": [{"os": "linux"}, {"arch": "i386"}]}, "os", "os is not known"),
    ({"all": [{"os": "linux"}, {"arch": "x86_64"}]}, "os", "os is not known"),
    ({"not": {"os": "linux"}}, "os", "os is not known"),
    ({"when": "image.size_gib < 50"}, "size_gib", "size_gib is not known"),
]


@pytest.mark.parametrize(("match", "fact", "reason"), UNKNOWN)
def test_a_fact_that_is_not_known_makes_its_matcher_unknown(match: dict[str, Any], fact: str, reason: str) -> None:
    about = image(HERE._replace(**{fact: ""})) if fact in HERE._fields else image(**{fact: None})

    assert asked(match, about) == Outcome("unknown", reason)


@pytest.mark.parametrize("examples", [MATCHING, FAILING, UNKNOWN], ids=["match", "no_match", "unknown"])
def test_every_matcher_has_an_example_of_each_verdict(examples: list[tuple[dict[str, Any], ...]]) -> None:
    shown = {key for match, *_ in examples for key in match}

    assert shown == {field.alias or name for name, field in MatchSpec.model_fields.items()}


def test_every_unknown_fact_is_named_once() -> None:
    match = {"os": "linux", "size_gib": {"min": 1}, "all": [{"os": ["linux", "other"]}]}

    assert of(match, os=None, size_gib=None) == Outcome("unknown", "os is not known, size_gib is not known")


def test_an_image_without_tags_has_none_of_them() -> None:
    assert of({"tags": {"env": "*"}}, tags={}).verdict == "no_match"


def test_an_empty_tag_value_is_a_value() -> None:
    assert of({"tags": {"env": "*"}}, tags={"env": ""}).verdict == "match"


def test_a_glob_spans_the_whole_name_over_line_ends() -> None:
    assert of({"name": "a*z"}, name="a\nz\n").verdict == "no_match"


def test_globs_of_one_list_do_not_disturb_each_other() -> None:
    assert of({"name": ["a*b*c", "p*o*-*", "x*y"]}).verdict == "match"


def test_created_within_includes_its_last_moment() -> None:
    assert of({"created_within": "1h"}, created_at=NOW - HOUR).verdict == "match"


def test_created_within_ends_after_its_last_moment() -> None:
    assert of({"created_within": "1h"}, created_at=NOW - HOUR - 1).verdict == "no_match"


def test_an_image_from_a_clock_that_runs_ahead_is_new() -> None:
    assert of({"created_within": "1h"}, created_at=NOW + HOUR).verdict == "match"


def test_an_age_under_a_minute_is_told_as_a_minute() -> None:
    reason = of({"created_within": "5s"}, created_at=NOW - 6_000_000).reason

    assert reason == "created 1m ago, wanted within 5s"


def test_an_age_is_told_in_whole_units() -> None:
    reason = of({"created_within": "7d"}, created_at=NOW - 9 * DAY - 5_000_000).reason

    assert reason == "created 9d ago, wanted within 7d"


# True, False and unknown, by the operating system of an image of which it may not be known.
YES = {"arch": "x86_64"}
NO = {"arch": "i386"}
MAYBE = {"os": "linux"}


@pytest.mark.parametrize(
    ("match", "verdict"),
    [
        ({"all": [YES, MAYBE]}, "unknown"),
        ({"all": [MAYBE, NO]}, "no_match"),
        ({"all": [NO, MAYBE]}, "no_match"),
        ({"any": [MAYBE, YES]}, "match"),
        ({"any": [YES, MAYBE]}, "match"),
        ({"any": [NO, MAYBE]}, "unknown"),
        ({"any": [MAYBE, NO]}, "unknown"),
        ({"any": [NO, NO]}, "no_match"),
        ({"not": {"all": [MAYBE, NO]}}, "match"),
        ({"not": {"any": [MAYBE, YES]}}, "no_match"),
        ({"not": {"any": [MAYBE, NO]}}, "unknown"),
        ({"not": MAYBE}, "unknown"),
    ],
)
def test_three_valued_logic_lets_a_known_fact_settle_it(match: dict[str, Any], verdict: str) -> None:
    assert of(match, os=None).verdict == verdict


# --- the default guard ---


def guarded(match: dict[str, Any] | None = None, rest: dict[str, Any] | None = None, **facts: Any) -> Outcome:
    spec = policy(match=match or {"os": "linux"}, **(rest or {}))
    return every(compile_policy(spec))(image(**facts), NOW)


@pytest.mark.parametrize("visibility", ["public", "shared", "market"])
def test_only_private_images_match_unless_the_policy_says_otherwise(visibility: str) -> None:
    reason = f"visibility is {visibility}, wanted private unless the policy says visibility"

    assert guarded(visibility=visibility) == Outcome("no_match", reason)


def test_the_guard_says_nothing_about_an_image_it_lets_pass() -> None:
    assert guarded() == Outcome("match", "os is linux")


@pytest.mark.parametrize(
    "match",
    [
        {"visibility": ["public", "private"]},
        {"any": [{"visibility": "public"}, {"os": "windows"}]},
        {"all": [{"os": "linux"}, {"all": [{"visibility": "public"}]}]},
        {"not": {"visibility": "private"}},
    ],
)
def test_visibility_said_anywhere_lifts_the_guard(match: dict[str, Any]) -> None:
    assert guarded(match, visibility="public").verdict == "match"


def test_an_expression_about_visibility_does_not_lift_the_guard() -> None:
    spec = policy(match={"when": "image.visibility == 'public'"})

    assert every(compile_policy(spec, EXPRESSIONS))(image(visibility="public"), NOW).verdict == "no_match"


def test_a_visibility_that_is_not_known_is_unknown_to_the_guard() -> None:
    assert guarded(visibility=None) == Outcome("unknown", "visibility is not known")


def test_copies_made_by_imageferry_do_not_match() -> None:
    reason = "it is a copy made by imageferry, not wanted unless the policy says copies: include"

    assert guarded(is_copy=True) == Outcome("no_match", reason)


def test_whether_it_is_a_copy_may_be_unknown() -> None:
    assert guarded(is_copy=None) == Outcome("unknown", "whether it is a copy made by imageferry is not known")


@pytest.mark.parametrize("is_copy", [True, None])
def test_copies_include_beside_match_lets_copies_match(*, is_copy: bool | None) -> None:
    assert guarded(rest={"copies": "include"}, is_copy=is_copy).verdict == "match"


def test_copies_include_inside_match_lets_copies_match() -> None:
    assert guarded({"os": "linux", "copies": "include"}, is_copy=True).verdict == "match"


def test_copies_exclude_is_the_default_said_aloud() -> None:
    assert guarded(rest={"copies": "exclude"}, is_copy=True).verdict == "no_match"


def test_the_policys_own_matchers_give_the_reason_before_the_guard() -> None:
    assert guarded({"os": "windows"}, visibility="public").reason == "os is linux, wanted windows"
