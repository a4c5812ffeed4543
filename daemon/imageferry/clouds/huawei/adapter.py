"""Huawei Cloud as flow sees it: the Cloud port over its image service and its object storage.

Built by the registry, called by flow. It decides nothing about jobs; exports and copies each have a file of their own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

from imageferry.clouds.credentials import Around, Credentials
from imageferry.clouds.following import by_action
from imageferry.clouds.huawei import copies, exports, jobs, projects
from imageferry.clouds.huawei.client import Client
from imageferry.clouds.huawei.credentials import ASSUME, SOURCES
from imageferry.clouds.huawei.facts import EXPORT_VERSION, FACTS
from imageferry.clouds.huawei.images import LIST, Images
from imageferry.clouds.huawei.inquiries import Inquiries
from imageferry.clouds.huawei.listings import Listings
from imageferry.clouds.huawei.storage import Storage
from imageferry.clouds.objects import HEAD_OBJECT
from imageferry.clouds.wire import Wire
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.ports import Accepted, Clock, Finding, Following, Frozen, Gate, ImagePage, Look, Permit, Progress
from imageferry.telemetry.metrics import Metrics

APIS: Final = (LIST, jobs.PROGRESS, jobs.SHOW, exports.ACTION, copies.ACTION, projects.ACTION, HEAD_OBJECT)
"""What this adapter asks for, as the metrics name it."""


class HuaweiCloud:
    """One account at Huawei Cloud; see ``ports.Cloud``."""

    facts = FACTS

    def __init__(self, account: Account, gate: Gate, clock: Clock, metrics: Metrics, around: Around) -> None:
        self.account = account.name
        self._version = FACTS.choice(account.switches, EXPORT_VERSION)
        self._wire = Wire(account, clock, metrics)
        credentials = Credentials(account, around, self._wire, clock, SOURCES, ASSUME)
        self._client = Client(account, gate, clock, self._wire, credentials)
        self._images = Images(self._client, account.name)
        asking, cadence = jobs.Jobs(self._client), account.polls.tasks
        storage = Storage(account, self._wire, credentials, self._client.vendor_now)
        listings = Listings(self._images, self._client.vendor_now, cadence)
        self._exports = exports.Exports(self._client, asking, storage, cadence)
        self._copies = copies.Copies(self._client, self._images, asking, listings, cadence)
        self.inquiries = Inquiries(self._client, storage)

    def vendor_time(self, now: int) -> int:
        """Our time by the vendor's clock, as the Date headers of its recent answers tell it."""
        return self._client.time.at(now)

    def freeze(self, job: Job, image: Image) -> Frozen:
        """The whole request of a job, to the byte."""
        return exports.freeze(job, image, self._version) if job.action == "export" else copies.freeze(job, image)

    async def look(self, region: str, image_ids: Sequence[str]) -> Mapping[str, Look]:
        """Read images: many in the list of all, the rest one by one."""
        return await self._images.look(region, image_ids)

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """One page of the account's own images, up to a hundred."""
        return await self._images.listed(region, marker)

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the job's frozen request once."""
        return await (self._exports if job.action == "export" else self._copies).submit(job, permit)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for what an unanswered request made; never for what another job owns."""
        if job.action == "export":
            return await self._exports.find(job)
        return await self._copies.find(job, taken)

    async def follow(self, region: str, jobs: Sequence[Following]) -> Sequence[Progress]:  # noqa: ARG002 - every job says it
        """How running jobs are; what could not be told of one job keeps it running, with the reason."""
        return await by_action(jobs, exports=self._exports.follow, copies=self._copies.follow)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()


def build(account: Account, gate: Gate, clock: Clock, metrics: Metrics) -> HuaweiCloud:
    """The adapter of one account, with the keys' sources as the process has them."""
    return HuaweiCloud(account, gate, clock, metrics, Around(os.environ, Path(os.environ.get("HOME", "/"))))
