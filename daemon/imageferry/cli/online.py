"""``check --online``: every account says who it is, what it may read and what is left; every bucket is looked at.

It sends nothing but questions, within the accounts' limits. ``check`` calls it and prints what it found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal, NamedTuple

import anyio

from imageferry.cli.live import connected
from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.core.policy import PolicySet
from imageferry.core.targets import Target, targets
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Bucket, Cloud, Quota, own_images
from imageferry.settings import Settings
from imageferry.telemetry.clock import SystemClock

FULL: Final = 0.9
"""A quota that is used so far is worth a warning."""

Outcome = Literal["ok", "warning", "failed", "unknown"]


class Found(NamedTuple):
    """What one question came to."""

    account: str
    region: str
    """Empty: about the account as a whole."""
    subject: str
    outcome: Outcome
    says: str


async def ask_all(settings: Settings, policies: PolicySet) -> list[Found]:
    """Ask every account, side by side; the answers in the order of the config."""
    clock = SystemClock()
    found: dict[str, list[Found]] = {account.name: [] for account in settings.accounts}

    async def ask(account: Account) -> None:
        async with connected(settings, account, clock) as cloud:
            found[account.name] += await Asking(account, cloud, policies).everything()

    async with anyio.create_task_group() as group:
        for account in settings.accounts:
            group.start_soon(ask, account)
    return [one for each in found.values() for one in each]


class Asking:
    """Every question to one account."""

    def __init__(self, account: Account, cloud: Cloud, policies: PolicySet) -> None:
        self._account = account
        self._cloud = cloud
        self._policies = policies

    async def everything(self) -> list[Found]:
        """Who it is; then, unless the keys were refused, every region and every bucket.

        Images first, everywhere: they are what the daemon reads. A right that is only lacking for another question
        closes the account off, and must not seem to be about them.
        """
        first = await self._tried("", "keys", self._identity)
        if first.outcome == "failed" and await self._closed():
            return [first]
        regions: dict[str, list[Found]] = {region: [] for region in self._account.regions}

        async def ask(region: str, about: Callable[[str], Awaitable[list[Found]]]) -> None:
            regions[region] += await about(region)

        for about in (self._read, self._region):
            async with anyio.create_task_group() as group:
                for region in regions:
                    group.start_soon(ask, region, about)
        return [first, *(one for each in regions.values() for one in each)]

    async def _closed(self) -> bool:
        """Whether the keys themselves were refused: every other question would be too."""
        try:
            await self._cloud.inquiries.quotas(self._account.regions[0])
        except CircuitOpen:
            return True
        except Refused as refused:
            return refused.answer.klass == "auth"
        return False

    async def _read(self, region: str) -> list[Found]:
        return [await self._tried(region, "images", lambda: self._images(region))]

    async def _region(self, region: str) -> list[Found]:
        place = Place(self._account.cloud, self._account.name, region)
        found = [await self._tried(region, "quota", lambda: self._quotas(region))]
        asked: dict[str, list[str]] = {}
        for target in targets(self._policies, place):
            if target.action == "copy" or target.open:
                found += self._known(region, target)
            else:
                asked.setdefault(target.destination, []).append(target.policy)
        for bucket, wanting in asked.items():
            subject = f"bucket {bucket} ({', '.join(wanting)})"
            found.append(await self._tried(region, subject, lambda name=bucket: self._bucket(region, name)))  # type: ignore[misc] # mypy sees no type in a default
        return found

    def _known(self, region: str, target: Target) -> list[Found]:
        """What needs no question: a bucket that only an image names, a region that the account does not list."""
        if target.open:
            says = "its name depends on the image; it cannot be looked at before there is one"
            subject = f'bucket "{target.destination}" ({target.policy})'
            return [Found(self._account.name, region, subject, "unknown", says)]
        if target.destination in self._account.regions:
            return []
        says = "the account does not list this region; add it to its regions, or take it out of the policy"
        return [Found(self._account.name, region, f"copy to {target.destination} ({target.policy})", "failed", says)]

    async def _tried(self, region: str, subject: str, ask: Callable[[], Awaitable[tuple[Outcome, str]]]) -> Found:
        try:
            outcome, says = await ask()
        except (Refused, CircuitOpen) as error:
            outcome, says = "failed", str(error)
        return Found(self._account.name, region, subject, outcome, says)

    async def _identity(self) -> tuple[Outcome, str]:
        who = await self._cloud.inquiries.identity(self._account.regions[0])
        named = f"{who.account_id} ({who.name})" if who.account_id and who.name else who.account_id or who.name
        wanted = self._account.account_id
        if who.account_id and wanted and who.account_id != wanted:
            return "failed", f"they belong to account {named}; the config says account_id {wanted}, as events will"
        return "ok", f"they belong to account {named}" if named else "they are taken; the vendor does not say whose"

    async def _images(self, region: str) -> tuple[Outcome, str]:
        count = sum([len(page) async for page in own_images(self._cloud, region)])
        return "ok", f"can be read; {count} of its own"

    async def _quotas(self, region: str) -> tuple[Outcome, str]:
        quotas = await self._cloud.inquiries.quotas(region)
        if not quotas:
            return "unknown", "the API does not tell"
        tight = any(each.used is not None and each.used >= FULL * each.limit for each in quotas)
        return "warning" if tight else "ok", ", ".join(map(_quota, quotas))

    async def _bucket(self, region: str, name: str) -> tuple[Outcome, str]:
        return _judged(await self._cloud.inquiries.bucket(name, region), region)


def _quota(quota: Quota) -> str:
    return f"{quota.what}: {'' if quota.used is None else f'{quota.used} of '}{quota.limit}"


def _judged(seen: Bucket, region: str) -> tuple[Outcome, str]:
    if not seen.exists:
        return "failed", f"there is no such bucket in {region}; an export can only write to the image's own region"
    if seen.region not in ("", region):
        return "failed", f"it is in {seen.region}; an export can only write to the image's own region, {region}"
    return ("failed", seen.fault) if seen.fault else ("ok", f"is there{f', in {seen.region}' if seen.region else ''}")
