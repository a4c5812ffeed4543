"""What ``check --online`` asks of a cloud: whose the keys are, what quotas are left, whether a bucket is there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Identity(NamedTuple):
    """Whose keys they are, by the vendor's own word."""

    account_id: str
    """As events and the config name the account; empty where the vendor does not say."""
    name: str = ""
    """The user or role, as the vendor writes it."""


class Quota(NamedTuple):
    """How much of something a region may hold."""

    what: str
    """In the plural: ``images``."""
    limit: int
    used: int | None = None
    """None: the vendor does not say."""


class Bucket(NamedTuple):
    """A bucket as exports from a region would find it."""

    exists: bool
    region: str = ""
    """Where it is; empty where the storage does not say."""
    fault: str = ""
    """Why exports cannot use it although it is there."""


class Inquirer(Protocol):
    """The questions of ``check --online`` to one account. Every adapter answers them; none changes anything.

    Each may raise :class:`~imageferry.errors.Refused`: the question was not answered, with the vendor's reason;
    and :class:`~imageferry.errors.CircuitOpen`: the keys were refused before.
    """

    async def identity(self, region: str) -> Identity:
        """Whose keys they are; ``region`` says only where to ask."""
        ...

    async def quotas(self, region: str) -> Sequence[Quota]:
        """What a region may hold, as far as the API tells; empty where it has no such question."""
        ...

    async def bucket(self, bucket: str, region: str) -> Bucket:
        """Look at a bucket from where exports of this region's images would be written."""
        ...
