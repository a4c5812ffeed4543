import sys
from collections.abc import Callable

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_validator

from imageferry.core.spec import PolicyFile
from imageferry.wording import dotted, fault, is_secret, models_at, shown, suggestion
from imageferry.yamlmap import parse


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "empty"),
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("a\nb", '"a\\nb"'),
        ("名前", '"名前"'),
        ([1], "a list"),
        ({"a": 1}, "a mapping"),
        ("x" * 100, '"' + "x" * 79 + '…"'),
        ("me@example.com", '"me@example.com"'),
        ("https://me:hunter2@host/path", '"https://***@host/path"'),
        ("postgresql://me:hun@ter2@host/db", '"postgresql://***@host/db"'),
        ("https://token@host", '"https://***@host"'),
        ("me:hunter2@host", '"***@host"'),
    ],
)
def test_a_value_is_quoted_short_and_without_a_user_part(value: object, expected: str) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize(
    ("loc", "secret"),
    [
        (("accounts", "a", "credentials", "source"), True),
        (("accounts", "a", "credentials"), True),
        (("sources", 0, "secret"), True),
        (("sources", 0, "sasl_password"), True),
        (("sources", 0, "tls", "key_password"), True),
        (("token",), True),
        (("sources", 0, "secret_file"), False),
        (("sources", 0, "topics"), False),
        (("tokens",), False),
        ((), False),
    ],
)
def test_credentials_and_names_of_secrets_are_recognised(loc: tuple[str | int, ...], *, secret: bool) -> None:
    assert is_secret(loc) is secret


def test_a_suggestion_is_the_nearest_word_or_nothing() -> None:
    assert suggestion("topcs", ["topics", "group_id"]) == '; did you mean "topics"?'
    assert suggestion("INFO", ["debug", "info"]) == '; did you mean "info"?'
    assert suggestion("xyz", ["topics"]) == ""


def test_a_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("accounts", "prod", "regions", 1)) == "accounts.prod.regions[1]"
    assert dotted((0, "a")) == "[0].a"


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    password: SecretStr
    names: list[str] = []

    @field_validator("password")
    @classmethod
    def _long(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 20:
            raise ValueError(f'"{value.get_secret_value()}" is too short')
        return value

    @field_validator("names")
    @classmethod
    def _short(cls, value: list[str]) -> list[str]:
        for index, name in enumerate(value):
            if len(name) > 3:
                raise fault("too long; expected three letters", index)
            if name.isupper():
                raise ValueError("no capitals please")
        return value


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    inner: Inner | None = None
    many: list[Inner] = []


def complaints_about(text: str) -> list[str]:
    document = parse(text, "f.yaml")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(document.data)
    return [str(complaint) for complaint in document.complaints(caught.value, Outer)]


def test_a_secret_is_in_no_complaint_whatever_is_wrong_with_it() -> None:
    assert complaints_about(
        "inner: {password: hunter2}\nmany:\n  - {password: 12345}\n  - {password: [hunter2]}\n"
    ) == [
        'f.yaml:1:19: inner.password: "***" is too short',
        "f.yaml:3:16: many[0].password is not right; expected a text",
        "f.yaml:4:16: many[1].password is not right; expected a text",
    ]


def test_the_value_of_an_unknown_key_is_not_quoted() -> None:
    said = complaints_about("inner: {passwort: hunter2}\n")

    assert said == [
        'f.yaml:1:1: inner: the key "password" is missing; expected it here, or "password_file"',
        (
            'f.yaml:1:9: inner: unknown key "passwort"; expected one of password, password_file, names;'
            ' did you mean "password"?'
        ),
    ]


def test_a_validator_can_point_inside_its_value() -> None:
    text = "inner: {password: aaaaaaaaaaaaaaaaaaaaaaa, names: [a, abcd]}\n"

    assert complaints_about(text) == ["f.yaml:1:55: inner.names[1]: too long; expected three letters"]


def test_a_validators_words_stand_after_the_path() -> None:
    text = "inner: {password: aaaaaaaaaaaaaaaaaaaaaaa, names: [A]}\n"

    assert complaints_about(text) == ["f.yaml:1:51: inner.names: no capitals please"]


def test_the_models_at_a_path_are_found_through_unions_and_lists() -> None:
    assert models_at(Outer, ("many", 3)) == [Inner]
    assert models_at(Outer, ("inner",)) == [Inner]
    assert models_at(Outer, ()) == [Outer]


def calls_of(work: Callable[[], object]) -> int:
    """How many functions were called: what the work costs, whatever else the machine does."""
    count = 0

    def counted(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(counted)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "text",
    [
        lambda n: "policies:\n" + "  -\n" * n,
        lambda n: "policies:\n  - match:\n" + "".join(f"      k{i}: 1\n" for i in range(n)),
    ],
    ids=["values of a wrong kind", "unknown keys"],
)
def test_twice_as_many_mistakes_cost_about_twice_as_much(text: Callable[[int], str]) -> None:
    def refused(n: int) -> int:
        document = parse(text(n), "f.yaml")
        with pytest.raises(ValidationError) as caught:
            PolicyFile.model_validate(document.data)
        return calls_of(lambda: document.complaints(caught.value, PolicyFile))

    refused(10)  # what is remembered for good

    assert refused(400) < 3 * refused(200)
