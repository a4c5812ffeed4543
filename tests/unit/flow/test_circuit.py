"""An account's circuit: one request proves the keys, a bad signature closes the account off."""

from __future__ import annotations

import anyio
import pytest

from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen
from imageferry.flow.circuit import FIRST_HOLD, LONGEST_HOLD, NEXT_PROVER, Circuit
from support.clocks import FakeClock

BAD = Answer("auth", "the signature is wrong", "AuthFailure.SignatureFailure", "r-1")
GOOD = Answer("ok", "")


async def proven(clock: FakeClock) -> Circuit:
    circuit = Circuit("prod", clock)
    assert await circuit.enter()
    circuit.judge(GOOD)
    circuit.leave(1)
    return circuit


async def test_the_first_request_proves_the_account_and_later_ones_pass_freely() -> None:
    circuit = await proven(FakeClock())
    assert [await circuit.enter() for _ in range(3)] == [0, 0, 0]


async def test_others_wait_until_the_first_request_is_judged() -> None:
    clock = FakeClock()
    circuit = Circuit("prod", clock)
    await circuit.enter()
    entered: list[int] = []

    async def another() -> None:
        entered.append(await circuit.enter())

    async with anyio.create_task_group() as group:
        group.start_soon(another)
        group.start_soon(another)
        await clock.settle()
        assert entered == []
        circuit.judge(GOOD)
        circuit.leave(1)
    assert entered == [0, 0]


async def test_a_bad_signature_refuses_those_who_waited_without_a_request() -> None:
    clock = FakeClock()
    circuit = Circuit("prod", clock)
    await circuit.enter()
    refused: list[str] = []

    async def another() -> None:
        try:
            await circuit.enter()
        except CircuitOpen as error:
            refused.append(str(error))

    async with anyio.create_task_group() as group:
        group.start_soon(another)
        await clock.settle()
        circuit.judge(BAD)
        circuit.leave(1)
    assert refused == ["account prod is closed off: AuthFailure.SignatureFailure: the signature is wrong (request r-1)"]
    assert circuit.reason == "AuthFailure.SignatureFailure: the signature is wrong (request r-1)"


async def test_a_prover_without_an_answer_makes_way_for_the_next() -> None:
    circuit = Circuit("prod", FakeClock())
    await circuit.enter()
    circuit.judge(Answer("unanswered", "timed out"))
    circuit.leave(1)
    assert await circuit.enter()


async def test_a_prover_that_hangs_does_not_hold_the_others_for_ever() -> None:
    clock = FakeClock()
    circuit = Circuit("prod", clock)
    await circuit.enter()
    entered: list[int] = []

    async def another() -> None:
        entered.append(await circuit.enter())

    async with anyio.create_task_group() as group:
        group.start_soon(another)
        await clock.until_sleeping()
        await clock.advance(NEXT_PROVER)
    assert entered == [2]


@pytest.mark.parametrize("klass", ["throttled", "retry", "unanswered", "never_sent"])
async def test_an_answer_from_before_the_signature_is_checked_proves_nothing(klass: str) -> None:
    circuit = Circuit("prod", FakeClock())
    await circuit.enter()
    circuit.judge(Answer(klass, ""))  # type: ignore[arg-type] # one of the closed set
    circuit.leave(1)
    assert await circuit.enter()


async def test_an_open_circuit_lets_one_request_try_after_its_hold() -> None:
    clock = FakeClock()
    circuit = await proven(clock)
    circuit.judge(BAD)
    with pytest.raises(CircuitOpen):
        await circuit.enter()
    assert circuit.reopens_in() == FIRST_HOLD
    clock.jump(FIRST_HOLD)
    assert await circuit.enter()


async def test_the_hold_doubles_while_the_keys_stay_wrong_up_to_the_longest() -> None:
    clock = FakeClock()
    circuit = await proven(clock)
    holds = []
    for _ in range(6):
        circuit.judge(BAD)
        holds.append(circuit.reopens_in())
        clock.jump(holds[-1])
        assert await circuit.enter()
    assert holds == [FIRST_HOLD, 600.0, 1200.0, 2400.0, LONGEST_HOLD, LONGEST_HOLD]


async def test_answers_to_requests_that_were_under_way_do_not_lengthen_the_hold() -> None:
    clock = FakeClock()
    circuit = await proven(clock)
    for _ in range(5):
        circuit.judge(BAD)
    assert circuit.reopens_in() == FIRST_HOLD


async def test_good_keys_close_the_circuit_again() -> None:
    clock = FakeClock()
    circuit = await proven(clock)
    circuit.judge(BAD)
    clock.jump(FIRST_HOLD)
    await circuit.enter()
    circuit.judge(GOOD)
    assert circuit.reason is None
    assert not await circuit.enter()


async def test_a_reload_lets_one_request_try_at_once() -> None:
    circuit = await proven(FakeClock())
    circuit.judge(BAD)
    circuit.try_again()
    assert await circuit.enter()


async def test_an_overtaken_prover_that_leaves_late_does_not_free_the_place_of_the_next() -> None:
    clock = FakeClock()
    circuit = Circuit("prod", clock)
    first = await circuit.enter()
    circuit.leave(first)
    second = await circuit.enter()
    circuit.leave(first)
    entered: list[int] = []

    async def another() -> None:
        entered.append(await circuit.enter())

    async with anyio.create_task_group() as group:
        group.start_soon(another)
        await clock.settle()
        assert entered == []
        circuit.leave(second)
    assert entered == [3]


async def test_an_answer_to_what_was_sent_before_the_refusal_does_not_open_the_way_again() -> None:
    circuit = await proven(FakeClock())
    circuit.judge(BAD)
    circuit.judge(GOOD)
    with pytest.raises(CircuitOpen):
        circuit.check()
