"""Reading Alibaba Cloud's images: by id, a hundred a request, and own ones page by page; each as the common record.

The adapter looks and lists with it, copies follow and search with it. It changes nothing, and decides nothing about
images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from imageferry.clouds.aliyun.answers import listed, rows
from imageferry.clouds.aliyun.client import Call, Client
from imageferry.clouds.aliyun.codes import NO_SUCH_IMAGE
from imageferry.clouds.batches import Resting
from imageferry.clouds.reading import whole
from imageferry.clouds.states import States
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.image import Arch, Image, ImageState, OsFamily, Place, Visibility
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Clock, Gone, ImagePage, Look

DESCRIBE: Final = "DescribeImages"
EVERY_STATUS: Final = "Creating,Waiting,Available,UnAvailable,CreateFailed,Deprecated"
"""Without it only those that are Available are shown."""
PAGE: Final = 100
"""Ids of one request, and images of one answer."""
REST: Final = 600.0
"""Seconds that an id which spoilt a batch is kept out of batches."""
MOST_RESTING: Final = 10_000
MOST_PAGES: Final = 20

STATES: Final[dict[str, ImageState]] = {
    "Available": "ready",
    "Creating": "pending",
    "Waiting": "pending",
    "CreateFailed": "failed",
    "UnAvailable": "failed",
    "Deprecated": "deprecated",
}
OWNERS: Final[dict[str, Visibility]] = {
    "self": "private",
    "system": "public",
    "others": "shared",
    "marketplace": "market",
}
ARCHES: Final[dict[str, Arch]] = {"x86_64": "x86_64", "arm64": "aarch64", "i386": "i386"}
SYSTEMS: Final[dict[str, OsFamily]] = {"windows": "windows", "linux": "linux"}

log = structlog.get_logger(__name__)


class Images:
    """One account's images, read through its client."""

    def __init__(self, client: Client, clock: Clock, account: str) -> None:
        self._client = client
        self._account = account
        self._most = PAGE
        self._resting = Resting(clock)
        self._states = States(STATES)

    async def look(self, region: str, ids: Sequence[str]) -> dict[str, Look]:
        """An answer for every id: one that is left out of an answer, or alone is refused, is gone.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        found: dict[str, Image] = {}
        asked = list(dict.fromkeys(ids))
        resting = self._resting.among(region, asked)
        rest = [each for each in asked if each not in resting]
        while rest:
            some, rest = rest[: self._most], rest[self._most :]
            found |= await self._batch(region, some)
        for each in resting:
            found |= await self._batch(region, [each])
        self._resting.drop(region, found)
        return {each: found.get(each) or Gone(f"the cloud does not have {each} in {region}") for each in asked}

    async def page(self, region: str, marker: str | None = None) -> ImagePage:
        """One page of the account's own images; the marker is the number of the next page.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        number = int(marker or 1)
        told = await self._ask(region, {"ImageOwnerAlias": "self"}, number)
        images = self._read(region, told)
        total = whole(told.content.get("TotalCount"))
        last = len(rows(told.content, "Images", "Image")) < PAGE if total is None else number * PAGE >= total
        return ImagePage(images, None if last or not images else str(number + 1))

    async def named(self, region: str, name: str) -> list[Image]:
        """Own images of exactly this name, in any state.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        found: dict[str, Image] = {}
        for number in range(1, MOST_PAGES + 1):
            told = await self._ask(region, {"ImageOwnerAlias": "self", "ImageName": name}, number)
            images = self._read(region, told)
            found |= {image.id: image for image in images if image.name == name}
            if not images or number * PAGE >= (whole(told.content.get("TotalCount")) or 0):
                break
        return list(found.values())

    async def _batch(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        """The images of some ids; where one spoils the answer, or they are too many, those of both halves."""
        told = await self._client.ask(_call(region, {"ImageId": ",".join(ids)}, 1))
        if told.answer.klass == "ok":
            return {image.id: image for image in self._read(region, told) if image.id in ids}
        if not _about_ids(told.answer, ids):
            raise Refused(told.answer)
        if len(ids) == 1:
            self._resting.add(region, ids)
            return {}
        found: dict[str, Image] = {}
        resting = len(self._resting)
        half = -(-len(ids) // 2)
        for some in (ids[:half], ids[half:]):
            found |= await self._batch(region, some)
        if len(self._resting) == resting:
            # No id was to blame: so many of them are too many, whatever the newer documents mean by one.
            self._most = min(self._most, half)
        return found

    async def _ask(self, region: str, params: Mapping[str, str], page: int) -> Told:
        return await self._client.read(_call(region, params, page))

    def _read(self, region: str, told: Told) -> list[Image]:
        return [self._image(region, row) for row in listed(told, "Images", "Image") if row.get("ImageId")]

    def _image(self, region: str, row: Mapping[str, Any]) -> Image:
        self._states.note(str(row.get("Status")))
        return to_image(row, Place("aliyun", self._account, region))


def to_image(row: Mapping[str, Any], place: Place) -> Image:
    """The common record of an image as the API shows it; ``extra`` keeps what this cloud's rules ask for."""
    return Image(
        place=place,
        id=str(row["ImageId"]),
        name=row.get("ImageName"),
        os=SYSTEMS.get(str(row["OSType"]).lower(), "other") if row.get("OSType") else None,
        os_name=row.get("OSNameEn") or row.get("OSName") or row.get("Platform") or None,
        arch=ARCHES.get(str(row["Architecture"]), "other") if row.get("Architecture") else None,
        size_gib=whole(row.get("Size")),
        state=STATES.get(str(row.get("Status")), "pending"),
        visibility=_visibility(row),
        encrypted=_encrypted(row),
        tags={str(tag.get("TagKey")): str(tag.get("TagValue") or "") for tag in rows(row, "Tags", "Tag")},
        created_at=moment(row.get("CreationTime")),
        extra=_extra(row),
    )


def moment(text: object) -> int | None:
    """Microseconds UTC of one of the vendor's times, with or without its seconds; None where it is none."""
    try:
        read = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return int((read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()) * SECOND


def true(value: object) -> bool | None:
    """What a boolean says, also one that is written as text; None where it says nothing."""
    return {"true": True, "false": False}.get(str(value).lower())


def _call(region: str, params: Mapping[str, str], page: int) -> Call:
    paging = {"Status": EVERY_STATUS, "PageNumber": str(page), "PageSize": str(PAGE)}
    return Call(DESCRIBE, region, "read", {**params, **paging})


def _about_ids(answer: Answer, ids: Sequence[str]) -> bool:
    """Whether a refusal is about one of the ids, or about how many there are, and not about the question."""
    if answer.klass == "permanent_image" or answer.vendor_code == NO_SUCH_IMAGE:
        return True
    words = f"{answer.vendor_code} {answer.message}"
    named = "ImageId" in words or any(each in words for each in ids)
    return answer.klass == "permanent_config" and (named or len(ids) > 1) and "Region" not in answer.vendor_code


def _disks(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return rows(row, "DiskDeviceMappings", "DiskDeviceMapping")


def _visibility(row: Mapping[str, Any]) -> Visibility | None:
    """Community images are other accounts' that everybody may use."""
    owner = str(row.get("ImageOwnerAlias"))
    return "public" if owner == "others" and true(row.get("IsPublic")) else OWNERS.get(owner)


def _encrypted(row: Mapping[str, Any]) -> bool | None:
    """Whether any disk is; None where none of them says."""
    known = [said for disk in _disks(row) if (said := true(disk.get("Encrypted"))) is not None]
    return any(known) if known else None


def _extra(row: Mapping[str, Any]) -> dict[str, Any]:
    data = [whole(disk.get("Size")) or 0 for disk in _disks(row) if disk.get("Type") == "data"]
    extra: dict[str, Any] = {"product_code": str(row.get("ProductCode") or ""), "data_disks_gib": data}
    if (copied := true(row.get("IsCopied"))) is not None:
        extra["copied"] = copied
    if (progress := whole(str(row.get("Progress") or "").removesuffix("%"))) is not None:
        extra["progress"] = progress
    return extra
