"""Objects as every rehearsal cloud's exports write them and its storage shows them.

The exports and the storage of the rehearsal clouds call it. Names, sizes and who may look are the cloud's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formatdate
from typing import Protocol

from imageferry.core.times import SECOND
from imageferry.rehearsal.misbehaviour import Fault, Misbehaviour
from imageferry.rehearsal.store import StoredObject


class Delays(Protocol):
    """The options of a rehearsal cloud that say when objects are there."""

    @property
    def object_late_seconds(self) -> float:
        """How long after its task an object appears."""
        ...

    @property
    def object_grows_seconds(self) -> float:
        """How long after that it is whole."""
        ...


def written(
    delays: Delays, struck: Mapping[Fault, Misbehaviour], *, size: int, etag: str, ends_at: int
) -> StoredObject:
    """An object of an export that ends at ``ends_at``, with the faults that have struck it."""
    appears_at = ends_at + int((delays.object_late_seconds + _after(struck, "object_late")) * SECOND)
    grows = int((delays.object_grows_seconds + _after(struck, "object_grows")) * SECOND)
    return StoredObject(
        size=0 if "object_empty" in struck else size, etag=etag, appears_at=appears_at, whole_at=appears_at + grows
    )


def object_headers(seen: StoredObject, now: int) -> dict[str, str]:
    """The headers that HEAD of an object has at every vendor's storage."""
    return {
        "content-length": str(seen.size_at(now)),
        "content-type": "application/octet-stream",
        "last-modified": formatdate(min(seen.whole_at, now) // SECOND, usegmt=True),
        "etag": f'"{seen.etag}"',
    }


def _after(struck: Mapping[Fault, Misbehaviour], kind: Fault) -> float:
    fault = struck.get(kind)
    return fault.after if fault is not None else 0.0
