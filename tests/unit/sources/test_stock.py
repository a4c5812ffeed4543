from __future__ import annotations

from typing import Any

import pytest

from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.sources.stock import FORGOTTEN, LATE, Stock
from support.clocks import START
from support.ledgers import PLACE

HOUR = 3600 * SECOND


def image(image_id: str, **facts: Any) -> Image:
    return Image(place=PLACE, id=image_id, **{"state": "ready", "created_at": START - HOUR, **facts})


def known(*ids: str, reaches_to: int = START) -> Stock:
    return Stock(reaches_to, dict.fromkeys(ids, 0))


@pytest.mark.parametrize(
    ("facts", "news"),
    [
        ({}, False),
        ({"created_at": None}, False),
        ({"created_at": START - 1}, False),
        ({"created_at": START}, True),
        ({"state": "pending"}, True),
        ({"state": "pending", "created_at": None}, True),
        ({"state": "failed", "created_at": START}, False),
        ({"state": "gone", "created_at": START}, False),
        ({"state": "deprecated", "created_at": START}, True),
    ],
)
def test_the_first_round_takes_for_old_what_was_ready_before_it(facts: dict[str, Any], *, news: bool) -> None:
    assert bool(Stock(START).news([image("i", **facts)])) is news


@pytest.mark.parametrize(
    ("facts", "news"),
    [
        ({"created_at": START + HOUR}, True),
        ({"created_at": None}, True),
        ({"created_at": START - HOUR}, True),
        ({"created_at": START - LATE}, True),
        ({"created_at": START - LATE - 1}, False),
        ({"created_at": START - LATE - 1, "state": "pending"}, True),
        ({"state": "failed"}, False),
    ],
)
def test_afterwards_what_was_not_listed_before_is_news_unless_it_is_far_too_old(
    facts: dict[str, Any], *, news: bool
) -> None:
    assert bool(known("another").news([image("i", **facts)])) is news


def test_what_was_listed_is_never_news_again_whatever_time_it_shows() -> None:
    stock = known("i")
    assert stock.news([image("i", created_at=START + HOUR), image("i", created_at=None, state="pending")]) == []


def test_images_of_the_same_moment_are_told_apart() -> None:
    made = [image(f"i-{n}", created_at=START + 1) for n in range(3)]
    assert known("i-0", "i-2").news(made) == [made[1]]


def test_a_first_round_that_was_cut_off_leaves_no_stock() -> None:
    stock = Stock(START)
    stock.close_round({"i"}, START, complete=False)
    assert stock.ids is None


def test_a_later_round_that_was_cut_off_adds_what_it_saw_and_misses_nothing() -> None:
    stock = known("a", "b")
    stock.close_round({"c"}, START, complete=False)
    assert stock.ids == {"a": 0, "b": 0, "c": 0}


def test_an_image_that_a_listing_left_out_is_no_news_when_it_is_back() -> None:
    stock = known("a", "b")
    stock.close_round({"a"}, START, complete=True)
    stock.close_round({"a"}, START + FORGOTTEN - 1, complete=True)
    assert stock.news([image("b")]) == []
    stock.close_round({"a", "b"}, START + FORGOTTEN, complete=True)
    assert stock.ids == {"a": 0, "b": 0}


def test_an_image_that_stays_away_is_forgotten() -> None:
    stock = known("a", "b")
    stock.close_round({"a"}, START, complete=True)
    stock.close_round({"a"}, START + FORGOTTEN, complete=True)
    assert stock.ids == {"a": 0}


@pytest.mark.parametrize("stock", [Stock(START), Stock(START, {}), Stock(START, {"镜像": 0, "b": START + 5})])
def test_a_bookmark_is_read_as_it_was_written(stock: Stock) -> None:
    assert Stock.read(stock.written()) == stock


def test_the_same_stock_is_written_the_same_way() -> None:
    assert known("a", "b").written() == known("b", "a").written()
