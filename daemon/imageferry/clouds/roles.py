"""Roles: keys that are given out for other keys, at every vendor by one signed request.

Each cloud's own ``credentials`` hands over how its request is signed and its answer read; the rest is here. It keeps
nothing: the keys it gets are kept, and renewed before they end, by the ``Credentials`` that asked. No key, token or
external id is in any of its errors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from imageferry.clouds.credentials import POOL, Asked, Assume, Keys, Unreachable, Wrong
from imageferry.clouds.places import read_plain
from imageferry.clouds.wire import Reply, Request, foreign, http_date
from imageferry.core.account import Role
from imageferry.core.times import SECOND
from imageferry.telemetry.secrets import register_secret

CLOCK_OFF: Final = 60 * SECOND
"""A clock that is off by more than this may be why a signature was refused."""
MOST: Final = 5
"""Roles that may be taken one with the keys of another; profiles that name each other have no end."""


class Fault(NamedTuple):
    """How a vendor refused to give out keys."""

    code: str
    """The vendor's word for it."""
    kind: Literal["wrong", "clock", "later"]
    """A person must act; our clock is off; the same request may succeed in a while."""


Sign = Callable[[Asked, Keys, Role, int], Request]
"""The request for a role's keys, signed with the keys and the time (microseconds UTC) that are given."""

Read = Callable[[Reply, Role], Keys | Fault]
"""The keys that a vendor gives, by its own clock.

:raises Unreachable: the reply cannot be read.
"""


def taking(sign: Sign, read: Read) -> Assume:
    """How one vendor's roles are taken; a request that is refused for our clock is signed by the vendor's, once."""

    async def assume(asked: Asked, keys: Keys, role: Role) -> Keys:
        for value in {keys.secret, keys.token} - {""}:
            register_secret(value)
        reply = await send(asked, sign(asked, keys, role, asked.clock.now()))
        told = read(reply, role)
        date = http_date(reply.headers.get("date", ""))
        if isinstance(told, Fault) and told.kind == "clock" and date is not None:
            reply = await send(asked, sign(asked, keys, role, date))
            told = read(reply, role)
        return given(told, role, reply)

    return assume


async def send(asked: Asked, request: Request) -> Reply:
    """What was answered, whatever its status.

    :raises Unreachable: nothing was.
    """
    told = await asked.wire.ask(POOL, request, read_plain)
    if told.reply is None:
        host = request.url.partition("://")[2].partition("/")[0]
        raise Unreachable(f"{request.api} at {host}: {told.answer.message}")
    return told.reply


def clock_is_off(reply: Reply) -> bool:
    """Whether our clock is far from the vendor's; for vendors that have no code of their own for it."""
    date = http_date(reply.headers.get("date", ""))
    return date is not None and abs(date - reply.received_at) > CLOCK_OFF


def given(told: Keys | Fault, role: Role, reply: Reply) -> Keys:
    """The keys of a role, with their end by our own clock.

    :raises Wrong: the role is not given.
    :raises Unreachable: it may be given later.
    """
    if isinstance(told, Fault):
        whose = f"{role.name} of {role.owner}" if role.owner else role.name
        reason = f"the role {whose} is not given: {foreign(told.code)}"
        if told.kind == "later":
            raise Unreachable(reason)
        advice = "the machine's time is off" if told.kind == "clock" else "look whether it exists and trusts these keys"
        raise Wrong(f"{reason}; {advice}")
    date = http_date(reply.headers.get("date", ""))
    if told.expires_at is None or date is None:
        return told
    # A Date has whole seconds: it says something about our clock only where they differ by more.
    off = date - reply.received_at
    return replace(told, expires_at=told.expires_at - off) if abs(off) > SECOND else told
