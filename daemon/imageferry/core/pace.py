"""Pace arithmetic: when the next request may go, how many tasks may run, how long to wait. The lanes of flow ask it.

Time is a parameter everywhere: seconds of a monotonic clock that never goes back between calls. Nothing here waits,
draws lots, or knows what a request is.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

# --- requests a second ---------------------------------------------------------------------------------------------


class Gcra:
    """A virtual-scheduling rate limiter (GCRA) by reservation, without burst, aimed ``margin`` under ``rate``.

    Slots are at least one interval apart. A caller that comes back late by at most :data:`CATCH_UP` is given the
    slot it missed, so that oversleeping costs no rate; one that comes back later has lost the time. The sum stays
    below ``rate`` in every window of 0.9 s, even if requests arrive up to 65 ms after their grants: 0.9 s + 65 ms
    + catch-up are less than the ``rate`` intervals of 1/(1 - margin) s altogether.

    It starts without credit: the first slot is one interval after ``start``, because whoever held the lane before
    may have sent until then.
    """

    CATCH_UP: Final = 0.02
    """Seconds by which a slot may lie in the past and still be used."""

    def __init__(self, rate: float, *, margin: float = 0.03, start: float) -> None:
        if not 0 <= margin < 1:
            raise ValueError(f"margin {margin!r} is not from 0 to below 1")
        self._margin = margin
        self._last = start
        self.set_rate(rate)

    def set_rate(self, rate: float) -> None:
        """Space what is reserved from now on for another rate, counted from the last slot given."""
        if not rate > 0:
            raise ValueError(f"rate {rate!r} is not above 0")
        self._interval = 1 / (rate * (1 - self._margin))

    def reserve(self, now: float) -> float:
        """Take the next slot: when this request may go, at or after ``now``. A slot not used is lost."""
        slot = self._last + self._interval
        self._last = now if now - slot > self.CATCH_UP else slot
        return max(now, self._last)


class Aimd:
    """The rate a lane allows itself after ``throttled`` answers: halves, and climbs back in a straight line.

    It climbs by ``climb`` of the limit a second (5 %: from a half back to the whole in ten seconds), never above
    ``limit`` and never below ``floor`` of it.
    """

    PATIENCE: Final = 1.0
    """Seconds after a cut in which no other follows."""

    def __init__(self, limit: float, *, floor: float = 1 / 16, climb: float = 0.05) -> None:
        if not (limit > 0 and 0 < floor <= 1 and climb > 0):
            raise ValueError(f"limit {limit!r} and climb {climb!r} must be above 0, floor {floor!r} within (0, 1]")
        self._limit = limit
        self._floor = floor * limit
        self._climb = climb * limit
        self._cut_rate = limit
        self._cut_at: float | None = None

    def rate(self, now: float) -> float:
        """Requests a second allowed now."""
        if self._cut_at is None:
            return self._limit
        return min(self._limit, self._cut_rate + self._climb * max(0.0, now - self._cut_at))

    def throttled(self, now: float, sent: float) -> bool:
        """A request sent at ``sent`` was throttled; whether that cut the rate.

        Answers to requests that left before the last cut, or less than a second after it, say nothing new.
        """
        if self._cut_at is not None and (sent < self._cut_at or now - self._cut_at < self.PATIENCE):
            return False
        self._cut_rate = max(self._floor, self.rate(now) / 2)
        self._cut_at = now
        return True


# --- tasks running at once -----------------------------------------------------------------------------------------


class RunningLimit:
    """How many tasks a lane may have in flight: as configured, or as the cloud's refusals and acceptances teach.

    A refusal proves that the cloud takes no more than what ran beside the refused request at some moment of its
    flight. That is at most what runs now, what ended since it was sent, and what was on its way and turns out to have
    been accepted; so neither answers that come late nor tasks that end meanwhile teach too low a number. An
    acceptance proves its own count. Too high a number corrects itself with the next refusal.

    A learned limit is tried again: ``probe_after`` seconds after the last refusal one task more is allowed. Taken,
    the limit is one higher and the next one may be tried at once; refused, the wait doubles, up to ``longest``.
    Nothing ever exceeds ``configured``.
    """

    def __init__(self, configured: int | None, *, probe_after: float = 30.0, longest: float = 1800.0) -> None:
        if configured is not None and configured < 1:
            raise ValueError(f"running limit {configured!r} is not a whole number from 1")
        self._configured = configured
        self._learned: int | None = None
        self._learned_at = 0.0
        self._probe_after = probe_after
        self._longest = max(probe_after, longest)
        self._wait = probe_after
        self._probe_at = 0.0
        self._ends: deque[float] = deque(maxlen=_ENDS_KEPT)

    def limit(self, now: float) -> int | None:
        """How many tasks may be in flight now; None: as many as one likes, nothing is known."""
        if self._learned is None:
            return self._configured
        allowed = max(1, self._learned) + (now >= self._probe_at)
        return allowed if self._configured is None else min(allowed, self._configured)

    def accepted(self, now: float, running: int, *, sent: float | None = None) -> None:
        """The cloud took a request, sent at ``sent`` (None: just now); with it ``running`` tasks are in flight."""
        if self._learned is None:
            return
        if sent is not None and sent <= self._learned_at:
            self._learned += 1
        elif running > self._learned:
            self._wait = self._probe_after
            self._probe_at = min(self._probe_at, now)
        self._learned = max(self._learned, running)

    def ended(self, now: float) -> None:
        """A task was seen to end; it may have filled a slot for requests that are still on their way."""
        self._ends.append(now)

    def refused(self, now: float, running: int, *, sent: float | None = None) -> None:
        """The cloud refused a request because of running tasks.

        :param running: the other tasks in flight, accepted or in doubt, without the refused one.
        :param sent: when the request was sent; None: just now.
        """
        since = now if sent is None else sent
        proved = running + sum(1 for end in self._ends if end >= since)
        known = self._configured if self._learned is None else self._learned
        if known is None or proved < known:
            self._learned, self._learned_at = proved, now
        else:
            self._learned = known
            if since >= self._probe_at:
                self._wait = min(self._wait * 2, self._longest)
        self._probe_at = now + self._wait


_ENDS_KEPT: Final = 1000


# --- waits ---------------------------------------------------------------------------------------------------------


def back_off(tries: int, first: float, longest: float, chance: float) -> float:
    """How long to wait after the ``tries``-th failure (from 1), in seconds.

    The full wait doubles from ``first`` to at most ``longest``; ``chance``, drawn from [0, 1), picks a moment in its
    second half, so that the result is in [full/2, full).
    """
    full = min(longest, first * 2.0 ** min(max(tries, 1) - 1, _MOST_DOUBLINGS))
    return full * (1 + chance) / 2


_MOST_DOUBLINGS: Final = 64


def poll_after(elapsed: float, expected: float | None, base: float, shortest: float) -> float:
    """How long until a running task is looked at again, in seconds, between ``shortest`` and ``base``.

    ``elapsed`` counts from the task's start. Where an end is expected, each look halves the way to it, and past it
    the waits grow again with a quarter of the delay. Where nothing is known the waits grow with a quarter of the
    age, so that a short task is seen soon after its end and a long one costs few looks.
    """
    if expected is None:
        wanted = elapsed / 4
    elif elapsed < expected:
        wanted = (expected - elapsed) / 2
    else:
        wanted = (elapsed - expected) / 4
    return max(shortest, min(base, wanted))


def patience(elapsed: float, expected: float | None, base: float) -> float:
    """The longest that a look at a running task may be put off, in seconds: ``base``, and more while its end is far.

    Before an end that is expected it is a quarter of the task's age, so that one that ends early, or fails, is still
    seen soon for what it took; :data:`MOST_BASES` bases at the most.
    """
    if expected is None or elapsed >= expected:
        return base
    return max(base, min(elapsed / 4, MOST_BASES * base))


MOST_BASES: Final = 10


def together(due_at: float, seconds: float) -> float:
    """The moment ``due_at``, ``seconds`` from now, put off so that what falls due about then falls due at once.

    Many tasks then share a request. It is put off by less than a third of the wait; the moments of long waits are
    moments of short ones too.
    """
    grid = 2.0 ** math.floor(math.log2(seconds / 3))
    return math.ceil(due_at / grid) * grid


class Expectation:
    """How long tasks of one kind take: the plain mean of the first few, then one that forgets (EWMA)."""

    WEIGHT: Final = 0.2
    """Of the newest task, once there have been five."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0

    def seen(self, seconds: float) -> None:
        """A task took so long. A negative time, which a wall clock set back can make, is passed over."""
        if seconds < 0:
            return
        self._count += 1
        self._mean += (seconds - self._mean) * max(self.WEIGHT, 1 / self._count)

    def expected(self) -> float | None:
        """How long the next one should take, in seconds; None before the first."""
        return self._mean if self._count else None
