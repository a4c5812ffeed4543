"""JD Cloud as flow sees it: the Cloud port over its image API and its object storage.

Built by the registry, called by flow. It decides nothing about jobs; exports and copies each have a file of their own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from imageferry.clouds.credentials import Around, Credentials
from imageferry.clouds.following import by_action
from imageferry.clouds.jdcloud import copies, exports
from imageferry.clouds.jdcloud.client import Client
from imageferry.clouds.jdcloud.credentials import ASSUME, SOURCES
from imageferry.clouds.jdcloud.dialect import dialect
from imageferry.clouds.jdcloud.facts import FACTS
from imageferry.clouds.jdcloud.images import DESCRIBE, Images
from imageferry.clouds.jdcloud.inquiries import Inquiries
from imageferry.clouds.jdcloud.preconditions import Preconditions
from imageferry.clouds.jdcloud.storage import Storage
from imageferry.clouds.jdcloud.tasks import TASKS, Tasks
from imageferry.clouds.objects import HEAD_OBJECT
from imageferry.clouds.wire import Wire
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.ports import Accepted, Clock, Finding, Following, Frozen, Gate, ImagePage, Look, Permit, Progress
from imageferry.telemetry.metrics import Metrics

APIS: Final = (DESCRIBE, TASKS, exports.ACTION, copies.ACTION, HEAD_OBJECT)
"""What this adapter asks for, as the metrics name it."""


class JdCloud:
    """One account at JD Cloud; see ``ports.Cloud``."""

    facts = FACTS

    def __init__(
        self,
        account: Account,
        gate: Gate,
        clock: Clock,
        metrics: Metrics,
        around: Around,
        *,
        nonce: Callable[[], object] = uuid.uuid4,
    ) -> None:
        """``nonce``: something new at every call; a signature's own chance, which decides nothing."""
        self.account = account.name
        self._wire = Wire(account, clock, metrics)
        credentials = Credentials(account, around, self._wire, clock, SOURCES, ASSUME)
        client = Client(account, gate, clock, self._wire, credentials, dialect=dialect(account), nonce=nonce)
        self._client = client
        self._images = Images(client, clock, account.name)
        storage = Storage(account, self._wire, credentials, client.vendor_now)
        self._exports = exports.Exports(client, Tasks(client), storage)
        self._copies = copies.Copies(client, self._images)
        self.inquiries = Inquiries(client, storage, credentials)
        self._preconditions = Preconditions(self._images, clock)

    def scope(self, region: str, kind: LaneKind) -> str:  # noqa: ARG002 - other clouds count some kinds otherwise
        """Requests of every kind are counted together, by the host they enter at."""
        return self._client.scope(region)

    def vendor_time(self, now: int) -> int:
        """Our time by the vendor's clock, as the Date headers of its recent answers tell it."""
        return self._client.time.at(now)

    def freeze(self, job: Job, image: Image) -> Frozen:
        """The whole request of a job, to the byte."""
        return exports.freeze(job, image) if job.action == "export" else copies.freeze(job)

    async def look(self, region: str, image_ids: Sequence[str]) -> Mapping[str, Look]:
        """Read images, up to fifty a request."""
        return await self._images.look(region, image_ids)

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """One page of the account's own images, up to a hundred."""
        return await self._images.listed(region, marker)

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the job's frozen request once."""
        told = await (self._exports if job.action == "export" else self._copies).submit(job, permit)
        return told if isinstance(told, Accepted) else await self._preconditions.judged(job, told)

    async def find(self, job: Job, taken: Collection[str]) -> Finding:
        """Look for the task of an unanswered request; never for what another job owns."""
        return await (self._exports if job.action == "export" else self._copies).find(job, taken)

    async def follow(self, region: str, jobs: Sequence[Following]) -> Sequence[Progress]:
        """How running jobs are; what could not be told of one job keeps it running, with the reason."""
        return await by_action(jobs, exports=partial(self._exports.follow, region), copies=self._copies.follow)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._wire.aclose()


def build(account: Account, gate: Gate, clock: Clock, metrics: Metrics) -> JdCloud:
    """The adapter of one account, with the keys' sources as the process has them."""
    return JdCloud(account, gate, clock, metrics, Around(os.environ, Path(os.environ.get("HOME", "/"))))
