from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from imageferry.scalars import offset_in_file

STYLES = {
    "plain": "when: a == b &&\n  c_x",
    "plain in a list": "- a == b && c_x",
    "single quotes": "when: 'it''s == b &&\n  c_x'",
    "double quotes": r'''when: "a == \"b\" && \u0061\x20\n\t\
  c_x"''',
    "a block": "when: | # a remark\n\n    a == b &&\n\n      # no remark\n      c_x\n",
    "a block that is stripped": "when: |-\n  a\n  c_x\n\n",
    "a block whose indentation is said": "when: |2\n    a\n  c_x\n",
    "a folded block": "when: >-\n    a == b &&\n    && d\n\n    c_x\n\n",
    "behind an anchor": "when: &here !!str 'a && c_x'",
    "behind an anchor on another line": "when: &here\n  a && c_x",
}


def scalar(text: str) -> tuple[str, str, int]:
    """The last text of a document: as it is written, what it says, and where it begins."""
    event = [event for event in yaml.parse(text, Loader=yaml.CSafeLoader) if isinstance(event, yaml.ScalarEvent)][-1]
    assert event.start_mark is not None
    assert event.end_mark is not None
    start, end = event.start_mark.index, event.end_mark.index
    return text[start:end], str(event.value), start


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES)
def test_a_word_is_found_however_the_text_is_written(text: str) -> None:
    raw, value, start = scalar(text)

    assert start + offset_in_file(raw, value, value.index("c_x")) == text.index("c_x")


@pytest.mark.parametrize("text", STYLES.values(), ids=STYLES)
def test_the_end_of_the_text_stands_behind_its_last_character(text: str) -> None:
    raw, value, start = scalar(text)

    assert start + offset_in_file(raw, value, len(value)) == text.index("c_x") + 3


def test_a_blank_stands_behind_the_character_before_it() -> None:
    assert offset_in_file("'a   b'", "a   b", 1) == 2


def test_an_escape_is_one_character() -> None:
    raw = r'"\x41\u00e9\" c"'

    assert [offset_in_file(raw, 'A\u00e9" c', offset) for offset in (0, 1, 2, 4)] == [1, 5, 11, 14]


@given(st.text(st.sampled_from("ab'\"\\ \n#:&|>é"), max_size=20), st.sampled_from([None, "'", '"', "|", ">"]))
def test_every_character_of_whatever_yaml_writes_is_found_again(value: str, style: str | None) -> None:
    raw, read, _ = scalar(yaml.dump({"when": value}, default_style=style, allow_unicode=True, width=10))
    plain = {"a", "b", "é", "#", ":"}

    assert read == value
    for offset, character in enumerate(value):
        if character in plain:
            assert raw[offset_in_file(raw, value, offset)] == character
