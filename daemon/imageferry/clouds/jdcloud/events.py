"""JD Cloud's event notices and audit records, as sightings of images.

The CloudEvents codec asks it about events of foreign types. Pure. No document names a channel that tells of a ready
image, and the notice of a new one names the instance it was made from, not the image: on this cloud polling is the
primary source. Of who asked, only the account is looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from imageferry.clouds.reading import object_of
from imageferry.ports import Sighting

CLOUD: Final = "jdcloud"
SOURCE: Final = "jcloud.vm"
FAMILY: Final = "jcloud."
CREATED: Final = "CreateImage"
BEGUN: Final = "Executing"
AUDITED: Final = "audittrail.jdcloud.vm"
"""The source of sightings from audit records, which have none of their own."""
STARTING: Final = frozenset({"copyimages", "convertimage", "createimage", "createimagefromsnapshots", "importimage"})
"""Calls after which there is an image that was not there before, in lower case."""

_IMAGE_ID: Final = re.compile(r"\bimg-[A-Za-z0-9]+\b")
_DONE: Final = (None, "", "0", 0, "200", 200)


def sightings(envelope: Mapping[str, Any]) -> list[Sighting] | None:
    """What an event sighted: nothing for what makes no image and for what was refused; None if it is not ours.

    :raises ValueError: it is ours and makes an image, but does not say which, or where.
    """
    if str(envelope.get("source") or "").startswith(FAMILY) and "detailType" in envelope:
        return _notice(envelope)
    if "eventName" in envelope and "serviceApiVersion" in envelope and "eventSource" in envelope:
        return _audited(envelope)
    return None


def _notice(envelope: Mapping[str, Any]) -> list[Sighting]:
    detail = object_of(envelope.get("detail"))
    if envelope.get("source") != SOURCE or detail.get("eventAction") != CREATED:
        return []
    found = next(_ids(detail.get("imageId"), envelope.get("resources")), None)
    if found is None:
        if detail.get("eventState") == BEGUN:
            return []
        raise ValueError(
            "JD Cloud's CreateImage notice names an instance and no image; expected detail.imageId, "
            "which whatever forwards the notice can add; the polling source finds the image without it"
        )
    event_id, region = str(envelope.get("id") or ""), str(envelope.get("region") or "")
    _check(event_id, region, "JD Cloud's CreateImage notice")
    pin = envelope.get("pin")
    return [Sighting(SOURCE, event_id, CLOUD, str(pin) if pin else None, region, found)]


def _audited(record: Mapping[str, Any]) -> list[Sighting]:
    name = str(record.get("eventName") or "")
    ours = str(record.get("service") or "").lower() == "vm" and name.lower() in STARTING
    if not ours or record.get("errorCode") not in _DONE:
        return []
    event_id, region = str(record.get("eventId") or record.get("requestId") or ""), str(record.get("region") or "")
    _check(event_id, region, f"the audit record of {name}")
    seen = list(dict.fromkeys(_made(record, name, region)))
    if not seen and name.lower() != "copyimages":
        raise ValueError(f"the audit record of {name} names no image")
    account = str(record["account"]) if record.get("account") else None
    several = len(seen) > 1
    return [
        Sighting(AUDITED, f"{event_id}/{image_id}" if several else event_id, CLOUD, account, where, image_id)
        for where, image_id in seen
    ]


def _made(record: Mapping[str, Any], name: str, region: str) -> Iterator[tuple[str, str]]:
    """(region, image id): from the call's answer, else, for a call that is about the new image, its resources."""
    answer = object_of(record.get("response"))
    answer = object_of(answer.get("result")) or answer
    if name.lower() == "copyimages":
        # Its resources are the source images; without a list of the new ones there is nothing new to look at.
        to = str(object_of(record.get("request")).get("destinationRegion") or "")
        made = answer.get("copyImages")
        for each in made if isinstance(made, list) and to else ():
            yield from ((to, found) for found in _ids(object_of(each).get("destinationImageId")))
        return
    about = () if name.lower() == "convertimage" else (record.get("resources"),)
    found = next(_ids(answer.get("imageId"), answer.get("destinationImageId"), *about), None)
    if found is not None:
        yield region, found


def _check(event_id: str, region: str, what: str) -> None:
    if not event_id:
        raise ValueError(f"{what} has no id")
    if not region:
        raise ValueError(f"{what} names no region")


def _ids(*places: object) -> Iterator[str]:
    """Image ids, from the first place that has any."""
    for place in places:
        yield from _IMAGE_ID.findall(place if isinstance(place, str) else json.dumps(place, default=str))
