"""What copies have in common where a new image is known by its name and id: the name, adopting it, following it.

The copies of each cloud call it. It knows no vendor, and asks only through what it is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from imageferry.clouds.following import answer_of, in_groups, said_well
from imageferry.core.answers import Answer, AnswerClass
from imageferry.core.image import Image
from imageferry.core.job import UNIQUE_LENGTH, Job, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted, Following, Gone, Look, Progress

ENDED: Final = frozenset({"failed", "gone"})
"""States of an image that comes to nothing."""
PATIENCE: Final = 600 * SECOND
"""How long a new image may be missing before it has been seen."""

_FOR_GOOD: Final[frozenset[AnswerClass]] = frozenset({"auth", "permanent_image", "permanent_config"})

Named = Callable[[], Awaitable[Sequence[Image]]]
"""Asks for the images that have a job's name."""


def made_name(job: Job, wanted: str, longest: int) -> str:
    """The new image's name: as wanted, cut to have room for the part that no other job gives."""
    return f"{wanted[: longest - UNIQUE_LENGTH - 1]}-{unique_part(job.key)}"


def unsent(answer: Answer) -> Answer:
    """What a read that failed before a submit means for the submit: it was not sent, unless it never can be."""
    return answer if answer.klass in _FOR_GOOD else replace(answer, klass="never_sent")


# --- adopting ------------------------------------------------------------------------------------------------------


async def earlier(named: Named, reference: str = "") -> Accepted | Answer | None:
    """What an earlier life of the job has made, before it is asked for again; None: nothing that lives.

    :param reference: what stands before the image's id in a task reference.
    """
    try:
        images = await named()
    except Refused as refused:
        return unsent(refused.answer)
    except CircuitOpen as error:
        return Answer("never_sent", str(error))
    living = [image for image in images if image.state not in ENDED]
    return Accepted(f"{reference}{living[0].id}") if living else None


async def own_earlier(
    refusal: Answer,
    named: Named,
    ours: Callable[[Image], bool] = lambda _: True,
    *,
    reference: str = "",
    shows_late: bool = False,
) -> Accepted | Answer:
    """The name is taken: by our own earlier copy, then that is the copy; by another, and a person must see to it.

    :param reference: what stands before the image's id in a task reference.
    :param shows_late: a name that no list shows yet leaves it open whose it is.
    """
    try:
        images = await named()
    except (Refused, CircuitOpen) as error:
        return replace(refusal, klass="retry", message=f"{refusal.message}; whose it is was not answered: {error}")
    for image in images:
        if ours(image) and image.state not in ENDED:
            return Accepted(f"{reference}{image.id}", refusal.request_id)
    if shows_late and not images:
        return replace(refusal, klass="retry", message=f"{refusal.message}; no list shows whose it is yet")
    return refusal


# --- following -----------------------------------------------------------------------------------------------------


async def follow_copies(
    asked: Sequence[Following],
    look: Callable[[str, Sequence[str]], Awaitable[Mapping[str, Look]]],
    judge: Callable[[Following, Look], Progress],
) -> list[Progress]:
    """Follow copies whose task reference is the new image's id; one destination that is silent holds up no other."""

    async def follow_in(destination: str, some: Sequence[Following]) -> list[Progress]:
        try:
            looks = await look(destination, [one.job.task_ref for one in some])
        except (Refused, CircuitOpen) as error:
            return [copy_unseen(one.job, error) for one in some]
        return [judge(one, looks[one.job.task_ref]) for one in some]

    return await in_groups(asked, lambda job: job.destination, follow_in)


def copy_unseen(job: Job, error: Refused | CircuitOpen) -> Progress:
    """The question about the new image was not answered."""
    reason = f"the new image cannot be looked at: {error}"
    return Progress(job.id, "running", reason, dict(job.memo), answer=answer_of(error))


def judge_copy(asked: Following, look: Look, now: int) -> Progress:
    """What a new image says of its job; the memo keeps whether it was ever seen, ``now`` is by the vendor's clock."""
    job = asked.job
    where = f"{job.task_ref} in {job.destination}"
    if isinstance(look, Gone):
        return _gone(asked, look, now)
    if look.state in ENDED:
        how = "has failed" if look.state == "failed" else "is being deleted"
        return Progress(job.id, "failed", f"the new image {where} {how}")
    if look.state == "pending":
        progress = look.extra.get("progress")
        share = "" if progress is None else f": {progress} %"
        return Progress(job.id, "running", f"the new image {where} is not ready yet{share}", {"seen": True})
    reason = f"the new image {where} is ready"
    return Progress(job.id, "succeeded", reason, answer=said_well(job, reason))


def _gone(asked: Following, look: Gone, now: int) -> Progress:
    """One that was seen is gone at the second look; one that never was may show late."""
    job, memo = asked.job, dict[str, Any](asked.job.memo)
    since = int(memo.setdefault("gone", now))
    seen = bool(memo.get("seen"))
    late = "gone" in job.memo and (seen or asked.overdue or now - since >= PATIENCE)
    if late:
        return Progress(job.id, "failed", f"the new image is gone: {look.reason}")
    return Progress(job.id, "running", f"the new image does not show: {look.reason}", memo, soon=seen)
