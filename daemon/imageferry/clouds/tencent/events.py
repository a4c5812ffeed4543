"""CloudAudit records, whole EventBridge events or bare, as sightings of images.

The CloudEvents codec asks it about events of foreign types. Pure. An event marks that somebody asked for an image; that
it is ready is never read from one. Of who asked, only the account's id is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from imageferry.clouds.reading import object_of
from imageferry.ports import Sighting

CLOUD: Final = "tencent"
SOURCE: Final = "cvm.cloud.tencent"
FAMILY: Final = ".cloud.tencent"
CALLS: Final = ("ApiCall", "ConsoleCall", "MiniProgramCall")
STARTING: Final = frozenset({"CreateImage", "ImportImage", "SyncImages"})
"""Calls after which there is an image that was not there before."""

_IMAGE_ID: Final = re.compile(r"\bimg-[a-z0-9]{8}\b")
_DONE: Final = (None, "", "0", 0)


def sightings(envelope: Mapping[str, Any]) -> list[Sighting] | None:
    """What an event sighted: nothing for calls that make no image and for refused ones; None if it is not ours.

    :raises ValueError: it is ours and makes an image, but does not say which, or where.
    """
    record = _record(envelope)
    if record is None:
        return None
    if not record or record.get("eventName") not in STARTING or not _succeeded(record):
        return []
    whole = envelope is not record
    event_id = str((envelope.get("id") if whole else None) or record.get("eventID") or record.get("requestID") or "")
    region = str((envelope.get("region") if whole else None) or record.get("eventRegion") or "")
    if not event_id:
        raise ValueError(f"the audit record of {record['eventName']} has no id")
    source = str(envelope.get("source")) if whole else SOURCE
    seen = list(dict.fromkeys(_seen(envelope, record, region)))
    several = len(seen) > 1
    return [
        Sighting(source, f"{event_id}/{image_id}" if several else event_id, CLOUD, _account(record), where, image_id)
        for where, image_id in seen
    ]


def _record(envelope: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The audit record; empty for an event of this cloud that carries none, None for an event of another."""
    source, kind = str(envelope.get("source") or ""), str(envelope.get("type") or "")
    if source.endswith(FAMILY):
        if source != SOURCE or kind.rpartition(":")[2] not in CALLS:
            return {}
        data = object_of(envelope.get("data"))
        if not data:
            raise ValueError(f"the {kind} event carries no audit record in data")
        return data
    bare = "eventName" in envelope and "eventRegion" in envelope and envelope.get("eventType") in CALLS
    return envelope if bare else None


def _succeeded(record: Mapping[str, Any]) -> bool:
    return record.get("errorCode") in _DONE and record.get("apiErrorCode") in _DONE


def _account(record: Mapping[str, Any]) -> str | None:
    identity = record.get("userIdentity")
    account = identity.get("accountId") if isinstance(identity, Mapping) else None
    return str(account) if account else None


def _seen(envelope: Mapping[str, Any], record: Mapping[str, Any], region: str) -> Iterator[tuple[str, str]]:
    """(region, image id): from the call's answer, else the first id in what the event says it is about."""
    answer = object_of(record.get("responseElements"))
    if record["eventName"] == "SyncImages":
        # Its subject is the source image; without a list of the new ones there is nothing new to look at.
        yield from _copies(answer)
        return
    named = str(answer.get("ImageId") or "")
    about = (envelope.get("subject"), record.get("resourceName"), record.get("resourceSet"), record.get("resources"))
    found = _IMAGE_ID.search(named) or next(filter(None, (_IMAGE_ID.search(_text(each)) for each in about)), None)
    if found is None:
        raise ValueError(f"the audit record of {record['eventName']} names no image")
    if not region:
        raise ValueError(f"the audit record of {record['eventName']} names no region")
    yield region, found.group()


def _copies(answer: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    made = answer.get("ImageSet")
    for each in made if isinstance(made, list) else ():
        if isinstance(each, Mapping) and each.get("Region") and each.get("ImageId"):
            yield str(each["Region"]), str(each["ImageId"])


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
