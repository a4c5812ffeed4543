"""The Alibaba Cloud adapter on a stage: a rehearsal over real HTTP, the adapter that asks it, and the time of both."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.aliyun.codes import COPY, EXPORT
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.aliyun.requests import Signature
from imageferry.clouds.credentials import Around
from imageferry.core.account import Account, CredentialSpec, Polls, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image, Place
from imageferry.core.job import DOUBTED, Job, job_key
from imageferry.ports import Accepted, Finding, Following, Progress
from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION, aliyun, image
from support.clocks import START, FakeClock
from support.gates import OpenGate, RecordingPermit
from support.rehearsals import served

PLACE = Place("aliyun", "prod", REGION)
NOWHERE = Around({}, Path("/nowhere"))


def aliyun_account(base_url: str = "http://127.0.0.1:9", **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    keys = {"access_key_id": REHEARSAL_KEY.secret_id, "access_key_secret": REHEARSAL_KEY.secret_key}
    given: dict[str, Any] = {
        "name": "prod",
        "cloud": "aliyun",
        "regions": (REGION, OTHER_REGION),
        "credentials": CredentialSpec(source="static", values=keys),
        "endpoint": base_url,
        "identity_endpoint": base_url,
        "storage_endpoint": base_url + "/{bucket}",
        "limits": FACTS.limits,
        "polls": Polls(tasks=30.0, images=30.0),
        "timeouts": Timeouts(request=5.0),
    }
    return Account(**{**given, **changes})


def new_job(action: Any, image_id: str, destination: str, options: Mapping[str, Any] | None = None) -> Job:
    """A job as the ledger has it just before it is frozen."""
    key = job_key(PLACE, image_id, action, destination)
    return Job(
        id=key[:16],
        key=key,
        place=PLACE,
        image_id=image_id,
        image_name="web-1",
        action=action,
        destination=destination,
        options=options or {},
        policies=("p",),
        state="submitting",
        reason="",
        priority=0,
        version=1,
        created_at=START,
        due_at=START,
        give_up_at=START,
    )


@dataclass
class Stage:
    """See the module."""

    server: AliyunRehearsal
    cloud: AliyunCloud
    gate: OpenGate
    clock: FakeClock
    metrics: Metrics
    permit: RecordingPermit = field(default_factory=RecordingPermit)

    async def image(self, image_id: str, region: str = REGION) -> Image:
        """An image as the adapter reads it."""
        found = (await self.cloud.look(region, [image_id]))[image_id]
        assert isinstance(found, Image), found
        return found

    async def export(self, image_id: str = "", bucket: str = BUCKET, **options: Any) -> Job:
        """An export job, frozen and about to be sent; without an id of a new image."""
        image_id = image_id or image(self.server, name="web-1")
        return self.ready(new_job("export", image_id, bucket, options), await self.image(image_id))

    async def copy(self, image_id: str = "", region: str = OTHER_REGION, **options: Any) -> Job:
        """A copy job, frozen and about to be sent; without an id of a new image."""
        image_id = image_id or image(self.server, name="web-1")
        return self.ready(new_job("copy", image_id, region, options), await self.image(image_id))

    def ready(self, job: Job, seen: Image) -> Job:
        """The job as it is claimed: its request frozen through JSON, its send stamped."""
        frozen = self.cloud.freeze(job, seen)
        job = replace(job, request=json.loads(json.dumps(frozen.request)), made_name=frozen.made_name)
        return self.claimed(job)

    def claimed(self, job: Job) -> Job:
        """The job as a claim for another send makes it."""
        return replace(job, sent_at=self.cloud.vendor_time(self.clock.now()), submitted_at=None)

    def doubted(self, job: Job, klass: Any = "unanswered") -> Job:
        """The job as flow sends it again after a doubt."""
        memo = {DOUBTED: job.memo.get(DOUBTED, job.sent_at)}
        return self.claimed(replace(job, memo=memo, klass=klass))

    async def submit(self, job: Job) -> Accepted | Answer:
        """Send it with a permit that is kept."""
        self.permit = RecordingPermit()
        answer = await self.cloud.submit(job, self.permit)
        assert self.permit.answer is not None, "the permit was not judged"
        return answer

    async def refused(self, job: Job) -> Answer:
        """Send it and be told no."""
        answer = await self.submit(job)
        assert isinstance(answer, Answer), answer
        return answer

    async def running(self, job: Job) -> Job:
        """Send it; the job as the ledger then has it."""
        accepted = await self.submit(job)
        assert isinstance(accepted, Accepted), accepted
        return self.as_running(job, accepted.task_ref, accepted.object_keys)

    async def lost(self, job: Job, fault: Any = "drop", **more: Any) -> Job:
        """Send it so that the work is done and the answer is lost."""
        action = EXPORT if job.action == "export" else COPY
        self.misbehave(fault, action, **{"work": "done", "count": 1, **more})
        assert (await self.refused(job)).klass == "unanswered"
        return job

    def as_running(self, job: Job, task_ref: str, keys: tuple[str, ...]) -> Job:
        """The job as the ledger has it once it runs."""
        now = self.clock.now()
        return replace(
            job, state="running", task_ref=task_ref, object_keys=keys, submitted_at=now, sent_at=None, memo={}
        )

    async def find(self, job: Job, *taken: str) -> Finding:
        """Look into a doubt."""
        return await self.cloud.find(job, set(taken))

    async def follow(self, job: Job, *, overdue: bool = False) -> Progress:
        """Follow one job."""
        [told] = await self.cloud.follow(REGION, [Following(job, overdue)])
        return told

    async def polls(self, job: Job, *, overdue: bool = False) -> tuple[Job, Progress]:
        """Follow it once; the job as the ledger has it afterwards."""
        told = await self.follow(job, overdue=overdue)
        keys = job.object_keys if told.object_keys is None else told.object_keys
        return replace(job, memo=json.loads(json.dumps(dict(told.memo))), object_keys=keys), told

    async def ends(self, job: Job, most: int = 12, *, every: float = 30.0) -> Progress:
        """Follow it until it does not run any more."""
        for _ in range(most):
            job, told = await self.polls(job)
            if told.verdict != "running":
                return told
            self.clock.jump(every)
        raise AssertionError(told)

    def asked(self, *actions: str) -> int:
        """How many such requests have come."""
        return sum(self.server.requests.asked(action) for action in actions)

    def misbehave(self, fault: Any, action: str | None = EXPORT, **more: Any) -> None:
        """Let something go wrong."""
        self.server.misbehave(Misbehaviour(fault=fault, action=action, **more))


@asynccontextmanager
async def staged(
    gate: OpenGate | None = None,
    account: Mapping[str, Any] | None = None,
    around: Around = NOWHERE,
    signature: Signature = "acs3",
    **options: Any,
) -> AsyncIterator[Stage]:
    """A stage; ``account`` changes the account, ``options`` are the rehearsal's."""
    clock, gate, metrics, numbers = FakeClock(), gate or OpenGate(), Metrics(), count(1)
    server = aliyun(clock, **options)
    async with served(server) as base_url:
        configured = aliyun_account(base_url, **{"switches": {"signature": signature}, **(account or {})})
        nonce = lambda: f"nonce-{next(numbers)}"  # noqa: E731 - it is one
        cloud = AliyunCloud(configured, gate, clock, metrics, around, nonce=nonce)
        try:
            yield Stage(server, cloud, gate, clock, metrics)
        finally:
            await cloud.aclose()
