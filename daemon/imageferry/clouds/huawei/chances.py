"""Which refusals may pass when the same thing is asked for once more; exports and copies ask it. Pure."""

from __future__ import annotations

from dataclasses import replace

from imageferry.clouds.huawei.codes import TOO_LARGE, has_second_chance
from imageferry.clouds.huawei.jobs import JobState
from imageferry.core.answers import Answer
from imageferry.core.job import Job
from imageferry.ports import Progress


def second_chance(job: Job, answer: Answer) -> Answer:
    """The refusal of a request; some are permanent only when they come twice in a row."""
    first = answer.vendor_code != job.vendor_code
    if answer.klass == "permanent_config" and first and has_second_chance(answer.vendor_code):
        return replace(answer, klass="retry")
    return answer


def ended_badly(job: Job, state: JobState) -> Progress:
    """The task failed: for good, or for a reason that may be gone when it is asked for once more."""
    answer = state.answer
    code = "" if answer is None else answer.vendor_code
    for_good = answer is not None and answer.klass in ("permanent_image", "permanent_config")
    another_way = code in TOO_LARGE and len(job.request.get("ways", ())) > 1
    again = not for_good or not code or another_way or has_second_chance(code)
    return Progress(job.id, "vanished" if again else "failed", state.reason, dict(job.memo), answer=answer)
