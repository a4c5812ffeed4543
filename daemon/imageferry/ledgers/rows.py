"""Jobs, images and documents as rows, and back. Used by every script; it knows no table but their columns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from imageferry.core.image import Image, Place
from imageferry.core.job import Job
from imageferry.ledgers.script import Value

JOB_COLUMNS: Final = (
    "id, key, cloud, account, region, image_id, image_name, action, destination, options, policies, state, reason, "
    "priority, version, created_at, due_at, give_up_at, class, vendor_code, request_id, attempt, attempts, sends, "
    "task_ref, object_keys, request, made_name, memo, sighted_at, sent_at, submitted_at, ended_at"
)
"""In the order of :func:`job_row`."""


def dump(document: Mapping[str, Any] | Sequence[Any]) -> str:
    """JSON text as the ledger keeps it."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Any:  # noqa: ANN401 - JSON is what it is
    """The inverse of :func:`dump`; most documents are empty."""
    if text == "{}":
        return {}
    return [] if text == "[]" else json.loads(text)


def job_row(job: Job) -> tuple[Value, ...]:
    """The columns of a job."""
    return (
        job.id,
        job.key,
        *job.place,
        job.image_id,
        job.image_name,
        job.action,
        job.destination,
        dump(dict(job.options)),
        dump(job.policies),
        job.state,
        job.reason,
        job.priority,
        job.version,
        job.created_at,
        job.due_at,
        job.give_up_at,
        job.klass,
        job.vendor_code,
        job.request_id,
        job.attempt,
        job.attempts,
        job.sends,
        job.task_ref,
        dump(job.object_keys),
        dump(dict(job.request)),
        job.made_name,
        dump(dict(job.memo)),
        job.sighted_at,
        job.sent_at,
        job.submitted_at,
        job.ended_at,
    )


def read_job(row: Sequence[Any]) -> Job:
    """A job from its columns."""
    return Job(
        id=row[0],
        key=row[1],
        place=Place(row[2], row[3], row[4]),
        image_id=row[5],
        image_name=row[6],
        action=row[7],
        destination=row[8],
        options=load(row[9]),
        policies=tuple(load(row[10])),
        state=row[11],
        reason=row[12],
        priority=row[13],
        version=row[14],
        created_at=row[15],
        due_at=row[16],
        give_up_at=row[17],
        klass=row[18],
        vendor_code=row[19],
        request_id=row[20],
        attempt=row[21],
        attempts=row[22],
        sends=row[23],
        task_ref=row[24],
        object_keys=tuple(load(row[25])),
        request=load(row[26]),
        made_name=row[27],
        memo=load(row[28]),
        sighted_at=row[29],
        sent_at=row[30],
        submitted_at=row[31],
        ended_at=row[32],
    )


def read_image(facts: str | None) -> Image | None:
    """The image as it was last looked at, or None where it never was."""
    return None if facts is None else Image.from_json(json.loads(facts))
