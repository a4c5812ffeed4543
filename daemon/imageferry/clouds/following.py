"""What following jobs has in common at every cloud: groups side by side, some at once, and what a success says.

The clouds' adapters, exports and copies call it. It knows no vendor, and asks only through what it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import TypeVar

import anyio

from imageferry.core.answers import Answer
from imageferry.core.job import ActionKind, Job
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Following, Progress

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


async def in_groups(
    asked: Sequence[Following],
    of: Callable[[Job], K],
    follow: Callable[[K, Sequence[Following]], Awaitable[Sequence[Progress]]],
) -> list[Progress]:
    """Follow the jobs of each group together, and the groups side by side: none holds up another."""
    groups: dict[K, list[Following]] = {}
    for one in asked:
        groups.setdefault(of(one.job), []).append(one)
    told: list[Progress] = []

    async def follow_group(key: K) -> None:
        told.extend(await follow(key, groups[key]))

    async with anyio.create_task_group() as group:
        for key in groups:
            group.start_soon(follow_group, key)
    return told


Follow = Callable[[Sequence[Following]], Awaitable[Sequence[Progress]]]
"""Follows jobs of one kind."""


async def by_action(asked: Sequence[Following], *, exports: Follow, copies: Follow) -> list[Progress]:
    """Follow exports and copies side by side, each in their own way."""

    async def follow(action: ActionKind, some: Sequence[Following]) -> Sequence[Progress]:
        return await (exports if action == "export" else copies)(some)

    return await in_groups(asked, lambda job: job.action, follow)


async def some_at_once(most: int, rows: Sequence[T], do: Callable[[T], Awaitable[R]]) -> list[R]:
    """What each row gives, in their order, ``most`` of them at a time."""
    given: dict[int, R] = {}
    limiter = anyio.CapacityLimiter(most)

    async def do_one(place: int) -> None:
        async with limiter:
            given[place] = await do(rows[place])

    async with anyio.create_task_group() as group:
        for place in range(len(rows)):
            group.start_soon(do_one, place)
    return [given[place] for place in range(len(rows))]


def answer_of(error: Refused | CircuitOpen) -> Answer | None:
    """What the vendor said; None where it was not asked."""
    return error.answer if isinstance(error, Refused) else None


def said_well(job: Job, reason: str) -> Answer | None:
    """The answer of a job that succeeded; None where its last one was good, which has more to tell."""
    return None if job.klass in ("", "ok") else Answer("ok", reason, request_id=job.request_id)
