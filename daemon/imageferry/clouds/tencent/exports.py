"""ExportImages: the request, looking for one that got no answer, and following it to its objects.

The adapter hands export jobs here. No API tells how an export goes: its objects in the bucket do, together with the
image's state and with a dry run, which is refused while the image is busy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from imageferry.clouds.following import some_at_once
from imageferry.clouds.objects import Missing, Objects, Present
from imageferry.clouds.sights import SEEN, Sight, objects_unseen
from imageferry.clouds.tencent.client import Call, Client
from imageferry.clouds.tencent.codes import BAD_ID, NEVER_ACCEPTED
from imageferry.clouds.tencent.images import Images
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import DOUBTED, Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Frozen, Gone, Look, Permit, Progress, Unclear

ACTION: Final = "ExportImages"
MARGIN: Final = 60 * SECOND
"""An object may be this much older than its task by the storage's clock."""
AT_ONCE: Final = 16
"""Objects looked at at once."""
FOUND: Final = "found:"
"""A task reference of a found task; behind it, when it was first asked for, microseconds by the vendor's clock."""
_SYSTEM: Final = "SYSTEM_DISK"


@dataclass(frozen=True, slots=True)
class Exports:
    """One account's exports."""

    client: Client
    images: Images
    objects: Objects
    check_every: float
    """Seconds between two looks at whether an image that is being exported still exists."""
    spelt: set[str] = field(default_factory=set)
    """Buckets in which an object was found under the very key that was told: no other spelling need be tried."""

    async def submit(self, job: Job, permit: Permit) -> Accepted | Answer:
        """Send the frozen request once; after a doubt only if its objects still do not show."""
        if DOUBTED in job.memo:
            earlier = await self._earlier(job, permit)
            if earlier is not None:
                return earlier
        body = str(job.request["body"]).encode()
        told = await self.client.submit(Call(ACTION, job.place.region, "export", body, submits=True), permit)
        if told.answer.klass != "ok":
            return told.answer
        task, paths = told.content.get("TaskId"), told.content.get("CosPaths")
        named = paths if isinstance(paths, list) else []
        keys = tuple(str(path).removeprefix("/") for path in named if path) or tuple(job.request["keys"])
        if task is None or not keys:
            return Answer("unanswered", "the answer names no task or no object", request_id=told.answer.request_id)
        return Accepted(str(task), told.answer.request_id, keys)

    async def find(self, job: Job) -> Finding:
        """Look for what an unanswered request may have started: first a busy image, then its objects.

        The other way round, a task that ends in between would look absent.

        :raises CircuitOpen: the account is closed off.
        """
        probe = await self._probe(job)
        since = job.created_at if job.sent_at is None else job.sent_at
        sight = await self._see(job, tuple(job.request["keys"]), since, widely=True)
        there = f"{len(sight.present)} of {sight.expected} objects are there"
        if len(sight.present) == sight.expected > 0:
            return Found(f"{FOUND}{since}", f"found by its objects: {there}", tuple(sight.present))
        busy = _not_free(probe)
        if busy is not None:
            return busy
        if sight.refusal is not None:
            return Unclear(f"the objects cannot be looked at: {sight.refusal}", sight.refusal)
        if not sight.expected:
            return Unclear("the image is free, but its disks were not known, so its objects cannot be looked for")
        if sight.present:
            return Unclear(f"the image is free, but only {there}")
        return Absent("the image is free, and none of the objects is there")

    async def follow(self, region: str, asked: Sequence[Following]) -> list[Progress]:
        """How each export is; never raises but for cancellation."""
        probes: dict[str, Answer] = {}

        async def see(one: Following) -> Sight:
            job = one.job
            if one.overdue:  # before its objects: a task that ends in between would look as if it left nothing
                probes[job.id] = await self._probe_overdue(job)
            widely = job.id in probes or (job.destination not in self.spelt and self._check_due(job))
            return await self._see(job, job.object_keys, self._since(job), widely=widely)

        seen = list(zip(asked, await some_at_once(AT_ONCE, asked, see), strict=True))
        looks = await self._looks(region, [one.job for one, sight in seen if self._wants_look(one.job, sight)])
        return [self._judge(one, sight, looks.get(one.job.image_id), probes) for one, sight in seen]

    # --- looking ---------------------------------------------------------------------------------------------------

    async def _earlier(self, job: Job, permit: Permit) -> Accepted | Answer | None:
        """What a lost task has written since it was found absent; None where nothing shows.

        The job may have waited for its turn since, and nobody has confirmed that a dry run sees a task that runs.
        """
        since = int(job.memo[DOUBTED])
        sight = await self._see(job, tuple(job.request["keys"]), since, widely=True)
        if sight.refusal is None and not sight.present:
            return None
        if sight.refusal is None:
            seen = Answer("never_sent", "objects of an earlier request of this job are there")
        else:
            seen = Answer("never_sent", f"objects of an earlier request cannot be looked for: {sight.refusal}")
        permit.judged(seen)
        return Accepted(f"{FOUND}{since}", object_keys=tuple(sight.present)) if sight.refusal is None else seen

    async def _probe(self, job: Job) -> Told:
        body = {**json.loads(str(job.request["body"])), "DryRun": True}
        return await self.client.ask(Call(ACTION, job.place.region, "export", json.dumps(body).encode()))

    async def _probe_overdue(self, job: Job) -> Answer:
        try:
            return (await self._probe(job)).answer
        except CircuitOpen as error:
            return Answer("never_sent", str(error))

    async def _see(self, job: Job, keys: Sequence[str], since: int, *, widely: bool) -> Sight:
        """HEAD every object; one that is older than its task is another's.

        :param widely: try every way in which the key may be written.
        """
        present: dict[str, Present] = {}
        for key in keys:
            for spelling in _spellings(key) if widely else [key]:
                seen = await self.objects.head(job.destination, job.place.region, spelling)
                if isinstance(seen, Answer):
                    return Sight(present, len(keys), seen)
                if not isinstance(seen, Missing) and seen.last_modified >= since - MARGIN:
                    present[spelling] = seen
                    if spelling == key and not _seen_before(job):
                        self.spelt.add(job.destination)
                    break
        return Sight(present, len(keys))

    def _since(self, job: Job) -> int:
        if job.task_ref.startswith(FOUND):
            return int(job.task_ref.removeprefix(FOUND))
        return self.client.time.at(job.created_at if job.submitted_at is None else job.submitted_at)

    def _wants_look(self, job: Job, sight: Sight) -> bool:
        """Whether the image's state matters now: at the end, and now and then before it."""
        if sight.refusal is not None:
            return False
        if sight.whole:
            return bool(job.memo.get(SEEN) == sight.sizes)
        return bool(job.memo.get("gone")) or self._check_due(job)

    def _check_due(self, job: Job) -> bool:
        last = max(int(job.memo.get("checked", 0)), self._since(job))
        return self.client.vendor_now() - last >= self.check_every * SECOND

    async def _looks(self, region: str, jobs: Sequence[Job]) -> Mapping[str, Look | Answer]:
        ids = list(dict.fromkeys(job.image_id for job in jobs))
        if not ids:
            return {}
        try:
            return await self.images.look(region, ids)
        except Refused as refused:
            return dict.fromkeys(ids, refused.answer)
        except CircuitOpen as error:
            return dict.fromkeys(ids, Answer("never_sent", str(error)))

    # --- judging ---------------------------------------------------------------------------------------------------

    def _judge(
        self, asked: Following, sight: Sight, look: Look | Answer | None, probes: Mapping[str, Answer]
    ) -> Progress:
        job = asked.job
        if sight.refusal is not None:
            return objects_unseen(asked, sight.refusal, dict(job.memo))
        if sight.whole:
            return _at_the_end(job, sight, look)
        if asked.overdue:
            return _overdue(job, sight, probes[job.id])
        if isinstance(look, Gone):
            return _without_image(job, sight, look)
        memo = dict(job.memo)
        memo.pop(SEEN, None)
        if isinstance(look, Image):
            memo.pop("gone", None)
            memo["checked"] = self.client.vendor_now()
        return Progress(job.id, "running", sight.count, memo)


def freeze(job: Job, image: Image) -> Frozen:
    """The exact body, and the keys that its objects will have as far as the image's snapshots are known."""
    options = job.options
    prefix = "-".join(part for part in (options.get("prefix"), unique_part(job.key)) if part)
    form = str(options.get("format") or "raw")
    system_only = options.get("disks") == "system"
    params: dict[str, Any] = {
        "ImageIds": [job.image_id],
        "BucketName": job.destination,
        "ExportFormat": form.upper(),
        "FileNamePrefixList": [prefix],
        "OnlyExportRootDisk": system_only,
    }
    if options.get("role"):
        params["RoleName"] = options["role"]
    disks = [disk for disk in image.extra.get("disks", ()) if disk["usage"] == _SYSTEM or not system_only]
    keys = [
        f"{prefix}_{job.image_id}_{'system' if disk['usage'] == _SYSTEM else 'data'}_{disk['snapshot']}.{form}"
        for disk in disks
        if all(disk["snapshot"] for disk in disks)  # one name that is not known, and no look could tell absence
    ]
    return Frozen({"body": json.dumps(params), "keys": keys})


def _spellings(key: str) -> list[str]:
    """A key as it should be, and as it might be: nobody has confirmed its case, or that its path's slash goes."""
    stem, dot, form = key.rpartition(".")
    forms = dict.fromkeys((form, form.upper()))
    return [
        f"{slash}{stem}{dot}{each}" for slash in ("", "/") if not key.startswith("/") or not slash for each in forms
    ]


def _seen_before(job: Job) -> bool:
    """Whether its keys are written as an earlier look found them, and no more as they were told."""
    return SEEN in job.memo or job.task_ref.startswith(FOUND)


def _not_free(probe: Told) -> Finding | None:
    """What a dry run says by itself; None where the image is free, or gone, and its objects decide."""
    answer = probe.answer
    if answer.klass == "wait_image":
        return Unclear(f"the image is busy; it may be our own task: {answer}", answer)
    if answer.vendor_code in NEVER_ACCEPTED:
        return Absent(f"such an image was never exported: {answer}", certain=True)
    if (answer.klass != "ok" and not _no_image(answer)) or "TaskId" in probe.content:
        return Unclear(f"a dry run did not tell whether the image is busy: {answer}", answer)
    return None


def _at_the_end(job: Job, sight: Sight, look: Look | Answer | None) -> Progress:
    """Every object is there: they must be the same twice, and the image at rest."""
    memo = {**job.memo, SEEN: sight.sizes}
    keys = tuple(sight.present)
    if job.memo.get(SEEN) != sight.sizes or look is None:
        return Progress(job.id, "running", "every object is there; seen once", memo, keys, soon=True)
    if isinstance(look, Answer):
        reason = f"every object is there; the image cannot be looked at: {look}"
        return Progress(job.id, "running", reason, memo, keys, look, soon=True)
    if isinstance(look, Image) and look.state == "pending":
        return Progress(job.id, "running", "every object is there; the image is still busy", memo, keys, soon=True)
    return Progress(job.id, "succeeded", sight.written(job.destination), memo, keys)


def _overdue(job: Job, sight: Sight, probe: Answer) -> Progress:
    """Objects are missing at the deadline: a dry run, made before they were looked for, tells whether it still runs."""
    if probe.klass == "wait_image":
        return Progress(job.id, "running", f"past its deadline, but still running: {probe}", dict(job.memo))
    if _no_image(probe):
        return Progress(job.id, "failed", f"{sight.count}, and the image is gone: {probe}", answer=probe)
    if probe.klass == "ok":
        return Progress(job.id, "vanished", f"the task ended, but {sight.count}", answer=None)
    reason = f"past its deadline, and a dry run did not tell whether it still runs: {probe}"
    return Progress(job.id, "running", reason, dict(job.memo), answer=probe)


def _without_image(job: Job, sight: Sight, look: Gone) -> Progress:
    """The image is gone: what it left may still show, so it is looked at once more."""
    reason = f"{sight.count}, and the image is gone: {look.reason}"
    if job.memo.get("gone"):
        return Progress(job.id, "failed", reason)
    return Progress(job.id, "running", reason, {**job.memo, "gone": True}, soon=True)


def _no_image(answer: Answer) -> bool:
    return answer.vendor_code.partition(".")[0] == BAD_ID and answer.klass == "permanent_image"
