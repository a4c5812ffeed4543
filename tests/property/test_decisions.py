from __future__ import annotations

from dataclasses import fields, replace
from fnmatch import fnmatchcase
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageferry.core.decision import Decision
from imageferry.core.image import Image, Place
from imageferry.core.match import compile_match, compile_policy, every
from imageferry.core.policy import PolicySet
from imageferry.core.spec import MatchSpec, PolicySpec
from imageferry.expressions.reader import Expressions
from support.policies import DAY, NOW, world
from support.policies import image as whole_image

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""How long an example takes says something about the machine, not about decisions."""
CLOUDS = ("tencent", "jdcloud")
NAMES = ("prod-1", "tmp-1", "prod-a", "")
GLOBS = ("*", "prod-*", "tmp-?", "*-1", "x")
OTHER_REGIONS = ("ap-shanghai", "cn-east-2")
EXPRESSIONS = Expressions()

places = st.builds(
    Place, st.sampled_from(CLOUDS), st.sampled_from(["prod", "dev"]), st.sampled_from(["ap-guangzhou", "cn-north-1"])
)
images = st.builds(
    Image,
    place=places,
    id=st.just("img-1"),
    name=st.sampled_from(NAMES),
    os=st.sampled_from(["linux", "windows", "other"]),
    os_name=st.sampled_from(NAMES),
    arch=st.sampled_from(["x86_64", "aarch64"]),
    size_gib=st.integers(0, 4),
    state=st.just("ready"),
    visibility=st.sampled_from(["private", "public"]),
    encrypted=st.booleans(),
    tags=st.dictionaries(st.sampled_from(["env", "owner"]), st.sampled_from(NAMES)),
    created_at=st.sampled_from([NOW, NOW - DAY, NOW - 3 * DAY]),
    is_copy=st.booleans(),
)
FACTS = tuple(field.name for field in fields(Image) if field.name not in {"place", "id", "extra"})

questions = st.sampled_from(
    [
        'image.name.startsWith("prod")',
        'image.os == "linux"',
        'image.os_name in ["tmp-1", ""]',
        'image.arch == "x86_64"',
        'image.visibility != "private"',
        "image.encrypted",
        "image.size_gib > 2",
        "'env' in image.tags",
        'has(image.tags.owner) && image.tags.owner != ""',
        "image.tags.exists(key, key == 'env' && image.size_gib < 3)",
        "image.tags.all(key, image.tags[key] == image.name)",
        'image.created_at > timestamp("2025-12-30T12:00:00Z")',
        'image.age < duration("36h")',
        "image.is_copy",
        'cloud == "tencent"',
        'account == "prod"',
        'region.startsWith("ap-")',
        'image.id == "img-1"',
    ]
)
failing_questions = st.sampled_from(
    ["image.tags.env == 'prod-1'", "1 / image.size_gib == 1", "int(image.name) > 0", "[true][image.size_gib]"]
)


def _joined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map("!({})".format),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        inner.map("[1, 2].exists_one(n, n > 1 && {})".format),
    )


expressions = st.recursive(questions, _joined, max_leaves=4)
daring_expressions = st.recursive(questions | failing_questions, _joined, max_leaves=6)

globs = st.sampled_from(GLOBS) | st.lists(st.sampled_from(GLOBS), min_size=1, max_size=2)
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"cloud": st.sampled_from(["tencent", "jdcloud", "*"])}),
    st.fixed_dictionaries({"account": st.sampled_from(["prod", "d*"])}),
    st.fixed_dictionaries({"region": st.sampled_from(["ap-*", "cn-north-1"])}),
    st.fixed_dictionaries({"os": st.sampled_from(["linux", "windows", ["linux", "other"]])}),
    st.fixed_dictionaries({"name": globs}),
    st.fixed_dictionaries({"os_name": globs}),
    st.fixed_dictionaries({"arch": st.sampled_from(["x86_64", "a*"])}),
    st.fixed_dictionaries({"visibility": st.sampled_from(["private", "public"])}),
    st.fixed_dictionaries({"encrypted": st.booleans()}),
    st.fixed_dictionaries({"size_gib": st.fixed_dictionaries({"min": st.integers(0, 2), "max": st.integers(2, 4)})}),
    st.fixed_dictionaries({"created_within": st.sampled_from(["1h", "2d", "7d"])}),
    st.fixed_dictionaries({"tags": st.dictionaries(st.sampled_from(["env", "owner"]), globs, min_size=1)}),
    st.fixed_dictionaries({"when": expressions}),
)


def _merged(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for part in parts for key, value in part.items()}


def _nested(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=3)
    combined = st.one_of(
        st.fixed_dictionaries({"any": several}),
        st.fixed_dictionaries({"all": several}),
        st.fixed_dictionaries({"not": inner}),
    )
    return st.lists(combined | leaves, min_size=1, max_size=3).map(_merged)


matches = st.recursive(leaves, _nested, max_leaves=8)


rivalling_actions = st.lists(
    st.sampled_from(
        [
            {"export": {"bucket": "same"}},
            {"export": {"bucket": "same-{region}", "prefix": "a"}},
            {"export": {"bucket": "same", "prefix": "b"}},
            {"copy": {"regions": ["ap-shanghai", "cn-east-2"]}},
            {"copy": {"regions": "ap-shanghai", "name": "{image.name}"}},
        ]
    ),
    min_size=1,
    max_size=2,
)


@st.composite
def rivalling_policies(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Policies that want the same destinations, with options of their own."""
    found = draw(st.lists(st.tuples(matches, rivalling_actions), min_size=1, max_size=4))
    return [
        {"name": f"p{index}", "match": match, "actions": actions, "copies": "include"}
        for index, (match, actions) in enumerate(found)
    ]


@st.composite
def policy_lists(draw: st.DrawFn) -> list[PolicySpec]:
    """Policies of which no two want the same destination."""
    found = draw(st.lists(st.tuples(matches, st.sampled_from(["include", "exclude"])), min_size=1, max_size=4))
    bucket = st.sampled_from(["b{}-{{region}}", "b{}-{{image.name}}"])
    return [
        PolicySpec.model_validate(
            {
                "name": f"p{index}",
                "copies": copies,
                "match": match,
                "actions": [{"export": {"bucket": draw(bucket).format(index)}}],
            }
        )
        for index, (match, copies) in enumerate(found)
    ]


@st.composite
def partly_known(draw: st.DrawFn) -> tuple[Image, Image]:
    """An image of which everything is known, and the same with some facts not known."""
    whole = draw(images)
    hidden = draw(st.sets(st.sampled_from(FACTS)))
    return whole, replace(whole, **dict.fromkeys(hidden))


def verdicts(decision: Decision) -> dict[str, str]:
    return {verdict.policy: verdict.verdict for verdict in decision.verdicts}


def wanted(decision: Decision) -> dict[tuple[str, str], set[str]]:
    """What is to be done, and by whose wish."""
    return {(action.action, action.destination): set(action.policies) for action in decision.actions}


def decided(specs: list[PolicySpec], image: Image) -> Decision:
    return PolicySet(specs, EXPRESSIONS).decide(image, world(image.place.cloud, OTHER_REGIONS), NOW)


def reordered(match: dict[str, Any], draw: st.DrawFn) -> dict[str, Any]:
    """The same matchers, the keys and every list in another order."""
    keys = draw(st.permutations(list(match)))
    return {key: _reordered_value(match[key], draw) for key in keys}


def _reordered_value(value: Any, draw: st.DrawFn) -> Any:
    if isinstance(value, dict):
        return reordered(value, draw)
    if isinstance(value, list):
        return [_reordered_value(item, draw) for item in draw(st.permutations(value))]
    return value


@unhurried
@given(policy_lists(), images, st.data())
def test_the_order_of_policies_never_changes_verdicts_or_actions(
    specs: list[PolicySpec], image: Image, data: st.DataObject
) -> None:
    one = decided(specs, image)
    other = decided(data.draw(st.permutations(specs)), image)

    assert set(other.verdicts) == set(one.verdicts)
    assert sorted(map(repr, other.actions)) == sorted(map(repr, one.actions))


@unhurried
@given(rivalling_policies(), partly_known(), st.data())
def test_the_order_of_policies_and_matchers_never_changes_what_is_done_and_for_whom(
    written: list[dict[str, Any]], known: tuple[Image, Image], data: st.DataObject
) -> None:
    """Of those that want the same, the first one's options hold: only they, and the words about it, may change."""
    draw = st.composite(lambda draw: [each | {"match": reordered(each["match"], draw)} for each in written])
    others = data.draw(st.permutations(data.draw(draw())))
    one, other = (decided([PolicySpec.model_validate(each) for each in some], known[1]) for some in (written, others))

    assert verdicts(other) == verdicts(one)
    assert wanted(other) == wanted(one)


@unhurried
@given(matches, partly_known(), st.data())
def test_the_order_of_matchers_never_changes_a_verdict(
    match: dict[str, Any], known: tuple[Image, Image], data: st.DataObject
) -> None:
    other = data.draw(st.composite(lambda draw: reordered(match, draw))())
    _, image = known

    one = compile_match(MatchSpec.model_validate(match), EXPRESSIONS)(image, NOW)

    assert compile_match(MatchSpec.model_validate(other), EXPRESSIONS)(image, NOW).verdict == one.verdict


@unhurried
@given(policy_lists(), partly_known())
def test_knowing_more_settles_a_verdict_but_never_turns_it_round(
    specs: list[PolicySpec], known: tuple[Image, Image]
) -> None:
    whole, partial = known
    in_the_end = verdicts(decided(specs, whole))

    for name, verdict in verdicts(decided(specs, partial)).items():
        assert verdict in {"unknown", in_the_end[name]}


@unhurried
@given(daring_expressions, partly_known())
def test_an_expression_that_may_fail_never_turns_round_either(text: str, known: tuple[Image, Image]) -> None:
    whole, partial = known
    ask = compile_match(MatchSpec.model_validate({"when": text}), EXPRESSIONS)

    assert ask(partial, NOW).verdict in {"unknown", ask(whole, NOW).verdict}


@unhurried
@given(policy_lists(), partly_known())
def test_what_a_place_excludes_is_what_the_policy_itself_says(
    specs: list[PolicySpec], known: tuple[Image, Image]
) -> None:
    for image in known:
        decision = decided(specs, image)
        for spec, verdict in zip(specs, decision.verdicts, strict=True):
            asked = every(compile_policy(spec, EXPRESSIONS))(image, NOW).verdict
            assert verdict.verdict == asked or (asked, verdict.verdict) == ("match", "unknown")


@given(st.lists(st.text("ab*?[]!", min_size=1, max_size=4), min_size=1, max_size=3), st.text("ab*?[]\n", max_size=4))
def test_a_glob_means_what_the_shell_means_by_it(globs: list[str], name: str) -> None:
    matcher = compile_match(MatchSpec.model_validate({"name": globs}))

    found = matcher(whole_image(name=name), NOW).verdict == "match"

    assert found == any(fnmatchcase(name, glob) for glob in globs)


@unhurried
@given(policy_lists(), images)
def test_with_every_fact_known_nothing_is_unknown(specs: list[PolicySpec], image: Image) -> None:
    assert not decided(specs, image).undecided


@unhurried
@given(policy_lists(), partly_known())
def test_a_place_where_nothing_could_match_never_has_a_match(
    specs: list[PolicySpec], known: tuple[Image, Image]
) -> None:
    chosen = PolicySet(specs, EXPRESSIONS)
    for image in known:
        found = verdicts(decided(specs, image))
        assert chosen.could_match(image.place) or set(found.values()) == {"no_match"}


@unhurried
@given(policy_lists(), partly_known())
def test_every_policy_has_one_verdict_with_a_reason_in_file_order(
    specs: list[PolicySpec], known: tuple[Image, Image]
) -> None:
    decision = decided(specs, known[1])

    assert [verdict.policy for verdict in decision.verdicts] == [spec.name for spec in specs]
    assert all(verdict.reason for verdict in decision.verdicts)


@unhurried
@given(policy_lists(), partly_known())
def test_only_matching_policies_want_anything(specs: list[PolicySpec], known: tuple[Image, Image]) -> None:
    decision = decided(specs, known[1])
    wanting = {name for action in decision.actions for name in action.policies}

    assert wanting == {name for name, verdict in verdicts(decision).items() if verdict == "match"}
