"""Tencent Cloud as flow sees it: the Cloud port over its image API and its object storage.

Built by the registry, called by flow. It decides nothing about jobs; exports and copies each have a file of their own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from imageferry.clouds.credentials import Around, Credentials
from imageferry.clouds.following import by_action
from imageferry.clouds.objects import HEAD_OBJECT, Objects
from imageferry.clouds.tencent import copies, exports
from imageferry.clouds.tencent.client import Client
from imageferry.clouds.tencent.credentials import ASSUME, SOURCES
from imageferry.clouds.tencent.facts import FACTS
from imageferry.clouds.tencent.images import DESCRIBE, Images
from imageferry.clouds.tencent.inquiries import Inquiries
from imageferry.clouds.wire import Wire
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.ports import Accepted, Clock, Finding, Following, Frozen, Gate, ImagePage, Look, Permit, Progress
from imageferry.telemetry.metrics import Metrics

APIS: Final = (DESCRIBE, exports.ACTION, copies.ACTION, HEAD_OBJECT)
"""What this adapter asks for, as the metrics name it."""


class TencentCloud:
    """One account at Tencent Cloud; see ``ports.Cloud``."""

    facts = FACTS

    def __init__(self, account: Account, gate: Gate, clock: Clock, metrics: Metrics, around: Around) -> None:
        self.account = account.name
        self._wire = Wire(account, clock, metrics)
        credentials = Credentials(account, around, self._wire, clock, SOURCES, ASSUME)
        self._client = Client(account, gate, clock, self._wire, credentials)
        self._images = Images(self._client, clock, account.name)
        objects = Objects(account, self._wire, credentials, self._client.vendor_now)
        self._exports = exports.Exports(self._client, self._images, objects, account.polls.images)
        self._copies = copies.Copies(self._client, self._images)
        self.inquiries = Inquiries(self._client, objects)

    def vendor_time(self, now: int) -> int:
        """Our time by the vendor's clock, as the Date headers of its recent answers tell it."""
        return self._client.time.at(now)

    def freeze(self, job: Job, image: Image) -> Frozen:
        """The whole request of a job, to the byte."""
        return exports.freeze(job, image) if job.action == "export" else copies.freeze(job)

    async def look(self, region: str, image_ids: Sequence[str]) -> Mapping[str, Look]:
        """Read images, up to a hundred a request; ``encrypted`` stays unknown."""
        return await self._images.look(region, image_ids)

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """One page of the account's own images, up to a hundred."""
        return await self._images.listed(region, marker)

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the job's frozen request once."""
        return await (self._exports if job.action == "export" else self._copies).submit(job, permit)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the task of an unanswered request; never for what another job owns."""
        if job.action == "export":
            return await self._exports.find(job)
        return await self._copies.find(job, taken)

    async def follow(self, region: str, jobs: Sequence[Following]) -> Sequence[Progress]:
        """How running jobs are; what could not be told of one job keeps it running, with the reason."""
        return await by_action(jobs, exports=partial(self._exports.follow, region), copies=self._copies.follow)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()


def build(account: Account, gate: Gate, clock: Clock, metrics: Metrics) -> TencentCloud:
    """The adapter of one account, with the keys' sources as the process has them."""
    return TencentCloud(account, gate, clock, metrics, Around(os.environ, Path(os.environ.get("HOME", "/"))))
