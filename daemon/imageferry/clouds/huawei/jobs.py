"""How Huawei Cloud's jobs are: asked for one by one, on the path that is recommended and on the one that went before.

Exports and copies follow with it. It decides nothing about them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from imageferry.clouds.huawei.client import Call, Client
from imageferry.clouds.huawei.codes import classify
from imageferry.clouds.wire import Told, foreign
from imageferry.core.answers import Answer
from imageferry.errors import Refused

PROGRESS: Final = "ShowJobProgress"
SHOW: Final = "ShowJob"

ENDS: Final[dict[str, Literal["done", "failed"]]] = {
    "success": "done",
    "finished": "done",
    "fail": "failed",
    "failed": "failed",
    "error": "failed",
}
"""Lower case; whatever is not here runs."""

_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True)
class JobState:
    """What the cloud said of one job."""

    status: Literal["running", "done", "failed", "unknown"]
    """``unknown``: the cloud does not have it (any more)."""
    reason: str
    image_id: str = ""
    """For a copy: the new image."""
    answer: Answer | None = None
    """For a failed one: its code and class, as if the request had been refused so."""


class Jobs:
    """One account's jobs."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._order = (PROGRESS, SHOW)

    async def ask(self, region: str, job_id: str) -> JobState:
        """How a job is; ``region``: where it was asked for.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        for api in self._order:
            told = await self._client.ask(await self._call(api, region, job_id))
            if told.answer.klass == "ok":
                if api != self._order[0]:
                    self._order = (api, self._order[0])
                return state_of(told.content)
            if not _not_there(told):
                raise Refused(told.answer)
        return JobState("unknown", f"the cloud does not know job {job_id}: {told.answer}", answer=told.answer)

    async def _call(self, api: str, region: str, job_id: str) -> Call:
        if api == PROGRESS:
            return Call(api, region, "read", f"v1/cloudimages/job/{job_id}")
        project = await self._client.projects.find(region)
        return Call(api, region, "read", f"v1/{project}/jobs/{job_id}")


def state_of(document: Mapping[str, Any]) -> JobState:
    """What a job's document says."""
    status: Literal["running", "done", "failed"] = ENDS.get(str(document.get("status")).lower(), "running")
    parts = list(_parts(document))
    image_id = next((str(part["image_id"]) for part in parts if part.get("image_id")), "")
    if status != "failed":
        return JobState(status, f"the job is {document.get('status')}{_progress(document)}", image_id)
    code = next((str(part["error_code"]) for part in parts if part.get("error_code")), "")
    words = (part.get(name) for name in ("fail_reason", "error_msg", "error") for part in parts)
    message = next((str(word) for word in words if word), "no reason is given")
    answer = Answer(classify(code, _BAD_REQUEST), f"the job failed: {foreign(message)}", foreign(code))
    return JobState("failed", str(answer), image_id, answer)


def _parts(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The document, its entities, and the jobs below it with theirs: the first of them that says a thing is right."""
    yield document
    entities = document.get("entities")
    if not isinstance(entities, Mapping):
        return
    yield entities
    below = entities.get("sub_jobs_result")
    for each in below if isinstance(below, list) else ():
        if isinstance(each, Mapping):
            yield from _parts(each)


def _progress(document: Mapping[str, Any]) -> str:
    """Written as a share of 1, or perhaps of 100."""
    entities = document.get("entities")
    share = entities.get("process_percent") if isinstance(entities, Mapping) else None
    if not isinstance(share, int | float) or isinstance(share, bool):
        return ""
    return f", {share * 100 if share <= 1 else share:.0f} %"


def _not_there(told: Told) -> bool:
    return told.reply is not None and told.answer.klass in ("permanent_image", "permanent_config")
