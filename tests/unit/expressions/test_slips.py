"""The library's complaints in plain words. How they look in a file is in ``tests/unit/wrong_policies``."""

from __future__ import annotations

import pytest

from imageferry.core.match import Slip
from imageferry.expressions.facts import FACTS
from imageferry.expressions.reader import Expressions
from imageferry.expressions.slips import MOST_LOOPS, of_library
from imageferry.expressions.text import Text

EXPRESSIONS = Expressions()


def slips(text: str) -> tuple[Slip, ...]:
    found = EXPRESSIONS(text)
    return found if isinstance(found, tuple) else ()


def first(text: str) -> tuple[int, str]:
    """Where the only slip is, and what is wrong."""
    (slip,) = slips(text)
    assert slip.line == 1
    return slip.column, slip.message.split("; ")[0]


@pytest.mark.parametrize(
    ("text", "column", "meant"),
    [
        ("image.encrypted and true", 17, "&&"),
        ("image.encrypted or true", 17, "||"),
        ("image.encrypted & true", 17, "&&"),
        ("image.encrypted | true", 17, "||"),
        ("image.name = 'x'", 12, "=="),
        ("image.name === 'x'", 14, "=="),
        ("image.name <> 'x'", 13, "!="),
    ],
)
def test_what_other_languages_write_is_known(text: str, column: int, meant: str) -> None:
    (slip,) = slips(text)

    assert (slip.column, slip.message.split("; ")[-1]) == (column, f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("not image.encrypted", 5, 'this follows "not", which is no word of CEL'),
        ("image.encrypted == True", 20, '"True" is no word of CEL'),
        ("image.name == \u201cx\u201d", 15, "\u201c is no quote of CEL"),
        ("image.name == 'x", 15, 'a quote is opened and not closed, or has an unknown escape after "\\"'),
        ("image.name == '\\q'", 15, 'a quote is opened and not closed, or has an unknown escape after "\\"'),
        ("(image.encrypted", 17, 'a ")" is missing here'),
        ("image.encrypted)", 16, '")" cannot stand here'),
        ("image.encrypted &&", 19, "the expression ends too early"),
        ("image.name == 'é😀' && foo", 23, 'unknown fact "foo"'),
        ("image.name == 'x' && image . nmae == 'x'", 28, 'unknown fact "image.nmae"'),
        ("image.tag.env == 'x'", 1, 'unknown fact "image.tag.env"'),
        ("image.tags[3] == 'x'", 11, '"[]" cannot take a map and an int'),
        ("'x' in 'y'", 5, '"in" cannot take a string and a string'),
        ("!image.name", 1, '"!" cannot take a string'),
        ("image.name == null", 12, '"==" cannot take a string and null'),
        ("image.age > 3", 11, '">" cannot take a duration and an int'),
        ("image.encrypted ? 1 : 'a'", 17, '"?:" cannot take a bool and an int and a string'),
        ("size(image.encrypted) > 1", 5, '"size" cannot take a bool'),
        ("image.name == 'x' && 1 + 1", 19, '"&&" cannot take a bool and an int'),
        ("image.created_at.getFullYear()", 1, "the expression gives an int"),
        ("{'a': 1}", 1, "the expression gives a map"),
        ("null", 1, "the expression gives null"),
        ("99999999999999999999 > image.size_gib", 1, "invalid int literal"),
        ("image.tags.my-own-key == 'x'", 12, '"my-own-key" is read as a subtraction'),
        ("image.name == 'prod-*'", 15, '"prod-*" is compared letter by letter, and image.name never has a "*"'),
        ("region in ['ap-1', 'ap-*']", 20, '"ap-*" is compared letter by letter, and region never has a "*"'),
    ],
)
def test_a_slip_has_a_place_and_plain_words(text: str, column: int, message: str) -> None:
    assert first(text) == (column, message)


def test_everything_that_is_wrong_is_told_in_the_order_of_the_text() -> None:
    found = slips("image.nmae == 'x' &&\n  image.os == 3 && fooo() && image.os == 'Linux'")

    assert [(slip.line, slip.column) for slip in found] == [(1, 1), (2, 12), (2, 20), (2, 42)]


def test_after_a_word_that_cannot_be_read_nothing_more_is_guessed() -> None:
    assert len(slips("image.name = 'x' = 'y' and")) == 1


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("image.nmae", "image.name"),
        ("name", "image.name"),
        ("Image.Name", "image.name"),
        ("size_gib", "image.size_gib"),
        ("image.tag.env", "image.tags"),
        ("clouds", "cloud"),
        ("image.cloud", "cloud"),
        ("image.region", "region"),
    ],
)
def test_a_misspelt_fact_is_recognised(written: str, meant: str) -> None:
    (slip,) = slips(f"{written} == 'x'")

    assert slip.message.endswith(f"; did you mean {meant}?")


def test_an_image_alone_is_no_fact_and_means_none() -> None:
    (slip,) = slips("image['name'] == 'x'")

    assert slip.message == f'unknown fact "image"; expected one of {", ".join(FACTS)}'


@pytest.mark.parametrize("name", [name for name, fact in FACTS.items() if fact.words])
def test_a_value_that_a_fact_never_has_is_told_but_none_that_it_has(name: str) -> None:
    (slip,) = slips(f"{name} == 'nonsense' || {name} in ['{FACTS[name].words[0]}'] || {name} == r'x'")

    assert slip.message == f'{name} is never "nonsense"; expected {", ".join(FACTS[name].words)}'


@pytest.mark.parametrize(("count", "fine"), [(MOST_LOOPS, True), (MOST_LOOPS + 1, False)])
def test_lists_are_gone_through_a_few_times_at_most(count: int, *, fine: bool) -> None:
    text = "".join(f"image.tags.all(k{n}, " for n in range(count)) + "true" + ")" * count

    assert bool(slips(text)) != fine


def test_texts_cannot_be_made_longer_with_every_turn() -> None:
    few, many = (f"['x + y'].map(a, {' + '.join('a' * count)}).size() == 1" for count in (5, 6))

    assert slips(few) == ()
    assert [slip.column for slip in slips(many)] == [many.rindex("+") + 1]
    assert slips("image.size_gib" + " + 1" * 9 + " > 100") == ()


@pytest.mark.parametrize("text", ["image.age < duration('36h')", "image.name.matches('^a+$')", "has(image.tags.a)"])
def test_what_is_right_is_let_pass(text: str) -> None:
    assert slips(text) == ()


def test_a_complaint_of_another_shape_is_told_as_it_is() -> None:
    assert of_library("INTERNAL: Something else [INTERNAL]", Text("x")) == [
        Slip(1, 1, "something else; expected an expression of CEL")
    ]
