"""Alibaba Cloud's ActionTrail records, EventBridge events and CloudMonitor notices, as sightings of images.

The CloudEvents codec asks it about events of foreign types. Pure. No documented event says that an image is ready:
these say that somebody asked for one, and polling finds what they leave out. Of who asked, only the account's id is
looked at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from imageferry.clouds.reading import object_of
from imageferry.ports import Sighting

CLOUD: Final = "aliyun"
SOURCE: Final = "acs.ecs"
FAMILY: Final = "acs."
SERVICE: Final = "ecs"
STARTING: Final = frozenset({"CreateImage", "CopyImage", "ImportImage", "ModifyImageAttribute"})
"""Calls after which there may be an image that was not there before."""
ACROSS: Final = "CopyImage"
RESOURCE: Final = "ACS::ECS::Image"
STATE_CHANGE: Final = "Image:StateChange"
READY: Final = "Available"
CHANGED: Final = "ConfigurationItemChangeNotification"
"""Ends the type of an event of Cloud Config; whether that records images is not known."""

_IMAGE_ID: Final = re.compile(r"\bm-[a-z0-9]+\b")
_TRAILS: Final = ("ActionTrail", "actiontrail")


class _Event(NamedTuple):
    """What came, and what its envelope adds."""

    data: Mapping[str, Any]
    id: str = ""
    account: str = ""
    region: str = ""


def sightings(envelope: Mapping[str, Any]) -> list[Sighting] | None:
    """What an event sighted: nothing for what makes no image and for what failed; None if it is not ours.

    :raises ValueError: it is ours and makes an image, but does not say which, or where.
    """
    source, kind = str(envelope.get("source") or ""), str(envelope.get("type") or "")
    if source.startswith(FAMILY) and kind:
        names = ("id", "aliyunaccountid", "aliyunregionid")
        event = _Event(object_of(envelope.get("data")), *(str(envelope.get(name) or "") for name in names))
        if kind.endswith(CHANGED):
            return _changed(event)
        if source != SOURCE:
            return []
        if not event.data and any(trail in kind for trail in _TRAILS):
            raise ValueError(f"the {kind} event carries no record in data")
    else:
        event = _Event(envelope)
    return _seen(event, ours=event.data is not envelope)


def _seen(event: _Event, *, ours: bool) -> list[Sighting] | None:
    data = event.data
    if "eventName" in data and ("acsRegion" in data or "recipientAccountId" in data):
        return _recorded(event)
    if str(data.get("product") or "").lower() == SERVICE and "name" in data and "content" in data:
        return _noticed(event)
    return [] if ours else None


# --- ActionTrail ---------------------------------------------------------------------------------------------------


def _recorded(event: _Event) -> list[Sighting]:
    record = event.data
    name = str(record.get("eventName"))
    ours = str(record.get("serviceName") or "").lower() == SERVICE or "ecs" in str(record.get("eventSource") or "")
    if not ours or name not in STARTING or record.get("errorCode"):
        return []
    asked = object_of(record.get("requestParameters"))
    region = str(record.get("acsRegion") or asked.get("RegionId") or event.region or "")
    if name == ACROSS:
        region = str(asked.get("DestinationRegionId") or region)
    ids = list(dict.fromkeys(_made(record, asked, name)))
    if not ids:
        if name == ACROSS:
            # Its resources are the source images; without the new one's id there is nothing new to look at.
            return []
        raise ValueError(f"the record of {name} names no image")
    account = str(record.get("recipientAccountId") or event.account or "")
    event_id = event.id or str(record.get("eventId") or record.get("requestId") or "")
    return _sightings(event_id, account, region, ids, f"the record of {name}")


def _made(record: Mapping[str, Any], asked: Mapping[str, Any], name: str) -> Iterator[str]:
    """Ids of the images that a call made: from its answer, else from the resources that it is about."""
    source = str(asked.get("ImageId") or "") if name == ACROSS else ""
    answered = _ids(object_of(record.get("responseElements")).get("ImageId"))
    if answered:
        yield from answered
        return
    resources = object_of(record.get("referencedResources")).get(RESOURCE)
    places = (resources, record.get("resourceName"), asked.get("ImageId") if name != ACROSS else None)
    yield from (each for each in next(filter(None, map(_ids, places)), []) if each != source)


# --- notices and Cloud Config --------------------------------------------------------------------------------------


def _noticed(event: _Event) -> list[Sighting]:
    """A notice of CloudMonitor; that a snapshot is complete names no image, and polling finds what was made of it."""
    notice = event.data
    content = object_of(notice.get("content"))
    if notice.get("name") != STATE_CHANGE or content.get("state") != READY:
        return []
    ids = _ids(content.get("resourceId")) or _ids(notice.get("resourceId"))
    if not ids:
        raise ValueError(f"the notice {STATE_CHANGE} names no image")
    account, region = (str(notice.get(name) or "") for name in ("userId", "regionId"))
    event_id = event.id or str(notice.get("id") or "")
    return _sightings(event_id, account or event.account, region or event.region, ids, f"the notice {STATE_CHANGE}")


def _changed(event: _Event) -> list[Sighting]:
    """An item of Cloud Config: its region is its own, for the event's is the service's."""
    item = object_of(event.data.get("configurationItem")) or event.data
    ids = _ids(item.get("resourceId"))
    region = str(item.get("regionId") or object_of(item.get("configuration")).get("RegionId") or "")
    if not ids or not region or item.get("resourceType", RESOURCE) != RESOURCE:
        return []
    account = str(item.get("accountId") or event.account or "")
    return _sightings(event.id, account, region, ids, "the configuration item")


# --- both ----------------------------------------------------------------------------------------------------------


def _sightings(event_id: str, account: str, region: str, ids: list[str], what: str) -> list[Sighting]:
    if not event_id:
        raise ValueError(f"{what} has no id")
    if not region:
        raise ValueError(f"{what} names no region")
    several = len(ids) > 1
    return [
        Sighting(SOURCE, f"{event_id}/{image_id}" if several else event_id, CLOUD, account or None, region, image_id)
        for image_id in ids
    ]


def _ids(place: object) -> list[str]:
    """Image ids in some place, whatever its shape."""
    return _IMAGE_ID.findall(place if isinstance(place, str) else json.dumps(place, default=str))
