from __future__ import annotations

import pytest

from imageferry.core.image import Place
from imageferry.core.template import PLACEHOLDERS, parse, sample_words, words_of
from support.policies import NOW, image


def filled(text: str, **facts: object) -> str:
    return parse(text).fill(words_of(image(**facts), "archive", NOW))


def test_every_placeholder_stands_for_its_fact() -> None:
    text = "{image.id}|{image.name}|{cloud}|{account}|{region}|{policy}|{date}"

    assert filled(text) == "img-1|prod-1|tencent|prod|ap-guangzhou|archive|2026-01-01"


def test_the_date_is_that_of_now_in_utc() -> None:
    last_moment_of_the_year = NOW - 1

    assert words_of(image(), "p", last_moment_of_the_year)["date"] == "2025-12-31"


def test_a_text_without_placeholders_stays_as_it_is() -> None:
    assert filled("plain.text-1") == "plain.text-1"


def test_a_placeholder_may_occur_twice() -> None:
    assert filled("{region}/{region}") == "ap-guangzhou/ap-guangzhou"


def test_a_word_with_braces_in_it_is_not_read_as_a_template() -> None:
    assert filled("{image.name}", name="{region}") == "{region}"


def test_a_template_knows_what_it_needs() -> None:
    assert parse("a-{region}-{image.name}").needs == ("region", "image.name")


def test_a_plain_text_needs_nothing() -> None:
    assert parse("a").needs == ()


def test_a_name_that_is_not_known_has_no_word() -> None:
    assert words_of(image(name=None), "p", NOW)["image.name"] is None


def test_an_account_that_the_event_left_out_has_no_word() -> None:
    assert words_of(image(Place("tencent", "", "r")), "p", NOW)["account"] is None


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("regoin", "region"),
        ("Region", "region"),
        ("image_name", "image.name"),
        ("name", "image.name"),
        ("id", "image.id"),
        (" region ", "region"),
    ],
)
def test_a_placeholder_that_does_not_exist_is_refused_with_the_one_that_was_meant(wrong: str, meant: str) -> None:
    with pytest.raises(ValueError, match="is no placeholder") as error:
        parse(f"a-{{{wrong}}}")

    assert str(error.value).endswith(f"did you mean {{{meant}}}?")


def test_nothing_is_suggested_where_nothing_is_close() -> None:
    with pytest.raises(ValueError, match="is no placeholder") as error:
        parse("{xyzzy}")

    assert "did you mean" not in str(error.value)


@pytest.mark.parametrize("text", ["{region", "region}", "{{region}}", "{region}}", "{}{"])
def test_a_brace_without_its_partner_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)


def test_samples_have_a_word_for_every_placeholder() -> None:
    assert tuple(sample_words("tencent", "p")) == PLACEHOLDERS


def test_real_words_have_a_word_for_every_placeholder() -> None:
    assert tuple(words_of(image(), "p", NOW)) == PLACEHOLDERS
