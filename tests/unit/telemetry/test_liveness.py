from __future__ import annotations

from imageferry.telemetry.liveness import Heartbeats
from support.clocks import FakeClock


def test_loops_that_beat_are_alive() -> None:
    clock = FakeClock()
    beats = Heartbeats(clock.monotonic)
    beats.beat("submit")
    clock.jump(30)
    assert beats.stopped(clock.monotonic(), 30) == []


def test_a_silent_loop_is_named_and_a_moving_one_is_not() -> None:
    clock = FakeClock()
    beats = Heartbeats(clock.monotonic)
    for name in ("submit", "follow", "announce"):
        beats.beat(name)
    clock.jump(31)
    beats.beat("follow")
    assert beats.stopped(clock.monotonic(), 30) == ["announce", "submit"]


def test_a_loop_that_moves_again_is_alive_again() -> None:
    clock = FakeClock()
    beats = Heartbeats(clock.monotonic)
    beats.beat("submit")
    clock.jump(100)
    beats.beat("submit")
    assert beats.stopped(clock.monotonic(), 30) == []


def test_a_loop_that_ended_as_it_should_is_not_missed() -> None:
    clock = FakeClock()
    beats = Heartbeats(clock.monotonic)
    beats.beat("source file")
    beats.forget("source file")
    clock.jump(100)
    assert beats.stopped(clock.monotonic(), 30) == []


def test_forgetting_a_loop_that_never_moved_is_fine() -> None:
    beats = Heartbeats(FakeClock().monotonic)
    beats.forget("nobody")
    assert beats.stopped(1e9, 1) == []
