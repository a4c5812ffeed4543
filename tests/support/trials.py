"""A trial: any registered cloud behind its rehearsal, with the loops that use it, on a clock that only steps move.

The contract suite of the clouds and the bench build them; what a cloud calls things stands in the table of the clouds.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from imageferry.clouds.facts import FACTS
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.image import Image, Place
from imageferry.core.job import ActionKind, Job, job_key
from imageferry.core.policy import PolicySet
from imageferry.ports import Accepted, Clock
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY, checked
from imageferry.rehearsal.registry import OPTIONS, REHEARSALS
from imageferry.rehearsal.store import NewImage
from support.clocks import START
from support.cloud_table import Code, Entry
from support.faults import STEPPED, walked
from support.gates import RecordingPermit
from support.policies import policies, policy
from support.rehearsals import served
from support.stages import HastyClock, Stage, adapter, staged

FAST = 1000.0
"""Requests a second: tasks that wait side by side would move a hasty clock past one another's turns for ever."""
KINDS: tuple[ActionKind, ...] = ("export", "copy")


def rehearsed(entry: Entry, clock: Clock, **options: Any) -> Any:
    """The cloud's rehearsal with both buckets and no limits; ``options`` as JSON would have them."""
    given = {"buckets": dict.fromkeys(entry.buckets, entry.region), **entry.roomy, **options}
    read = checked(_reader(entry.cloud), given)
    return REHEARSALS[entry.cloud](read, clock, random.Random(7))


@cache
def _reader(cloud: str) -> TypeAdapter[Any]:
    """Made once a cloud: hundreds of trials read with it."""
    return TypeAdapter(OPTIONS[cloud])


def words(entry: Entry, secret_id: str, secret_key: str, token: str = "") -> dict[str, str]:
    """Keys in the cloud's own words."""
    facts = FACTS[entry.cloud]
    names = (*facts.credential_words, *facts.optional_credential_words)
    return {name: value for name, value in zip(names, (secret_id, secret_key, token), strict=True) if value}


def account_at(entry: Entry, base_url: str, **changes: Any) -> Account:
    """An account whose image API, identity and storage are all at ``base_url``."""
    facts = FACTS[entry.cloud]
    keys = words(entry, REHEARSAL_KEY.secret_id, REHEARSAL_KEY.secret_key)
    given: dict[str, Any] = {
        **STEPPED,
        "name": "prod",
        "cloud": entry.cloud,
        "regions": (entry.region, entry.other_region, entry.third_region),
        "credentials": CredentialSpec(source="static", values=keys),
        "endpoint": base_url,
        "identity_endpoint": base_url,
        "storage_endpoint": base_url + "/{bucket}",
        "endpoint_set": True,
        "limits": {kind: replace(limit, rate=FAST, running=None) for kind, limit in facts.limits.items()},
        "counted_by": facts.counted_by,
    }
    return Account(**{**given, **changes})


def action(entry: Entry, kind: ActionKind, destination: str, **options: Any) -> dict[str, Any]:
    """One action as a policy writes it."""
    given = {**entry.options.get(kind, {}), **options}
    return {kind: {"bucket": destination, **given} if kind == "export" else {"regions": [destination], **given}}


@dataclass(slots=True)
class Trial:
    """See the module."""

    entry: Entry
    cloud: Any
    """The rehearsal."""
    stage: Stage
    permit: RecordingPermit | None = None

    @property
    def bucket(self) -> str:
        """Where exports go if nothing else is said."""
        return self.entry.buckets[0]

    def target(self, kind: ActionKind) -> str:
        """Where such a job goes if nothing else is said."""
        return self.bucket if kind == "export" else self.entry.other_region

    # --- the cloud -------------------------------------------------------------------------------------------------

    def image(self, **facts: Any) -> str:
        """A new image at the cloud; its id."""
        return str(self.cloud.add_image(NewImage(**{"region": self.entry.region, "name": "web", **facts})))

    def misbehave(self, fault: Any, kind: ActionKind | str | None = "export", **more: Any) -> None:
        """Let something befall such requests; ``kind`` may name any call of the cloud."""
        api = self.entry.apis.get(kind, kind) if kind else None  # type: ignore[call-overload] # either is a text
        submits = {"dry_runs": False} if kind in KINDS else {}
        self.cloud.misbehave(Misbehaviour(**{"fault": fault, "action": api, **submits, **more}))

    def refuse(self, code: Code, kind: ActionKind | str = "export", **more: Any) -> None:
        """Let such requests be refused."""
        self.misbehave("code", kind, code=code.code, message=code.message, **more)

    def asked(self, kind: ActionKind | str) -> int:
        """How many such requests have come."""
        return int(self.cloud.requests.asked(self.entry.apis.get(kind, kind)))  # type: ignore[call-overload] # either is a text

    @property
    def accepted(self) -> dict[tuple[ActionKind, str, str], int]:
        """(kind, image, destination) -> tasks that the cloud has accepted, late work included."""
        kinds = {api: kind for kind, api in self.entry.apis.items()}
        return {(kinds[api], *rest): count for (api, *rest), count in self.cloud.requests.accepted.items()}

    def once(self, *jobs: tuple[ActionKind, str, str]) -> dict[tuple[ActionKind, str, str], int]:
        """What ``accepted`` is when each of these was accepted once and nothing else was."""
        return dict.fromkeys(jobs, 1)

    @property
    def written(self) -> set[tuple[str, str]]:
        """(bucket, key) of every object that shows now."""
        return {(each["bucket"], each["key"]) for each in self.cloud.state(["objects"])["objects"]}

    # --- the loops -------------------------------------------------------------------------------------------------

    def policies(self, *actions: Mapping[str, Any]) -> PolicySet:
        """Everything of this cloud gets these actions."""
        return policies(policy("all", *map(dict, actions), match={"cloud": self.entry.cloud}))

    def wanted(self, *kinds: ActionKind) -> PolicySet:
        """Everything of this cloud gets these, each to where it goes if nothing else is said."""
        return self.policies(*(action(self.entry, kind, self.target(kind)) for kind in kinds))

    def everywhere(self) -> PolicySet:
        """Everything of this cloud goes to both buckets and to both other regions."""
        entry = self.entry
        exports = [action(entry, "export", bucket) for bucket in entry.buckets]
        copies = [action(entry, "copy", region) for region in (entry.other_region, entry.third_region)]
        return self.policies(*exports, *copies)

    async def decided(self, wanted: PolicySet, *image_ids: str) -> None:
        """Sight images and let the policies decide about them."""
        await self.stage.sight(*image_ids)
        await self.stage.look(wanted)

    async def job_of(self, kind: ActionKind, **facts: Any) -> str:
        """A new image that is to be exported or copied; its id."""
        image_id = self.image(**facts)
        await self.decided(self.wanted(kind), image_id)
        return image_id

    async def walked(self, most: int = 1000) -> list[Job]:
        """Step every loop until every job has ended; the jobs, oldest first."""
        return await walked(self.stage, most)

    async def walk(self, kind: ActionKind, **facts: Any) -> tuple[str, Job]:
        """One new image through to the end; its id, and its only job."""
        image_id = await self.job_of(kind, **facts)
        [job] = await self.walked()
        return image_id, job

    # --- the adapter alone -----------------------------------------------------------------------------------------

    async def frozen(
        self, kind: ActionKind, image_id: str = "", destination: str = "", *, key: str = "", **options: Any
    ) -> Job:
        """A job as the ledger has it when it is about to be sent; without an id of a new image.

        ``key``: of a job that is none of ours.
        """
        entry, clock, cloud = self.entry, self.stage.clock, self.stage.cloud
        image_id = image_id or self.image()
        place = Place(entry.cloud, "prod", entry.region)
        destination = destination or self.target(kind)
        key = key or job_key(place, image_id, kind, destination)
        seen = (await cloud.look(entry.region, [image_id]))[image_id]
        assert isinstance(seen, Image), seen
        job = Job(
            id=key[:16],
            key=key,
            place=place,
            image_id=image_id,
            image_name=seen.name or "",
            action=kind,
            destination=destination,
            options={**entry.options.get(kind, {}), **options},
            policies=("all",),
            state="submitting",
            reason="",
            priority=0,
            version=1,
            created_at=START,
            due_at=START,
            give_up_at=START,
        )
        frozen = cloud.freeze(job, seen)
        request = json.loads(json.dumps(dict(frozen.request)))
        sent_at = cloud.vendor_time(clock.now())
        return replace(job, request=request, made_name=frozen.made_name, sent_at=sent_at)

    async def sent(self, job: Job) -> Accepted | Answer:
        """Send a frozen job; its permit is kept, and must be judged."""
        self.permit = RecordingPermit()
        answer: Accepted | Answer = await self.stage.cloud.submit(job, self.permit)
        assert self.permit.answer is not None, "the permit was not judged"
        return answer

    async def refusal(self, kind: ActionKind) -> Answer:
        """How a new job of this kind is refused."""
        answer = await self.sent(await self.frozen(kind))
        assert isinstance(answer, Answer), answer
        return answer


@asynccontextmanager
async def trial(
    folder: Path, entry: Entry, *, account: Mapping[str, Any] | None = None, **options: Any
) -> AsyncIterator[Trial]:
    """A trial; ``account`` changes the account, ``options`` are the rehearsal's."""
    clock = HastyClock()
    cloud = rehearsed(entry, clock, **options)
    async with served(cloud) as url:
        given = account_at(entry, url, **(account or {}))
        async with staged(folder, adapter, clock=clock, account=given) as stage:
            yield Trial(entry, cloud, stage)


Begin = Callable[..., AbstractAsyncContextManager[Trial]]
"""Starts a trial on the ground that a test was given; what it says itself wins over the ground's switches."""


def named(jobs: Sequence[Job]) -> set[tuple[str, str]]:
    """(bucket, key) of every object that jobs say they have written."""
    return {(job.destination, key) for job in jobs for key in job.object_keys}


def states(jobs: Sequence[Job]) -> Counter[str]:
    """How many jobs are in each state."""
    return Counter(job.state for job in jobs)
