"""Huawei Cloud's audit traces (CTS), bare or in an envelope of EventGrid, FunctionGraph or SMN, as sightings of images.

The CloudEvents codec asks it about events of foreign types. Pure. A trace marks that somebody asked for an image; that
it is ready is never read from one. Of who asked, only the account's id is looked at. A trace names no region: it is
taken from the envelope where that has one, and else the project stands in its place (:data:`PROJECT`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from imageferry.clouds.reading import object_of
from imageferry.ports import Sighting

CLOUD: Final = "huawei"
SOURCE: Final = "HC.IMS"
FAMILY: Final = "HC."
SERVICE: Final = "IMS"
KINDS: Final = ("ApiCall", "ConsoleAction", "SystemAction")
STARTING: Final = frozenset({"createImage", "copyImage", "updateImage"})
"""Calls after which there may be an image that was not there before; an upload ends with updateImage."""
PROJECT: Final = "project:"
"""Begins the region of a sighting that knows only the id of the project."""
MOST_IDS: Final = 5
"""Ids that are looked at when a message is not JSON."""

_IMAGE_ID: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_TOPIC: Final = "urn:smn:"
_NOTIFICATION: Final = "Notification"
_CONFIRMATION: Final = "SubscriptionConfirmation"
_SMN: Final = (_NOTIFICATION, _CONFIRMATION, "UnsubscribeConfirmation")
_NORMAL: Final = ("", "normal")
_ERROR: Final = 300
_ACROSS: Final = ("imsCrossRegionCopyImageJob", "imsCopyImageCrossUserJob")
_DEEPEST: Final = 4


class _Event(NamedTuple):
    """A trace, and what its envelope adds."""

    trace: Mapping[str, Any]
    id: str = ""
    region: str = ""


def sightings(envelope: Mapping[str, Any]) -> list[Sighting] | None:
    """What an event sighted: nothing for calls that make no image and for failed ones; None if it is not ours.

    :raises ValueError: it is ours and makes an image, but does not say which, or where.
    """
    if str(envelope.get("topic_urn") or "").startswith(_TOPIC) and envelope.get("type") in _SMN:
        return _message(envelope)
    event = _event(envelope)
    return None if event is None else _seen(event)


def _event(envelope: Mapping[str, Any]) -> _Event | None:
    """The trace of an event; an empty one for an event of this cloud that carries none of the image service."""
    source = envelope.get("source")
    if isinstance(source, str) and source.startswith(FAMILY):
        if source != SOURCE or str(envelope.get("type") or "").rpartition(":")[2] not in KINDS:
            return _Event({})
        trace = object_of(envelope.get("data"))
        if not trace:
            raise ValueError(f"the {envelope.get('type')} event carries no trace in data")
        return _Event(_unwrapped(trace), str(envelope.get("id") or ""), str(envelope.get("region") or ""))
    trace = _unwrapped(envelope)
    if not ("trace_name" in trace and "service_type" in trace):
        return None
    return _Event(trace)


def _unwrapped(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """FunctionGraph puts a trace under ``cts``."""
    return object_of(data.get("cts")) if "cts" in data and "trace_name" not in data else data


def _message(envelope: Mapping[str, Any]) -> list[Sighting]:
    """A message of SMN: a trace as JSON, or a text that names the image somewhere."""
    topic = str(envelope["topic_urn"])
    region = topic.removeprefix(_TOPIC).partition(":")[0]
    if envelope["type"] == _CONFIRMATION:
        raise ValueError(f"the topic {topic} waits for its subscription to be confirmed: open its subscribe_url once")
    if envelope["type"] != _NOTIFICATION:
        return []
    event_id, text = str(envelope.get("message_id") or ""), envelope.get("message")
    trace = object_of(text)
    if trace:
        event = _event(trace)
        return [] if event is None else _seen(_Event(event.trace, event.id or event_id, event.region or region))
    words = str(text or "")
    if not any(name in words for name in STARTING):
        return []
    ids = [each for each in dict.fromkeys(_IMAGE_ID.findall(words)) if each != event_id][:MOST_IDS]
    if not ids:
        raise ValueError(f"the message of topic {topic} names no image")
    return _sightings(event_id, None, region, ids)


def _seen(event: _Event) -> list[Sighting]:
    trace = event.trace
    if trace.get("service_type") != SERVICE or trace.get("trace_name") not in STARTING or not _succeeded(trace):
        return []
    name, answer = trace["trace_name"], object_of(trace.get("response"))
    ids = list(dict.fromkeys(_ids(trace, answer)))
    if not ids:
        if answer.get("job_id") or name == "copyImage":
            # The first of two traces; the second one will name the image. A copy's source is nothing new.
            return []
        raise ValueError(f"the trace of {name} names no image")
    region = _region(event, answer)
    if region is None:
        return []
    if not region:
        raise ValueError(f"the trace of {name} names neither a region nor a project")
    return _sightings(str(trace.get("trace_id") or event.id), _account(trace), region, ids)


def _sightings(event_id: str, account: str | None, region: str, ids: list[str]) -> list[Sighting]:
    if not event_id:
        raise ValueError("the trace has no id")
    several = len(ids) > 1
    return [
        Sighting(SOURCE, f"{event_id}/{image_id}" if several else event_id, CLOUD, account, region, image_id)
        for image_id in ids
    ]


def _succeeded(trace: Mapping[str, Any]) -> bool:
    rating = str(trace.get("trace_rating") or trace.get("trace_status") or "")
    status = str(object_of(trace.get("response")).get("status") or "").lower()
    code = str(trace.get("code") or "")
    refused = code.isascii() and code.isdecimal() and int(code) >= _ERROR
    return rating.lower() in _NORMAL and not refused and not status.startswith(("fail", "error"))


def _ids(trace: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    """The new images: those of the job's answer, else the one that the trace is about."""
    named = list(_of_job(answer))
    if not named and trace["trace_name"] != "copyImage":
        about = (answer.get("image_id"), trace.get("resource_id"), object_of(trace.get("request")).get("image_id"))
        named = [str(each) for each in about if each][:1]
    return (each for each in named if _IMAGE_ID.fullmatch(each))


def _of_job(document: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """The images that a job's document names; those of the jobs below it only where it names none itself."""
    entities = object_of(document.get("entities"))
    if entities.get("image_id"):
        yield str(entities["image_id"])
        return
    below = entities.get("sub_jobs_result")
    for each in below if isinstance(below, list) and depth < _DEEPEST else ():
        if isinstance(each, Mapping):
            yield from _of_job(each, depth + 1)


def _region(event: _Event, answer: Mapping[str, Any]) -> str | None:
    """Where the image is; None for a copy into a region that is not named."""
    trace = event.trace
    target = str(object_of(trace.get("request")).get("region") or "")
    if trace["trace_name"] == "copyImage" and (target or answer.get("job_type") in _ACROSS):
        return target or None
    given = str(trace.get("region") or event.region or "")
    project = str(trace.get("project_id") or "")
    return given or (f"{PROJECT}{project}" if project else "")


def _account(trace: Mapping[str, Any]) -> str | None:
    user = object_of(trace.get("user"))
    found = trace.get("domain_id") or object_of(user.get("domain")).get("id") or user.get("account_id")
    return str(found) if found else None
