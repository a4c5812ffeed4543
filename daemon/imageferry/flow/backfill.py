"""Back-fill: images that exist already, taken page by page as work behind everything fresh.

Called by the daemon for what ``imageferry backfill`` hands over its socket, and by the command itself when no daemon
runs. Which images are worth it is the command's affair; the loops look at each one again and decide.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.errors import BatchRefused
from imageferry.ports import Clock, Ledger, PutIn

DO: Final = "backfill"
"""What a request over the socket says it wants."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some images of one place, for some policies (empty: for all)."""

    place: Place
    image_ids: tuple[str, ...]
    only: tuple[str, ...] = ()

    def to_request(self) -> dict[str, Any]:
        """As it goes over the socket."""
        return {"do": DO, "place": list(self.place), "images": list(self.image_ids), "policies": list(self.only)}

    @classmethod
    def from_request(cls, request: Mapping[str, Any]) -> Batch:
        """The inverse of :meth:`to_request`.

        :raises BatchRefused: it is something else.
        """
        place, images, only = (_texts(request.get(name)) for name in ("place", "images", "policies"))
        if place is None or images is None or only is None or len(place) != len(Place._fields):
            raise BatchRefused("this is no batch of images; this daemon is of another version than the command")
        return cls(Place(*place), images, only)


async def take(
    ledger: Ledger, clock: Clock, accounts: Mapping[str, Account], policies: Collection[str], batch: Batch
) -> PutIn:
    """Put a batch into the ledger.

    :param accounts: the configured ones, by name.
    :param policies: the names of the policies in force.
    :raises BatchRefused: the place or a policy is not among them; nothing was written.
    """
    place, account = batch.place, accounts.get(batch.place.account)
    if account is None or account.cloud != place.cloud or place.region not in account.regions:
        raise BatchRefused(f"{place} is not configured; a daemon that runs reads its accounts when it starts")
    for name in batch.only:
        if name not in policies:
            raise BatchRefused(f"policy {name} is not in force in the daemon; reload it (SIGHUP) if the policy is new")
    return await ledger.put_in(place, batch.image_ids, batch.only, clock.now())


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return None
    return tuple(value)
