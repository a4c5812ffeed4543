"""What pace arithmetic promises at every moment and under every order of answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from imageferry.core.pace import Aimd, Expectation, Gcra, RunningLimit, back_off, poll_after

WINDOW = 0.9
JITTER = 0.065
OVERSLEPT = 0.010

rates = st.one_of(st.sampled_from([1.0, 5.0, 10.0, 20.0, 40.0, 100.0]), st.floats(0.2, 300))
lateness = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def worst_window(moments: list[float], width: float) -> int:
    """The most moments that any window of this width holds, both of its ends included."""
    ordered = sorted(moments)
    worst = first = 0
    for last, moment in enumerate(ordered):
        while moment - ordered[first] > width:
            first += 1
        worst = max(worst, last - first + 1)
    return worst


def cycled(pattern: list[float], index: int) -> float:
    return pattern[index % len(pattern)]


@given(rate=rates, oversleeps=lateness)
@example(rate=20.0, oversleeps=[1.0])
@example(rate=300.0, oversleeps=[1.0])
@example(rate=300.0, oversleeps=[0.0, 1.0])
def test_a_caller_that_always_asks_holds_95_percent_though_it_oversleeps(rate: float, oversleeps: list[float]) -> None:
    pace = Gcra(rate, start=0)
    now = 0.0
    requests = max(50, round(rate * 3))
    for index in range(requests):
        slot = pace.reserve(now)
        now = now if slot <= now else slot + cycled(oversleeps, index) * OVERSLEPT
    assert requests / (now - OVERSLEPT) >= 0.95 * rate


@given(
    rate=rates,
    pauses=st.lists(st.one_of(st.just(0.0), st.floats(0, 0.1), st.floats(0, 3)), min_size=1, max_size=40),
    jitters=lateness,
)
@example(rate=20.0, pauses=[0.0], jitters=[1.0] * 19 + [0.0] * 19)
@example(rate=100.0, pauses=[0.0] * 10 + [0.02], jitters=[1.0] * 30 + [0.0] * 100)
def test_no_window_sees_more_than_the_rate_whatever_the_delays(
    rate: float, pauses: list[float], jitters: list[float]
) -> None:
    pace = Gcra(rate, start=0)
    now, arrivals = 0.0, []
    for index in range(max(40, round(rate * 3))):
        slot = pace.reserve(now)
        arrivals.append(slot + cycled(jitters, index) * JITTER)
        now = max(now, slot) + cycled(pauses, index)
    assert worst_window(arrivals, WINDOW) <= math.ceil(rate)


@given(rate=rates, moments=st.lists(st.floats(0, 20), min_size=1, max_size=100))
def test_nothing_goes_before_it_is_asked_nor_before_its_predecessor(rate: float, moments: list[float]) -> None:
    pace = Gcra(rate, start=0)
    last = 0.0
    for now in sorted(moments):
        slot = pace.reserve(now)
        assert slot >= max(now, last)
        last = slot


@given(rate=rates, stall=st.floats(0.1, 1e6), backlog=st.integers(2, 50))
def test_after_a_stall_requests_are_a_whole_interval_apart(rate: float, stall: float, backlog: int) -> None:
    pace = Gcra(rate, start=0)
    now = pace.reserve(0) + 1 / rate + stall
    slots = [pace.reserve(now) for _ in range(backlog)]
    assert min(b - a for a, b in pairwise(slots)) >= 1 / rate


@given(
    before=rates,
    after=rates,
    asked=st.integers(1, 10),
)
def test_a_new_rate_is_kept_from_the_next_reservation_on(before: float, after: float, asked: int) -> None:
    pace = Gcra(before, margin=0, start=0)
    last = [pace.reserve(0) for _ in range(asked)][-1]
    pace.set_rate(after)
    assert math.isclose(pace.reserve(0), last + 1 / after)


@given(
    limit=st.floats(0.5, 500),
    answers=st.lists(st.tuples(st.floats(0, 5), st.floats(0, 3), st.booleans()), max_size=60),
)
def test_the_allowed_rate_stays_within_its_bounds_and_cuts_at_most_once_a_second(
    limit: float, answers: list[tuple[float, float, bool]]
) -> None:
    rate = Aimd(limit)
    now, cuts = 0.0, []
    for pause, flight, throttled in answers:
        now += pause
        before = rate.rate(now)
        if throttled and rate.throttled(now, sent=now - flight):
            assert all(now - flight >= cut for cut in cuts)
            assert math.isclose(rate.rate(now), max(limit / 16, before / 2))
            cuts.append(now)
        elif throttled:
            assert rate.rate(now) == before
        assert limit / 16 <= rate.rate(now) <= limit
    assert all(b - a >= 1 for a, b in pairwise(cuts))


@given(limit=st.floats(0.5, 500), moments=st.lists(st.floats(0, 100), min_size=2))
def test_the_rate_only_climbs_while_nothing_is_throttled(limit: float, moments: list[float]) -> None:
    rate = Aimd(limit)
    rate.throttled(0, sent=0)
    climbed = [rate.rate(now) for now in sorted(moments)]
    assert climbed == sorted(climbed)


@given(tries=st.integers(1, 10**6), first=st.floats(0.001, 1e3), longest=st.floats(0.001, 1e5), chance=st.floats(0, 1))
def test_back_off_stays_in_the_second_half_of_its_range(
    tries: int, first: float, longest: float, chance: float
) -> None:
    full = back_off(tries, first, longest, 1)
    assert full / 2 <= back_off(tries, first, longest, chance) <= full <= longest


@given(tries=st.integers(1, 100), first=st.floats(0.001, 1e3), longest=st.floats(0.001, 1e5))
def test_back_off_never_shrinks_with_more_tries(tries: int, first: float, longest: float) -> None:
    assert back_off(tries, first, longest, 0) <= back_off(tries + 1, first, longest, 0)


@given(
    elapsed=st.floats(0, 1e6),
    expected=st.none() | st.floats(0, 1e6),
    shortest=st.floats(0.01, 5),
    spread=st.floats(0, 60),
)
def test_polls_stay_between_the_shortest_and_the_base(
    elapsed: float, expected: float | None, shortest: float, spread: float
) -> None:
    assert shortest <= poll_after(elapsed, expected, shortest + spread, shortest) <= shortest + spread


@given(expected=st.floats(1, 1e5), length=st.floats(0.5, 3), base=st.floats(1, 60))
def test_a_task_near_its_expected_end_is_seen_soon_after_it_ends(expected: float, length: float, base: float) -> None:
    end, elapsed, looks = expected * length, 0.0, 0
    while elapsed < end:
        elapsed += poll_after(elapsed, expected, base, 0.5)
        looks += 1
    assert elapsed - end <= max(0.5, min(base, abs(end - expected)))
    assert looks <= end / base + 80


@given(times=st.lists(st.floats(0, 1e6), min_size=1))
def test_what_is_expected_lies_between_what_was_seen(times: list[float]) -> None:
    expectation = Expectation()
    for seconds in times:
        expectation.seen(seconds)
    expected = expectation.expected()
    assert expected is not None
    assert min(times) - 1e-6 <= expected <= max(times) + 1e-6


# --- the running limit against a cloud -----------------------------------------------------------------------------


@dataclass
class Request:
    """A request on its way: the cloud has judged it on arrival, the answer comes back later."""

    sent: float
    taken: bool


@dataclass
class CloudAndLane:
    """A cloud that takes ``limit`` tasks, and a lane that learns: what runs here ends there first."""

    limit: int
    at_cloud: int = 0
    running: int = 0
    ended_unseen: int = 0
    flying: list[Request] = field(default_factory=list)

    @property
    def in_flight(self) -> int:
        return self.running + len(self.flying)


class LearnedLimit(RuleBasedStateMachine):
    """Sends, late answers in any order, and ends that are seen late never teach less than the cloud takes."""

    def __init__(self) -> None:
        super().__init__()
        self.world = CloudAndLane(limit=5)
        self.limit = RunningLimit(None, probe_after=30, longest=120)
        self.now = 0.0
        self.refusals = 0

    def may_send(self) -> bool:
        allowed = self.limit.limit(self.now)
        return allowed is None or self.world.in_flight < allowed

    @rule(seconds=st.floats(0.01, 40))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.may_send() and len(self.world.flying) < 20)
    @rule()
    def send(self) -> None:
        self.now += 0.001
        taken = self.world.at_cloud < self.world.limit
        self.world.at_cloud += taken
        self.world.flying.append(Request(self.now, taken))

    @precondition(lambda self: self.world.flying)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        self.now += 0.001
        request = self.world.flying.pop(data.draw(st.integers(0, len(self.world.flying) - 1)))
        if request.taken:
            self.world.running += 1
            self.limit.accepted(self.now, self.world.running, sent=request.sent)
        else:
            self.refusals += 1
            self.limit.refused(self.now, self.world.running, sent=request.sent)

    @precondition(lambda self: self.world.running > self.world.ended_unseen)
    @rule()
    def end_at_cloud(self) -> None:
        self.world.at_cloud -= 1
        self.world.ended_unseen += 1

    @precondition(lambda self: self.world.ended_unseen)
    @rule()
    def see_end(self) -> None:
        self.now += 0.001
        self.world.ended_unseen -= 1
        self.world.running -= 1
        self.limit.ended(self.now)

    @invariant()
    def the_limit_is_never_taught_below_what_the_cloud_takes_once_every_answer_is_in(self) -> None:
        allowed = self.limit.limit(self.now)
        if not self.world.flying:
            assert allowed is None or allowed >= self.world.limit

    @invariant()
    def without_refusals_nothing_is_learned(self) -> None:
        assert (self.limit.limit(self.now) is None) == (self.refusals == 0)


TestLearnedLimit = LearnedLimit.TestCase


@given(limit=st.integers(1, 10), flying=st.integers(2, 40), data=st.data())
def test_one_wave_of_requests_teaches_exactly_what_the_cloud_takes(
    limit: int, flying: int, data: st.DataObject
) -> None:
    taken = min(limit, flying)
    learner = RunningLimit(None)
    running = 0
    for accepted in data.draw(st.permutations([True] * taken + [False] * (flying - taken))):
        if accepted:
            running += 1
            learner.accepted(1.0, running, sent=0.0)
        else:
            learner.refused(1.0, running, sent=0.0)
    assert learner.limit(1.0) == (taken if flying > limit else None)


@given(
    configured=st.integers(1, 20),
    events=st.lists(st.tuples(st.floats(0, 100), st.sampled_from(["accepted", "refused"]), st.integers(0, 25))),
)
def test_a_configured_limit_is_never_exceeded_and_never_below_one(
    configured: int, events: list[tuple[float, str, int]]
) -> None:
    limit = RunningLimit(configured)
    now = 0.0
    for pause, kind, running in events:
        now += pause
        (limit.accepted if kind == "accepted" else limit.refused)(now, running)
        allowed = limit.limit(now)
        assert allowed is not None
        assert 1 <= allowed <= configured


@given(low=st.integers(1, 5), high=st.integers(6, 30))
def test_a_limit_learned_too_low_climbs_back_by_probes(low: int, high: int) -> None:
    limit = RunningLimit(None, probe_after=30)
    limit.refused(0, running=low)
    now, running, refused = 31.0, low, 0
    while running < high and refused < 3:
        if running < (limit.limit(now) or 0):
            running += 1
            limit.accepted(now, running)
        else:
            refused += 1
        now += 0.1
    assert (running, refused) == (high, 0)
