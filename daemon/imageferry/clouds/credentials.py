"""Keys for signing: where they come from, kept until they run out, read anew when they must be.

The clients of the clouds call :meth:`Credentials.get` for every request. What differs between vendors (words, files,
metadata servers, how a role is taken) stands in each cloud's own ``credentials``, which its adapter hands over. No
value of a key is in any error or log.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import anyio
import structlog

from imageferry.clouds.wire import Told, Wire
from imageferry.core.account import Account, CredentialSpec, Role
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.errors import ImageferryError, Refused
from imageferry.ports import Clock
from imageferry.telemetry.secrets import forget_secret, register_secret

MARGIN: Final = 300 * SECOND
"""Keys with no more time left than this are read anew; of keys that live shortly, a third of what they had."""
PAUSE: Final = 5.0
"""Seconds between two tries at a source that cannot be asked, or whose keys seem to have ended by the time they are
read: however many requests want keys, none of them is to make it worse."""
VAIN: Final = 60.0
"""Seconds for which a storage's refusals have no keys read anew once it has refused new ones too."""
POOL: Final = "credentials"
_FORBIDDEN: Final = (401, 403)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with. Its repr shows nothing that opens anything."""

    id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: int | None = None
    """Microseconds UTC; None: never, as far as is known."""


class NotHere(ImageferryError):
    """A source has no keys; the message says where it looked. A chain goes on with the next."""


class Wrong(ImageferryError):
    """A source is there and gives no keys until a person puts it right. A chain stops: the next would be another."""


class Unreachable(ImageferryError):
    """A source that may have keys could not be asked just now; trying again may help. A chain stops."""


class Silent(Unreachable):
    """It cannot even be told whether the source is there. A chain goes on, a source that had keys is waited for."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the sources of keys look into; given, so that nothing is taken from the process by itself."""

    environ: Mapping[str, str] = field(repr=False)
    home: Path
    etc: Path = Path("/etc")
    metadata: str | None = None
    """Base URL of the machine's metadata server; None: the vendor's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything a source may use."""

    account: Account
    around: Around
    wire: Wire
    clock: Clock
    nonce: Callable[[], object] = uuid.uuid4
    """Something new at every call; a signature's own chance, which decides nothing."""

    @property
    def spec(self) -> CredentialSpec:
        """What the configuration says about the account's keys."""
        return self.account.credentials


Source = Callable[[Asked], Awaitable[Keys]]
"""Reads keys.

:raises NotHere: there are none.
:raises Wrong: there are, and they cannot be read before a person has done something.
:raises Unreachable: it cannot be told now.
"""

Assume = Callable[[Asked, Keys, Role], Awaitable[Keys]]
"""Takes a role with keys: the keys of that role. See ``roles``.

:raises Wrong: the role is not given to these keys.
:raises Unreachable: it cannot be told now.
"""


class FirstOf:
    """The first of several sources that has keys, as a source. What the others said is told when none has."""

    def __init__(self, *sources: Source) -> None:
        self.sources = sources

    async def __call__(self, asked: Asked) -> Keys:
        """See :data:`Source`."""
        return (await first(self.sources, asked))[0]


async def first(sources: Sequence[Source], asked: Asked) -> tuple[Keys, Source]:
    """The first of several sources that has keys, and which it was; what only one source says is raised as it is.

    One that is there and wrong, or cannot be asked, ends the search, or an account would change its identity for as
    long as that lasts.
    """
    if len(sources) == 1:
        return await sources[0](asked), sources[0]
    looked: list[str] = []
    for source in sources:
        try:
            return await source(asked), source
        except (NotHere, Silent) as error:
            looked.append(str(error))
    raise NotHere("; ".join(looked))


class Step(NamedTuple):
    """One place where keys may be."""

    word: str
    """What a configuration calls it: ``env file instance oidc``; empty where only a chain asks it."""
    where: str
    """Where it looks, for people, in Markdown."""
    read: Source


def table_of(static: Source, chain: Sequence[Step], beside: Sequence[Step] = ()) -> Mapping[str, Source]:
    """The sources that a configuration may name; ``beside`` are those that a chain does not ask."""
    steps = (*chain, *beside)
    named = {word: FirstOf(*(step.read for step in steps if step.word == word)) for word, _, _ in steps if word}
    return {"static": static, **named, "chain": FirstOf(*(step.read for step in chain))}


class Credentials:
    """One account's keys, shared by everything that signs for it."""

    def __init__(
        self,
        account: Account,
        around: Around,
        wire: Wire,
        clock: Clock,
        sources: Mapping[str, Source],
        assume: Assume | None = None,
    ) -> None:
        """``sources``: the cloud's own, by the word of the configuration; ``assume``: how roles are taken there."""
        self._asked = Asked(account, around, wire, clock)
        self._clock = clock
        self._sources = sources
        self._assume = assume
        self._keys: Keys | None = None
        self._base: Keys | None = None
        self._winner: Source | None = None
        self._lock = anyio.Lock()
        self._margin = MARGIN
        self._not_before = 0.0
        self._in_vain_until = 0.0
        self._ended_when_read = False
        self._unread: Answer | None = None

    async def get(self) -> Keys:
        """Keys that hold for a while; one read at a time, however many ask.

        :raises Refused: there are none (``auth``), or they cannot be read now (``never_sent``).
        """
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._lock:
            if (fresh := self._fresh()) is not None:
                return fresh
            if self._unread is not None and self._clock.monotonic() < self._not_before:
                raise Refused(self._unread)
            return await self._renew()

    async def refresh(self, stale: Keys) -> Keys:
        """Keys read anew because the vendor refused ``stale``; the same again where the source has no others.

        :raises Refused: as for :meth:`get`.
        """
        async with self._lock:
            if self._keys is not None and self._keys != stale:
                return self._keys
            return await self._renew(stale)

    async def signing(self, send: Callable[[Keys], Awaitable[Told]], *, renewing: bool = True) -> Told:
        """What a request told that ``send`` signs and sends; where its keys are refused, once more with newer ones.

        For storages, whose refusals of a HEAD do not say whether it is the keys that ended: a bucket that stays closed
        must not have a role taken for every look at it. Not ``renewing``: something else may be to blame first.
        """
        try:
            keys = await self.get()
        except Refused as refused:
            return Told(refused.answer)
        told = await send(keys)
        if not renewing or told.reply is None or told.reply.status not in _FORBIDDEN:
            return told
        if self._clock.monotonic() < self._in_vain_until:
            return told
        try:
            fresh = await self.refresh(keys)
        except Refused:
            return told
        if fresh == keys:
            return told
        told = await send(fresh)
        if told.reply is not None and told.reply.status in _FORBIDDEN:
            self._in_vain_until = self._clock.monotonic() + VAIN
        return told

    def _fresh(self) -> Keys | None:
        keys = self._keys
        if keys is None or self._lasts(keys):
            return keys
        usable = self._holds(keys) or self._ended_when_read
        return keys if usable and self._clock.monotonic() < self._not_before else None

    def _lasts(self, keys: Keys) -> bool:
        return keys.expires_at is None or keys.expires_at - self._clock.now() > self._margin

    def _holds(self, keys: Keys) -> bool:
        return keys.expires_at is None or keys.expires_at > self._clock.now()

    async def _renew(self, stale: Keys | None = None) -> Keys:
        try:
            keys = await self._read()
        except Refused as refused:
            # What a person puts right and has tried again (SIGHUP) is not waited for.
            self._unread = refused.answer if refused.answer.klass == "never_sent" else None
            self._not_before, self._ended_when_read = self._clock.monotonic() + PAUSE, False
            if self._keys is None or self._keys == stale or not self._holds(self._keys):
                raise
            log.warning("keys not renewed", account=self._asked.account.name, reason=str(refused))
            return self._keys
        _hide(self._keys, keys)
        self._keys, self._unread = keys, None
        self._ended_when_read = not self._holds(keys)
        if self._ended_when_read:
            self._not_before = self._clock.monotonic() + PAUSE
        if keys.expires_at is not None:
            # Also where a source gives the same keys until their very end it is not asked for every request.
            self._margin = min(MARGIN, (keys.expires_at - self._clock.now()) // 3)
        return keys

    async def _read(self) -> Keys:
        """The account's keys: those of its role where the configuration names one."""
        account = self._asked.account.name
        try:
            keys = await self._look()
            role = self._asked.spec.role
            return keys if role is None else await self._take(role, keys)
        except Unreachable as error:
            raise Refused(Answer("never_sent", f"the keys cannot be read now: {error}")) from error
        except (NotHere, Wrong) as error:
            self._winner = None
            raise Refused(Answer("auth", f"no keys for account {account}: {error}")) from error

    async def _look(self) -> Keys:
        """Keys from the source that had them last, else from the configured ones in their order."""
        source = self._winner or self._sources[self._asked.spec.source]
        keys, self._winner = await first(source.sources if isinstance(source, FirstOf) else [source], self._asked)
        return keys

    async def _take(self, role: Role, keys: Keys) -> Keys:
        if self._assume is None:
            raise Wrong(f"roles cannot be taken at {self._asked.account.cloud}")
        _hide(self._base, keys)
        self._base = keys
        return await self._assume(self._asked, keys, role)


def _hide(old: Keys | None, new: Keys) -> None:
    """Keep new keys out of every text; old ones that open nothing any more need not be kept out for ever."""
    values = {new.secret, new.token} - {""}
    for value in values:
        register_secret(value)
    if old is not None and old.token:
        for value in {old.secret, old.token} - values:
            forget_secret(value)
