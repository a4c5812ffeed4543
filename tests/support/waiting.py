"""Waiting for what a real part brings about and does not announce: a condition, a deadline, no fixed sleeps."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Final

import anyio

LOOK_EVERY: Final = 0.02
"""Seconds between two looks at a condition."""


async def until(condition: Callable[[], bool | Awaitable[bool]], within: float = 20.0) -> None:
    """Wait until ``condition`` holds; fails the test when it does not ``within`` so many seconds."""
    try:
        with anyio.fail_after(within):
            while not await _holds(condition):  # noqa: ASYNC110 - what a real part does sets no event of ours
                await anyio.sleep(LOOK_EVERY)
    except TimeoutError:
        raise AssertionError(f"not within {within:g} s: {_named(condition)}") from None


async def _holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    held = condition()
    return await held if inspect.isawaitable(held) else held


def _named(condition: Callable[[], object]) -> str:
    """Where the condition stands."""
    code = getattr(condition, "__code__", None)
    return repr(condition) if code is None else f"{code.co_name} at {code.co_filename}:{code.co_firstlineno}"
