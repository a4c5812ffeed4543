"""The asynchronous jobs of the Huawei Cloud rehearsal, by both of the vendor's paths.

The rehearsal's table of operations points here. Nothing runs: how a job is follows from the time that is asked about.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from imageferry.core.times import SECOND, rfc3339
from imageferry.rehearsal.huawei_calls import Answered, Call, Job, World
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.parameters import VendorError

_WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "upper": {},
    "lower": {"INIT": "init", "RUNNING": "running", "SUCCESS": "success", "FAIL": "fail"},
    "texts": {"INIT": "init", "RUNNING": "running", "SUCCESS": "success", "FAIL": "failed"},
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HALFWAY: Final = 0.99
"""The most that a failed job's percentage shows."""


def show_job_progress(world: World, call: Call, now: int) -> Mapping[str, Any] | Answered:
    """A job by the path that belongs to no project.

    :raises VendorError: this server does not have the path, or there is no such job here.
    """
    return _show(world, call, now, "progress")


def show_job(world: World, call: Call, now: int) -> Mapping[str, Any] | Answered:
    """A job by the older path, which names the project.

    :raises VendorError: this server does not have the path, or there is no such job here.
    """
    return _show(world, call, now, "project")


def _show(world: World, call: Call, now: int, path: str) -> Mapping[str, Any] | Answered:
    if path not in world.options.job_paths:
        raise VendorError("APIGW.0101", "The API does not exist or has not been published in the environment")
    job = world.jobs.get(call.resource)
    if job is None or job.task.region != call.region or _forgotten(job, world.options, now):
        if not world.options.missing_job_code:
            return Answered({}, world.options.missing_job_status)
        raise VendorError(world.options.missing_job_code, f"The job {call.resource} does not exist.")
    return job_json(job, world.options, now)


def _forgotten(job: Job, options: HuaweiOptions, now: int) -> bool:
    kept = options.job_kept_seconds
    return kept is not None and now >= job.task.ends_at + int(kept * SECOND)


def job_json(job: Job, options: HuaweiOptions, now: int) -> dict[str, Any]:
    """A job with every field of the vendor's model."""
    told = _outline(job, job.task.id, job.kind, options, now)
    entities = _entities(job, options, now)
    failed = job.task.fails and now >= job.task.ends_at
    if failed and options.failure_at == "job":
        told |= {"error_code": job.code, "fail_reason": job.reason}
    if failed and options.failure_at == "entities":
        entities |= {"error_code": job.code, "error": job.reason}
    if job.sub_kind and (options.sub_jobs or options.failure_at == "sub_job"):
        sub = _outline(job, job.sub_id, job.sub_kind, options, now)
        if failed:
            sub |= {"error_code": job.code, "fail_reason": job.reason}
        entities |= {"subJobId": job.sub_id, "sub_jobs_list": [job.sub_id], "sub_jobs_result": [sub]}
    return {**told, "entities": entities}


def _outline(job: Job, job_id: str, kind: str, options: HuaweiOptions, now: int) -> dict[str, Any]:
    ended = now >= job.task.ends_at
    return {
        "status": _status(job, options, now),
        "job_id": job_id,
        "job_type": kind,
        "begin_time": _time(job.task.accepted_at, options),
        "end_time": _time(job.task.ends_at, options) if ended else "",
        "error_code": None,
        "fail_reason": None,
    }


def _status(job: Job, options: HuaweiOptions, now: int) -> str:
    word = "RUNNING"
    if now >= job.task.ends_at:
        word = "FAIL" if job.task.fails else "SUCCESS"
    elif now < job.task.accepted_at + int(options.init_seconds * SECOND):
        word = "INIT"
    return _WORDS[options.job_words].get(word, word)


def _entities(job: Job, options: HuaweiOptions, now: int) -> dict[str, Any]:
    took, takes = now - job.task.accepted_at, max(1, job.task.ends_at - job.task.accepted_at)
    part = min(_HALFWAY if job.task.fails else 1.0, took / takes)
    image = _image_named(job, options, now)
    return {
        **({"image_id": image} if image else {}),
        "image_name": job.image_name,
        "process_percent": round(part * options.percent_scale, 2),
        "current_task": job.sub_kind or job.kind,
    }


def _image_named(job: Job, options: HuaweiOptions, now: int) -> str:
    """The image that a job tells of: an export's source, a copy's new image as the options say."""
    made = job.task.new_image_id
    if not made:
        return job.task.image_id
    ended = now >= job.task.ends_at
    if options.copy_names_image == "source_first" and not ended:
        return job.task.image_id
    hidden = options.copy_names_image == "never" or (options.copy_names_image == "at_end" and not ended)
    return "" if hidden or (ended and job.task.fails and options.copy_failure == "gone") else made


def _time(at: int, options: HuaweiOptions) -> str:
    if options.job_times == "iso":
        return f"{rfc3339(at)[:23]}Z"
    moment = _EPOCH + timedelta(microseconds=at)
    return f"{moment:%d-%b-%Y %H:%M:%S}:{moment.microsecond // 1000:03d}"
