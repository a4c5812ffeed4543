from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from imageferry.core.spec import ExportSpec, PolicyFile, PolicySpec, TopMatchSpec
from imageferry.core.values import ANY_REGION
from support.policies import EXPORT, policy


def errors(model: type[BaseModel], data: Any) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    return [(error["loc"], error["msg"].removeprefix("Value error, ")) for error in caught.value.errors()]


def match_error(match: Any) -> tuple[tuple[int | str, ...], str]:
    (error,) = errors(TopMatchSpec, match)
    return error


def with_action(action: dict[str, Any]) -> dict[str, Any]:
    return {"name": "p", "match": {"os": "linux"}, "actions": [action]}


def test_one_word_is_a_list_of_one() -> None:
    assert TopMatchSpec.model_validate({"os": "linux"}) == TopMatchSpec.model_validate({"os": ["linux"]})


@pytest.mark.parametrize(
    ("match", "message"),
    [
        (
            {"cloud": "tencnet"},
            '"tencnet" matches no cloud; expected tencent, aliyun, huawei, jdcloud; did you mean tencent?',
        ),
        ({"os": "Linux"}, '"Linux" matches no os; expected linux, windows, other; did you mean linux?'),
        ({"os": "bsd"}, '"bsd" matches no os; expected linux, windows, other'),
        (
            {"arch": "x86-64"},
            '"x86-64" matches no arch; expected x86_64, aarch64, i386, other; did you mean x86_64?',
        ),
        (
            {"visibility": "privat"},
            '"privat" matches no visibility; expected private, public, shared, market; did you mean private?',
        ),
    ],
)
def test_a_value_that_no_member_of_a_closed_set_fits_is_refused(match: dict[str, str], message: str) -> None:
    (field,) = match

    assert match_error(match) == ((field, 0), message)


def test_a_glob_over_a_closed_set_is_taken_when_something_fits() -> None:
    assert TopMatchSpec.model_validate({"cloud": "*cloud"}).cloud == ("*cloud",)


def test_a_closed_set_is_checked_deep_inside() -> None:
    loc, _ = match_error({"any": [{"os": "linux"}, {"not": {"all": [{"os": "Linux"}]}}]})

    assert loc == ("any", 1, "not", "all", 0, "os", 0)


def test_an_expression_is_taken_as_it_is_written() -> None:
    assert TopMatchSpec.model_validate({"when": "no reader has seen this"}).when == "no reader has seen this"


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("x" * 2001, "String should have at most 2000 characters"),
        (" ", "an empty text; expected at least one character"),
    ],
)
def test_an_expression_has_something_in_it_and_an_end(when: str, message: str) -> None:
    assert match_error({"when": when}) == (("when",), message)


@pytest.mark.parametrize(
    ("match", "loc", "message"),
    [
        ({"name": []}, ("name",), "an empty list matches nothing; expected at least one value, or leave the key out"),
        ({"name": ""}, ("name", 0), "an empty text; expected at least one character"),
        ({"name": 5}, ("name",), '5 is not text; expected a text or a list of texts; did you mean "5"?'),
        ({"name": True}, ("name",), 'true is not text; expected a text or a list of texts; did you mean "true"?'),
        ({"name": {}}, ("name",), "a mapping is not text; expected a text or a list of texts"),
        ({"os": None}, ("os",), "expected a value, or the key left out"),
        ({"any": []}, ("any",), "this is empty; expected at least one entry, or leave the key out"),
        ({"all": []}, ("all",), "this is empty; expected at least one entry, or leave the key out"),
        ({"tags": {}}, ("tags",), "this is empty; expected at least one entry, or leave the key out"),
        (
            {"tags": {"n": 1}},
            ("tags", "n"),
            '1 is not text; expected a text or a list of texts; did you mean "1"?',
        ),
        (
            {"size_gib": {}},
            ("size_gib",),
            "a size without limits matches everything; expected min, max or both",
        ),
        (
            {"size_gib": {"min": 3, "max": 2}},
            ("size_gib",),
            "min 3 is more than max 2; expected min to be the smaller one",
        ),
    ],
)
def test_a_matcher_that_makes_no_sense_is_refused(match: Any, loc: tuple[str | int, ...], message: str) -> None:
    assert match_error(match) == (loc, message)


@pytest.mark.parametrize("match", [{}, {"copies": "include"}, {"not": {}}, {"any": [{}]}])
def test_a_match_without_matchers_is_refused_with_the_way_to_match_everything(match: dict[str, Any]) -> None:
    _, message = match_error(match)

    assert message == 'no matcher is written; expected at least one; to match every image write region: "*"'


@pytest.mark.parametrize(
    "match", [{"size_gib": {"min": -1}}, {"size_gib": {"min": "5"}}, {"encrypted": "yes"}, {"created_within": 7}]
)
def test_values_are_never_converted(match: dict[str, Any]) -> None:
    assert len(errors(TopMatchSpec, match)) == 1


def test_copies_stands_under_match_or_beside_it_but_not_deeper() -> None:
    loc, _ = match_error({"not": {"copies": "include", "os": "linux"}})

    assert loc == ("not", "copies")


def test_copies_said_twice_must_be_the_same() -> None:
    data = {"name": "p", "copies": "exclude", "match": {"os": "linux", "copies": "include"}, "actions": [EXPORT]}

    assert errors(PolicySpec, data) == [((), "copies is said twice, and not the same; expected it once")]


@pytest.mark.parametrize("copies", ["include", "exclude"])
def test_copies_said_twice_alike_is_fine(copies: str) -> None:
    spec = policy(match={"os": "linux", "copies": copies}, copies=copies)

    assert spec.takes_copies == (copies == "include")


# --- actions ---


def test_one_bucket_serves_every_region() -> None:
    assert ExportSpec.model_validate({"bucket": "b-{region}"}).bucket == {ANY_REGION: "b-{region}"}


def test_a_map_gives_each_region_its_bucket() -> None:
    assert ExportSpec.model_validate({"bucket": {"cn-east-2": "b"}}).bucket == {"cn-east-2": "b"}


@pytest.mark.parametrize(
    ("bucket", "message"),
    [
        (5, "5 is no bucket; expected a name, or a map of region to name"),
        (["b"], "a list is no bucket; expected a name, or a map of region to name"),
        ({}, "an empty map has no bucket for any region; expected region: bucket"),
        ({"": "b"}, "an empty text is no region id; expected a map such as {cn-east-2: my-bucket}"),
        ({"*": "b"}, '"*" is no region id; expected one such as cn-east-2, without globs or placeholders'),
        ("", "an empty text; expected at least one character"),
        (
            "b-{regio}",
            (
                "{regio} is no placeholder; expected one of {image.id} {image.name} {cloud} {account} {region} "
                "{policy} {date}; did you mean {region}?"
            ),
        ),
    ],
)
def test_a_bucket_that_makes_no_sense_is_refused(bucket: object, message: str) -> None:
    ((_, said),) = errors(ExportSpec, {"bucket": bucket})

    assert said == message


def test_the_format_may_be_written_in_capitals() -> None:
    assert ExportSpec.model_validate({"bucket": "b", "format": "QCOW2"}).format == "qcow2"


@pytest.mark.parametrize("regions", ["*", "Cn-East-1", "{region}", "a b", "-a"])
def test_a_copy_names_real_regions(regions: str) -> None:
    ((loc, message),) = errors(PolicySpec, with_action({"copy": {"regions": regions}}))

    assert loc == ("actions", 0, "copy", "regions", 0)
    assert message == f'"{regions}" is no region id; expected one such as cn-east-2, without globs or placeholders'


@pytest.mark.parametrize("action", [{}, EXPORT | {"copy": {"regions": "r"}}])
def test_an_action_does_one_thing(action: dict[str, Any]) -> None:
    assert errors(PolicySpec, with_action(action)) == [
        (("actions", 0), "an action does one thing; expected either export or copy")
    ]


def test_an_action_without_anything_in_it_is_refused() -> None:
    assert errors(PolicySpec, with_action({"export": None})) == [
        (("actions", 0, "export"), "expected a value, or the key left out")
    ]


def test_a_policy_has_at_least_one_action() -> None:
    assert errors(PolicySpec, {"name": "p", "match": {"os": "linux"}, "actions": []}) == [
        (("actions",), "a policy without actions does nothing; expected at least one export or copy")
    ]


@pytest.mark.parametrize("name", [" a", "a\nb", "\x1b[0m"])
def test_a_policy_name_is_plain_text(name: str) -> None:
    ((loc, message),) = errors(PolicySpec, {"name": name, "match": {"os": "linux"}, "actions": [EXPORT]})

    assert loc == ("name",)
    assert message.endswith("cannot be a policy's name; expected printable text without outer blanks")


def test_a_file_has_at_least_one_policy() -> None:
    assert errors(PolicyFile, {"policies": []}) == [
        (("policies",), "a file without policies; expected at least one under policies")
    ]


def test_every_error_is_reported_at_once() -> None:
    wrong = {"name": "p", "match": {"os": "Linux", "nme": "x"}, "actions": [{"export": {"bukket": "b"}}]}

    assert {loc for loc, _ in errors(PolicySpec, wrong)} == {
        ("match", "os", 0),
        ("match", "nme"),
        ("actions", 0, "export", "bucket"),
        ("actions", 0, "export", "bukket"),
    }


def test_the_schema_for_editors_shows_what_people_may_write() -> None:
    match = PolicyFile.model_json_schema()["$defs"]["TopMatchSpec"]["properties"]

    assert {"type": "string", "pattern": r"\S"} in match["os_name"]["anyOf"]
    assert {"type": "string", "maxLength": 2000, "pattern": r"\S"} in match["when"]["anyOf"]
