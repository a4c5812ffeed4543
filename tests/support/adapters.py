"""One cloud's adapter on a stage: a rehearsal over real HTTP, the adapter that asks it, and the time of both.

The stages of the clouds are made of it; each says what its cloud calls things. No loop and no ledger take part: a job
is made as the ledger would have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from imageferry.clouds.credentials import Around
from imageferry.clouds.facts import FACTS
from imageferry.core.account import Account, CredentialSpec, Polls, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image, Place
from imageferry.core.job import DOUBTED, ActionKind, Job, job_key
from imageferry.ports import Accepted, Cloud, Finding, Following, Progress
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.gates import OpenGate, RecordingPermit

NOWHERE = Around({}, Path("/nowhere"))

S = TypeVar("S")
C = TypeVar("C", bound=Cloud)


def account_at(base_url: str, cloud: str, regions: tuple[str, ...], keys: CredentialSpec, **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    given: dict[str, Any] = {
        "name": "prod",
        "cloud": cloud,
        "regions": regions,
        "credentials": keys,
        "endpoint": base_url,
        "identity_endpoint": base_url,
        "storage_endpoint": base_url + "/{bucket}",
        "limits": FACTS[cloud].limits,
        "polls": Polls(tasks=30.0, images=30.0),
        "timeouts": Timeouts(request=5.0),
    }
    return Account(**{**given, **changes})


def job_at(
    place: Place, action: ActionKind, image_id: str, destination: str, options: Mapping[str, Any] | None = None
) -> Job:
    """A job as the ledger has it just before it is frozen."""
    key = job_key(place, image_id, action, destination)
    return Job(
        id=key[:16],
        key=key,
        place=place,
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
class AdapterStage(Generic[S, C]):
    """See the module."""

    server: S
    cloud: C
    gate: OpenGate
    clock: FakeClock
    metrics: Metrics
    permit: RecordingPermit = field(default_factory=RecordingPermit)

    place: ClassVar[Place]
    bucket: ClassVar[str]
    other_region: ClassVar[str]
    apis: ClassVar[Mapping[ActionKind, str]]
    """The names that the rehearsal counts and misbehaves by."""
    needs: ClassVar[Mapping[ActionKind, Mapping[str, Any]]] = {}
    """Options without which a policy is not allowed."""

    def new_image(self) -> str:
        """A new image named web-1; its id."""
        raise NotImplementedError

    async def image(self, image_id: str, region: str = "") -> Image:
        """An image as the adapter reads it."""
        found = (await self.cloud.look(region or self.place.region, [image_id]))[image_id]
        assert isinstance(found, Image), found
        return found

    async def export(self, image_id: str = "", bucket: str = "", **options: Any) -> Job:
        """An export job, frozen and about to be sent; without an id of a new image."""
        return await self._frozen("export", image_id, bucket or self.bucket, options)

    async def copy(self, image_id: str = "", region: str = "", **options: Any) -> Job:
        """A copy job, frozen and about to be sent; without an id of a new image."""
        return await self._frozen("copy", image_id, region or self.other_region, options)

    async def _frozen(self, action: ActionKind, image_id: str, destination: str, options: Mapping[str, Any]) -> Job:
        image_id = image_id or self.new_image()
        job = job_at(self.place, action, image_id, destination, {**self.needs.get(action, {}), **options})
        return self.ready(job, await self.image(image_id))

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
        self.misbehave(fault, self.apis[job.action], **{"work": "done", "count": 1, **more})
        assert (await self.refused(job)).klass == "unanswered"
        return job

    def as_running(self, job: Job, task_ref: str, keys: tuple[str, ...] = ()) -> Job:
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
        [told] = await self.cloud.follow(self.place.region, [Following(job, overdue)])
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
        server: Any = self.server
        return sum(server.requests.asked(action) for action in actions)

    def misbehave(self, fault: Any, action: str | None = "", **more: Any) -> None:
        """Let something go wrong, with exports if nothing else is said."""
        server: Any = self.server
        server.misbehave(Misbehaviour(fault=fault, action=self.apis["export"] if action == "" else action, **more))
