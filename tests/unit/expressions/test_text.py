from __future__ import annotations

import pytest

from imageferry.expressions.text import Piece, Text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a == 'b' && c", "a == '#' && c"),
        ("a // it's\n&& b", "a        \n&& b"),
        ('"it\'s" + b', "'####' + b"),
        ("'it\\'s' + b", "'#####' + b"),
        ("r'\\' + b", "'##' + b"),
        ("'''a'b\n''' + c", "'########' + c"),
        ("bar'x'", "bar'#'"),
        ("'not closed", "'not closed"),
        ("'a // b' // c", "'######'     "),
    ],
)
def test_what_stands_in_quotes_or_comments_is_covered(text: str, code: str) -> None:
    assert Text(text).code == code


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("image.name == 'image.os' && region == cloud", ("image.name", "region", "cloud")),
        ("image.name == image.name", ("image.name",)),
        ("image . tags.env == 'x'", ("image.tags",)),
        ("'cloud' in image.tags", ("image.tags",)),
        ("image.tags.cloud == 'x' && regions", ("image.tags",)),
        ("true // image.name", ()),
    ],
)
def test_facts_are_told_once_in_the_order_of_the_text(text: str, facts: tuple[str, ...]) -> None:
    assert Text(text).facts() == facts


def test_comparisons_with_literals_are_found_either_way_round_and_in_lists() -> None:
    text = Text("image.os == 'a' || 'b' != image.arch || cloud in ['c', \"d\"] || image.os in image.tags")

    assert [(name, piece.text) for name, piece in text.comparisons()] == [
        ("image.os", "'a'"),
        ("image.arch", "'b'"),
        ("cloud", "'c'"),
        ("cloud", '"d"'),
    ]


def test_presences_are_those_of_facts_alone() -> None:
    text = Text("has(image.tags.env) && has( image.os ) && 'has(image.name)' == ''")

    assert list(text.presences()) == [Piece(28, "image.os")]


@pytest.mark.parametrize(("offset", "place"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 3))])
def test_an_offset_has_a_line_and_a_column(offset: int, place: tuple[int, int]) -> None:
    text = Text("ab\ncd")

    assert text.place(offset) == place
    assert text.offset(*place) == offset


@pytest.mark.parametrize(("line", "column", "offset"), [(-1, -1, 0), (1, 99, 2), (9, 9, 5)])
def test_a_place_outside_of_the_text_is_brought_back_into_it(line: int, column: int, offset: int) -> None:
    assert Text("ab\ncd").offset(line, column) == offset
