"""What expressions say of images. What is wrong with them is in ``tests/unit/wrong_policies``."""

from __future__ import annotations

import gc
import re
import sys
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imageferry.clouds.facts import FACTS as CLOUDS
from imageferry.core.image import Image, Place
from imageferry.core.match import Outcome, compile_match
from imageferry.core.spec import MatchSpec
from imageferry.errors import BadFile
from imageferry.expressions.facts import FACTS
from imageferry.expressions.reader import MISSING, Expressions
from imageferry.policies import load
from support.policies import DAY, HERE, NOW, image, world

EXPRESSIONS = Expressions()
NOWHERE = Place("", "", "")


def asked(text: str, about: Image | None = None, now: int = NOW) -> Outcome:
    matcher = EXPRESSIONS(text)
    assert not isinstance(matcher, tuple), matcher
    return matcher(about or image(), now)


def of(text: str, **facts: Any) -> Outcome:
    return asked(text, image(**facts))


# Every fact with an expression that is true of the image of the tests, one that is false, and the end of its reason.
EXAMPLES = {
    "image.id": ('image.id == "img-1"', 'image.id == "x"', 'id is "img-1"'),
    "image.name": ('image.name.startsWith("prod")', 'image.name.matches("^tmp-")', 'name is "prod-1"'),
    "image.os": ('image.os == "linux"', 'image.os != "linux"', 'os is "linux"'),
    "image.os_name": ('image.os_name.contains("12")', 'image.os_name.endsWith("13")', 'os_name is "Debian 12"'),
    "image.arch": ('image.arch in ["x86_64"]', 'image.arch == "i386"', 'arch is "x86_64"'),
    "image.visibility": ('image.visibility == "private"', '"public" == image.visibility', 'visibility is "private"'),
    "image.encrypted": ("!image.encrypted", "image.encrypted", "encrypted is false"),
    "image.size_gib": ("image.size_gib == 40", "image.size_gib * 2 > 100", "size_gib is 40"),
    "image.tags": ('image.tags.env == "prod"', '"owner" in image.tags', 'tags is {"env": "prod"}'),
    "image.created_at": (
        'image.created_at == timestamp("2025-12-31T00:00:00Z")',
        'image.created_at > timestamp("2026-01-01T00:00:00Z")',
        "created_at is 2025-12-31T00:00:00Z",
    ),
    "image.age": ('image.age == duration("24h")', 'image.age < duration("90m")', "age is 24h"),
    "image.is_copy": ("!image.is_copy", "image.is_copy", "is_copy is false"),
    "cloud": ('cloud == "tencent"', 'cloud != "tencent"', 'cloud is "tencent"'),
    "account": ('account == "prod"', 'account == "dev"', 'account is "prod"'),
    "region": ('region.startsWith("ap-")', 'region.startsWith("cn-")', 'region is "ap-guangzhou"'),
}
LACKING = {
    "image.id": image(id=""),
    "image.age": image(created_at=None),
    "cloud": image(HERE._replace(cloud="")),
    "account": image(HERE._replace(account="")),
    "region": image(HERE._replace(region="")),
}


def lacking(name: str) -> Image:
    return LACKING.get(name) or replace(image(), **{name.removeprefix("image."): None})


def test_every_fact_has_its_examples() -> None:
    assert EXAMPLES.keys() == FACTS.keys()


@pytest.mark.parametrize("name", FACTS)
def test_an_expression_that_is_true_matches(name: str) -> None:
    text = EXAMPLES[name][0]

    assert asked(text) == Outcome("match", f'when "{text}" is true')


@pytest.mark.parametrize("name", FACTS)
def test_an_expression_that_is_false_does_not_match_and_tells_the_facts(name: str) -> None:
    _, text, because = EXAMPLES[name]

    assert asked(text) == Outcome("no_match", f'when "{text}" is false: {because}')


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("which", [0, 1])
def test_a_fact_that_is_not_known_makes_an_expression_unknown(name: str, which: int) -> None:
    assert asked(EXAMPLES[name][which], lacking(name)) == Outcome("unknown", FACTS[name].unknown)


@pytest.mark.parametrize("name", sorted(FACTS.keys() - {"image.id", "image.age", "image.is_copy"}))
def test_the_matcher_of_the_same_fact_says_the_same_of_it(name: str) -> None:
    plain = name.removeprefix("image.")
    by_word = {
        "encrypted": {"encrypted": True},
        "size_gib": {"size_gib": {"min": 1}},
        "tags": {"tags": {"env": "*"}},
        "created_at": {"created_within": "1h"},
    }
    match = MatchSpec.model_validate(by_word.get(plain, {plain: "*"}))

    assert compile_match(match)(lacking(name), NOW) == Outcome("unknown", FACTS[name].unknown)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('image.os == "linux" || image.arch == "x86_64"', "match"),
        ('image.arch == "x86_64" || image.os == "linux"', "match"),
        ('image.os == "linux" && image.arch == "i386"', "no_match"),
        ('image.os == "linux" || image.arch == "i386"', "unknown"),
        ('image.os == "linux" && image.arch == "x86_64"', "unknown"),
        ('!(image.os == "linux")', "unknown"),
        ('image.os == "linux" ? true : true', "unknown"),
        ('image.tags.exists(key, key == "env" || image.os == key)', "match"),
        ('image.tags.all(key, key == "x" && image.os == key)', "no_match"),
        ("1 / 0 == 1 || image.arch == 'x86_64'", "match"),
    ],
)
def test_what_is_known_may_settle_it(text: str, verdict: str) -> None:
    assert of(text, os=None).verdict == verdict


def test_only_the_reason_for_what_is_not_known_is_told() -> None:
    outcome = of('image.os == "linux" && image.size_gib > 3', os=None)

    assert outcome == Outcome("unknown", "os is not known")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('image.tags.owner == "me"', 'there is no "owner"; ask first whether it is there, as in has(image.tags.env)'),
        (
            'image.tags["owner"] == "me"',
            'there is no "owner"; ask first whether it is there, as in has(image.tags.env)',
        ),
        ("image.size_gib / (image.size_gib - 40) > 1", "divide by zero"),
        ("int(image.name) > 3", "cannot convert string to int"),
        ("[1, 2][image.size_gib] == 1", "index error: index=40 size=2"),
    ],
)
def test_an_error_while_asking_is_never_a_match(text: str, reason: str) -> None:
    for written in (text, f"!({text})"):
        outcome = asked(written)

        assert (outcome.verdict, outcome.reason.split(" could not be decided: ")[1]) == ("unknown", reason)


def test_asking_first_whether_a_tag_is_there_decides() -> None:
    assert asked('has(image.tags.owner) && image.tags.owner == "me"').verdict == "no_match"


def test_an_expression_that_takes_too_many_steps_is_not_decided() -> None:
    text = "image.tags.all(a, image.tags.all(b, image.tags.all(c, a != 'x')))"

    few, many = ({f"key-{number}": "" for number in range(count)} for count in (5, 50))

    assert of(text, tags=few).verdict == "match"
    assert of(text, tags=many) == Outcome("unknown", f'when "{text}" could not be decided: it takes too many steps')


def test_a_name_that_is_not_unicode_is_not_decided() -> None:
    assert of('image.name == "x"', name="\ud800").verdict == "unknown"


@pytest.mark.parametrize("size", [2**63, -(2**63) - 1])
def test_a_number_too_large_for_the_library_is_not_decided(size: int) -> None:
    assert of("image.size_gib > 3", size_gib=size).verdict == "unknown"


@pytest.mark.parametrize("created_at", [-(10**17), 10**18, 10**30])
def test_a_time_beyond_all_calendars_is_not_decided(created_at: int) -> None:
    assert of('image.age > duration("1h")', created_at=created_at).verdict == "unknown"


def test_a_long_expression_and_a_long_fact_are_cut_in_the_reason() -> None:
    text = "image.name == 'x'" + " ||\n  image.name == 'x'" * 9

    reason = of(text, name="n" * 300).reason

    assert len(reason) < 200
    assert "\n" not in reason


def test_an_age_is_told_in_whole_units_and_a_fact_that_does_not_matter_only_where_it_is_known() -> None:
    outcome = of('image.age < duration("1s") && image.os == "linux"', created_at=NOW - DAY - 5_000_000, os=None)

    assert outcome.reason.endswith(" is false: age is 24h")


def test_one_image_after_another_is_told_apart() -> None:
    text = "image.size_gib > 30"

    assert [of(text, size_gib=size).verdict for size in (40, 20, 40)] == ["match", "no_match", "match"]


def test_one_time_after_another_is_told_apart() -> None:
    about = image()

    assert asked('image.age > duration("25h")', about, NOW).verdict == "no_match"
    assert asked('image.age > duration("25h")', about, NOW + DAY).verdict == "match"


def test_expressions_stand_wherever_a_matcher_may() -> None:
    match = {"any": [{"os": "windows"}, {"not": {"when": "image.encrypted"}, "all": [{"when": 'cloud == "tencent"'}]}]}
    matcher = compile_match(MatchSpec.model_validate(match), EXPRESSIONS)

    assert matcher(image(), NOW).verdict == "match"
    assert matcher(image(encrypted=True), NOW).verdict == "no_match"
    assert matcher(image(encrypted=None), NOW).verdict == "unknown"


def test_an_expression_that_has_something_wrong_matches_nothing() -> None:
    for match in ({"when": "image.nmae"}, {"not": {"when": "image.nmae"}}):
        matcher = compile_match(MatchSpec.model_validate(match), EXPRESSIONS)

        assert matcher(image(), NOW).verdict == "unknown"


def test_without_a_reader_nobody_takes_an_expression_for_one_that_does_not_match() -> None:
    with pytest.raises(AssertionError, match="nobody handed in a reader of expressions"):
        compile_match(MatchSpec.model_validate({"when": "true"}))


# --- a set of policies ---

POLICY = """\
policies:
  - name: one
    match: {when: "WHEN"}
    actions:
      - export: {bucket: "archive-{region}"}
"""


def written(folder: Path, when: str) -> Path:
    path = folder / "a.yaml"
    path.write_text(POLICY.replace("WHEN", when))
    return path


def test_without_the_extra_a_policy_with_an_expression_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)

    with pytest.raises(BadFile) as caught:
        load(written(tmp_path, "cloud == 'tencent'"), CLOUDS)

    (complaint,) = caught.value.complaints
    assert (complaint.line, complaint.column, complaint.message) == (3, 20, f"policies[0].match.when: {MISSING}")


def test_without_the_extra_other_policies_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    path = tmp_path / "a.yaml"
    path.write_text(POLICY.replace('when: "WHEN"', "os: linux"))

    assert load(path, CLOUDS).names == ("one",)


def test_the_library_is_not_loaded_before_it_is_needed() -> None:
    assert Expressions()._cel is None


@pytest.mark.parametrize(
    ("when", "somewhere"),
    [
        ("cloud == 'tencent'", {"tencent"}),
        ("region.startsWith('cn-') && image.size_gib > 3", {"jdcloud"}),
        ("image.id == 'x' || image.name == 'x' || image.age > duration('1h')", {"tencent", "jdcloud"}),
        ("cloud == 'huawei' || image.tags.env == 'x'", {"tencent", "jdcloud"}),
    ],
)
def test_a_place_at_which_an_expression_cannot_hold_is_left_alone(
    tmp_path: Path, when: str, somewhere: set[str]
) -> None:
    chosen = load(written(tmp_path, when), CLOUDS)
    places = (HERE, Place("jdcloud", "prod", "cn-north-1"))

    assert {place.cloud for place in places if chosen.could_match(place)} == somewhere


def test_the_clouds_that_an_expression_leaves_possible_judge_the_options(tmp_path: Path) -> None:
    path = written(tmp_path, "cloud == 'jdcloud'")
    path.write_text(path.read_text().replace('"archive-{region}"', '"archive-{region}", format: raw'))

    with pytest.raises(BadFile, match="jdcloud has no format for an export"):
        load(path, CLOUDS)


def test_an_expression_does_not_lift_the_default_guards(tmp_path: Path) -> None:
    chosen = load(written(tmp_path, "image.visibility == 'public' || image.is_copy"), CLOUDS)
    for about in (image(visibility="public"), image(is_copy=True)):
        (verdict,) = chosen.decide(about, world(), NOW).verdicts
        assert verdict.verdict == "no_match"
        assert "unless the policy says" in verdict.reason


def test_the_digest_knows_the_expression(tmp_path: Path) -> None:
    assert load(written(tmp_path, "true"), CLOUDS).digest != load(written(tmp_path, "image.encrypted"), CLOUDS).digest


def test_a_set_that_is_replaced_is_let_go(tmp_path: Path) -> None:
    chosen = load(written(tmp_path, "image.encrypted"), CLOUDS)
    gone = weakref.ref(chosen)
    del chosen
    gc.collect()

    assert gone() is None


def test_the_documents_have_every_fact_with_its_type() -> None:
    page = (Path(__file__).parents[3] / "docs" / "policies.md").read_text()
    rows = re.findall(r"^\| `([a-z_.]+)` \| ([a-z(), ]+) \| (.+) \|$", page, re.MULTILINE)

    assert {name: kind for name, kind, _ in rows} == {name: fact.kind for name, fact in FACTS.items()}
    for name, _, meaning in rows:
        assert set(FACTS[name].words) <= set(re.findall(r"`(\w+)`", meaning))
