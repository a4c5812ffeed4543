"""The job as people and other programs see it, and the CloudEvent that announces its end.

Used by the ledger (which writes the event into the outbox), the job lists and the ops listener.
"""

from __future__ import annotations

import json
from typing import Any

from imageferry.core.job import Job
from imageferry.core.times import rfc3339, rfc3339_or_none


def job_json(job: Job) -> dict[str, Any]:
    """The job as ``jobs show`` prints it: times RFC 3339 or null, object keys without the bucket."""
    return {
        "id": job.id,
        "key": job.key,
        "state": job.state,
        "reason": job.reason,
        "class": job.klass,
        "policies": list(job.policies),
        "cloud": job.place.cloud,
        "account": job.place.account,
        "region": job.place.region,
        "image_id": job.image_id,
        "image_name": job.image_name,
        "action": job.action,
        "destination": job.destination,
        "options": dict(job.options),
        "attempt": job.attempt,
        "attempts": job.attempts,
        "task_ref": job.task_ref,
        "request_id": job.request_id,
        "vendor_code": job.vendor_code,
        "object_keys": list(job.object_keys),
        "created_at": rfc3339(job.created_at),
        "submitted_at": rfc3339_or_none(job.submitted_at),
        "ended_at": rfc3339_or_none(job.ended_at),
    }


def completion_id(job: Job) -> str:
    """The stable id of the announcement of this end of the job: its id and its attempt."""
    return f"{job.id}-{job.attempt}"


def completion(job: Job) -> str:
    """The structured CloudEvent of an ended job, as compact JSON text."""
    if job.ended_at is None:
        raise ValueError(f"job {job.id} has not ended: it is {job.state}")
    event = {
        "specversion": "1.0",
        "id": completion_id(job),
        "source": "/imageferry/" + "/".join(job.place),
        "type": f"io.imageferry.job.{job.state}",
        "subject": job.image_id,
        "time": rfc3339(job.ended_at),
        "datacontenttype": "application/json",
        "data": job_json(job),
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))
