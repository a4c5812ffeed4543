from __future__ import annotations

import pytest

from bench.pace import worst_window
from bench.report import Row, Size, at_least, at_most, missing, no_more_than, table


def test_the_table_is_aligned_and_says_what_was_missed() -> None:
    rows = [at_least("intake", 30.0, 100.0, "/s", 0.5), missing("latency", "no broker")]
    assert table(rows).splitlines() == [
        "| what    | figure                  | baseline | ratio  | aim       | verdict |",
        "| ------- | ----------------------- | -------- | ------ | --------- | ------- |",
        "| intake  | 30.00 /s                | 100 /s   | 0.30 x | >= 0.50 x | MISSED  |",
        "| latency | not measured: no broker |          |        |           |         |",
    ]


@pytest.mark.parametrize(("figure", "verdict"), [(49.0, "MISSED"), (50.0, "met")])
def test_a_rate_is_judged_by_its_ratio(figure: float, verdict: str) -> None:
    assert at_least("rate", figure, 100.0, "/s", 0.5).cells()[-1] == verdict


@pytest.mark.parametrize(("figure", "verdict"), [(150.0, "MISSED"), (149.0, "met")])
def test_a_quantity_is_judged_by_its_bound(figure: float, verdict: str) -> None:
    assert at_most("memory", figure, 70.0, "MB", 150.0).cells()[-1] == verdict


@pytest.mark.parametrize(("figure", "verdict"), [(200.0, "met"), (201.0, "MISSED")])
def test_a_time_is_judged_by_its_ratio(figure: float, verdict: str) -> None:
    assert no_more_than("time", figure, 100.0, "us", 2.0).cells()[-1] == verdict


def test_without_an_aim_there_is_no_verdict() -> None:
    assert at_least("rate", 1.0, 2.0, "/s").cells() == ("rate", "1.00 /s", "2.00 /s", "0.50 x", "", "")
    assert Row("what", "figure").cells()[-1] == ""


def test_a_shrunk_size_keeps_something_of_everything() -> None:
    assert Size(events=1000, rounds=3).shrunk(100).events == 10
    assert Size(events=1000, rounds=3).shrunk(100).rounds == 1


@pytest.mark.parametrize(
    ("moments", "most"),
    [([], 0), ([0.0], 1), ([0.0, 0.5, 0.899, 0.95], 4 - 1), ([0.0, 1.0, 2.0], 1), ([0.0, 0.9], 1), ([5.0] * 3, 3)],
)
def test_the_worst_window_is_the_most_moments_within_it(moments: list[float], most: int) -> None:
    assert worst_window(moments) == most
