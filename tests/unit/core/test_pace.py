"""Pace arithmetic at chosen moments; tests/property/test_pace.py holds what must be true at all of them."""

from __future__ import annotations

import pytest

from imageferry.core.pace import Aimd, Expectation, Gcra, RunningLimit, back_off, patience, poll_after, together

# --- Gcra ---


def test_the_first_request_waits_one_interval_because_a_restart_has_no_credit() -> None:
    pace = Gcra(10, margin=0, start=100)
    assert pace.reserve(100) == pytest.approx(100.1)


def test_after_a_quiet_time_a_request_goes_at_once_and_the_next_one_waits() -> None:
    pace = Gcra(10, margin=0, start=0)
    assert [pace.reserve(50), pace.reserve(50)] == pytest.approx([50, 50.1])


def test_reservations_ahead_of_time_are_spaced() -> None:
    pace = Gcra(20, margin=0, start=0)
    assert [pace.reserve(0) for _ in range(3)] == pytest.approx([0.05, 0.1, 0.15])


def test_it_aims_three_percent_under_the_rate() -> None:
    pace = Gcra(20, start=0)
    assert [pace.reserve(0) for _ in range(194)][-1] == pytest.approx(10)


def test_a_slot_missed_by_a_few_milliseconds_is_still_used() -> None:
    pace = Gcra(10, margin=0, start=0)
    assert [pace.reserve(0.11), pace.reserve(0.11)] == pytest.approx([0.11, 0.2])


def test_a_stall_gives_no_burst() -> None:
    pace = Gcra(200, margin=0, start=0)
    pace.reserve(0)
    assert [pace.reserve(3) for _ in range(3)] == pytest.approx([3, 3.005, 3.01])


def test_a_new_rate_spaces_the_next_request_from_the_last_one() -> None:
    pace = Gcra(10, margin=0, start=0)
    pace.reserve(0)
    pace.set_rate(5)
    assert pace.reserve(0) == pytest.approx(0.3)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_that_is_not_above_zero_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="is not above 0"):
        Gcra(rate, start=0)


@pytest.mark.parametrize("margin", [-0.1, 1, float("nan")])
def test_a_margin_out_of_range_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        Gcra(1, margin=margin, start=0)


# --- Aimd ---


def test_a_throttled_answer_halves_the_rate() -> None:
    rate = Aimd(20)
    assert (rate.throttled(10, sent=9.9), rate.rate(10)) == (True, 10)


def test_the_rate_is_whole_again_ten_seconds_after_one_cut() -> None:
    rate = Aimd(20)
    rate.throttled(0, sent=0)
    assert [rate.rate(5), rate.rate(10), rate.rate(60)] == pytest.approx([15, 20, 20])


def test_answers_to_requests_sent_before_the_cut_do_not_cut_again() -> None:
    rate = Aimd(20)
    rate.throttled(10, sent=9)
    assert (rate.throttled(12, sent=9.9), rate.rate(12)) == (False, pytest.approx(12))


def test_a_second_of_throttling_cuts_once() -> None:
    rate = Aimd(20)
    rate.throttled(10, sent=9)
    assert [rate.throttled(10.9, sent=10.5), rate.throttled(11, sent=10.5)] == [False, True]


def test_the_rate_never_goes_under_a_sixteenth() -> None:
    rate = Aimd(16)
    for second in range(20):
        rate.throttled(second, sent=second)
    assert 1 <= rate.rate(19) < 2


def test_the_floor_can_be_set() -> None:
    rate = Aimd(16, floor=0.5, climb=0.001)
    rate.throttled(0, sent=0)
    rate.throttled(5, sent=5)
    assert rate.rate(5) == 8


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": 1, "floor": 0}, {"limit": 1, "floor": 2}])
def test_a_meaningless_aimd_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        Aimd(**wrong)


# --- RunningLimit ---


def test_without_a_configured_limit_nothing_is_known() -> None:
    assert RunningLimit(None).limit(0) is None


def test_a_configured_limit_holds_from_the_start() -> None:
    assert RunningLimit(5).limit(0) == 5


@pytest.mark.parametrize("configured", [0, -1])
def test_a_limit_that_lets_nothing_run_is_refused(configured: int) -> None:
    with pytest.raises(ValueError, match="whole number from 1"):
        RunningLimit(configured)


def test_a_refusal_teaches_how_many_run() -> None:
    limit = RunningLimit(None)
    limit.refused(0, running=5)
    assert limit.limit(0) == 5


def test_a_refusal_while_nothing_of_ours_runs_still_leaves_one() -> None:
    limit = RunningLimit(None)
    limit.refused(0, running=0)
    assert limit.limit(0) == 1


def test_acceptances_that_arrive_after_a_refusal_raise_what_it_taught() -> None:
    limit = RunningLimit(None)
    limit.refused(1, running=2, sent=0)
    for running in (3, 4, 5):
        limit.accepted(1.1, running)
    limit.refused(1.2, running=5, sent=0)
    assert limit.limit(1.2) == 5


def test_a_late_refusal_does_not_count_tasks_that_ended_meanwhile_as_never_there() -> None:
    limit = RunningLimit(None)
    limit.refused(1, running=5, sent=0)
    limit.ended(2)
    limit.ended(2)
    limit.refused(3, running=3, sent=0.5)
    assert limit.limit(3) == 5


def test_a_refusal_sent_after_tasks_ended_lowers_the_limit() -> None:
    limit = RunningLimit(5)
    limit.ended(1)
    limit.refused(3, running=3, sent=2)
    assert limit.limit(3) == 3


def test_a_task_that_ends_before_the_others_are_answered_is_not_forgotten() -> None:
    limit = RunningLimit(None)
    limit.ended(1)  # the first of five, all sent at 0
    limit.refused(2, running=3, sent=0.5)
    limit.accepted(3, running=4, sent=0)
    assert limit.limit(3) == 5


def test_a_late_refusal_never_raises_what_is_known() -> None:
    limit = RunningLimit(None)
    limit.refused(1, running=2)
    for _ in range(10):
        limit.ended(2)
    limit.refused(3, running=2, sent=0)
    assert limit.limit(3) == 2


def test_after_a_time_without_refusals_one_more_is_tried() -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=5)
    assert [limit.limit(29.9), limit.limit(30), limit.limit(300)] == [5, 6, 6]


def test_a_probe_that_is_taken_raises_the_limit_and_lets_the_next_be_tried() -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=5)
    limit.accepted(31, running=6)
    assert limit.limit(31) == 7


def test_a_refused_probe_doubles_the_wait_for_the_next() -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=5)
    limit.refused(40, running=5, sent=39)
    assert [limit.limit(99.9), limit.limit(100)] == [5, 6]


def test_the_wait_between_probes_has_an_upper_bound() -> None:
    limit = RunningLimit(None, probe_after=30, longest=100)
    for moment in range(0, 5000, 500):
        limit.refused(moment, running=5)
    assert [limit.limit(4599.9), limit.limit(4600)] == [5, 6]


def test_a_refusal_of_a_request_older_than_the_probe_is_no_failed_probe() -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=5)
    limit.refused(31, running=5, sent=29)
    assert [limit.limit(60.9), limit.limit(61)] == [5, 6]


def test_a_taken_probe_forgets_the_failed_ones() -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=5)
    limit.refused(40, running=5)
    limit.accepted(101, running=6)
    limit.refused(102, running=6, sent=101.5)
    assert [limit.limit(161.9), limit.limit(162)] == [6, 7]


def test_a_probe_never_exceeds_what_is_configured() -> None:
    limit = RunningLimit(5)
    limit.refused(0, running=4)
    limit.accepted(1000, running=5)
    assert limit.limit(1_000_000) == 5


# --- waits ---


@pytest.mark.parametrize(
    ("tries", "chance", "expected"), [(1, 0, 1), (1, 0.5, 1.5), (2, 0, 2), (4, 0.5, 12), (9, 0, 150), (10_000, 0, 150)]
)
def test_back_off_doubles_up_to_the_longest(tries: int, chance: float, expected: float) -> None:
    assert back_off(tries, first=2, longest=300, chance=chance) == expected


@pytest.mark.parametrize(
    ("elapsed", "expected", "wait"),
    [
        (0, 1000, 30),  # far from the end: the base
        (960, 1000, 20),  # halfway to the end
        (999, 1000, 1),  # near it: the shortest
        (1000, 1000, 1),
        (1020, 1000, 5),  # overdue: relaxing
        (5000, 1000, 30),
        (0, None, 1),  # nothing known: soon after the start
        (40, None, 10),
        (5000, None, 30),
    ],
)
def test_polls_tighten_towards_the_expected_end(elapsed: float, expected: float | None, wait: float) -> None:
    assert poll_after(elapsed, expected, base=30, shortest=1) == wait


@pytest.mark.parametrize(
    ("elapsed", "expected", "longest"),
    [
        (0, 1000, 30),
        (120, 1000, 30),
        (400, 1000, 100),  # its end is far: a quarter of its age
        (9000, 20_000, 300),  # ten bases at the most
        (1000, 1000, 30),  # it may end any time
        (400, None, 30),  # nothing is known
    ],
)
def test_looks_are_put_off_longer_while_the_end_is_far(elapsed: float, expected: float | None, longest: float) -> None:
    assert patience(elapsed, expected, base=30) == longest


def test_nothing_is_expected_before_a_task_was_seen() -> None:
    assert Expectation().expected() is None


def test_the_first_tasks_count_alike() -> None:
    times = Expectation()
    for seconds in (10, 20, 60):
        times.seen(seconds)
    assert times.expected() == pytest.approx(30)


def test_old_tasks_are_forgotten() -> None:
    times = Expectation()
    for seconds in [1000] * 5 + [10] * 40:
        times.seen(seconds)
    assert times.expected() == pytest.approx(10, abs=1)


def test_a_time_that_went_backwards_is_passed_over() -> None:
    times = Expectation()
    times.seen(-5)
    assert times.expected() is None


@pytest.mark.parametrize("seconds", [0.2, 1.0, 7.0, 30.0])
def test_looks_that_fall_due_about_the_same_time_fall_due_at_once(seconds: float) -> None:
    due = [together(1000.0 + late * seconds / 100, seconds) for late in range(20)]
    assert len(set(due)) <= 2
    assert all(0 <= at - (1000.0 + late * seconds / 100) < seconds / 3 for late, at in enumerate(due))


def test_the_moments_of_long_waits_are_moments_of_short_ones() -> None:
    at = together(1003.3, 30.0)
    assert [together(at, seconds) for seconds in (0.5, 3.0, 15.0)] == [at] * 3
