"""Reading Tencent Cloud's images: by id, a hundred a request, and by name; each as the common record.

The adapter looks with it, exports and copies follow with it. It changes nothing, and decides nothing about images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from imageferry.clouds.batches import Resting, parts
from imageferry.clouds.reading import moment, objects
from imageferry.clouds.states import States
from imageferry.clouds.tencent.client import Client, call
from imageferry.clouds.tencent.codes import BAD_ID
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.image import Arch, Image, ImageState, OsFamily, Place, Visibility
from imageferry.errors import Refused
from imageferry.ports import Clock, Gone, ImagePage, Look

DESCRIBE: Final = "DescribeImages"
PAGE: Final = 100
"""Images of one answer, and ids of one request, at the most."""
VALUES: Final = 5
"""Values of one filter, at the most."""
MOST_PAGES: Final = 20

STATES: Final[dict[str, ImageState]] = {
    "NORMAL": "ready",
    "USING": "ready",
    "CREATING": "pending",
    "IMPORTING": "pending",
    "SYNCING": "pending",
    "CREATEFAILED": "failed",
    "IMPORTFAILED": "failed",
}
KINDS: Final[dict[str, Visibility]] = {
    "PRIVATE_IMAGE": "private",
    "PUBLIC_IMAGE": "public",
    "SHARED_IMAGE": "shared",
    "MARKET_IMAGE": "market",
}
ARCHES: Final[dict[str, Arch]] = {"x86_64": "x86_64", "arm": "aarch64", "arm_64": "aarch64", "i386": "i386"}

log = structlog.get_logger(__name__)


class Images:
    """One account's images, read through its client."""

    def __init__(self, client: Client, clock: Clock, account: str) -> None:
        self._client = client
        self._account = account
        self._resting = Resting(clock)
        self._states = States(STATES)

    async def look(self, region: str, ids: Sequence[str]) -> dict[str, Look]:
        """An answer for every id.

        An unknown id is left out of the answer, or refused together with its whole batch; either way it is gone, and
        the others are not. ``encrypted`` stays unknown: images do not say it, and reading snapshots wants rights that
        nothing else here needs.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        found: dict[str, Image] = {}
        asked = list(dict.fromkeys(ids))
        resting = self._resting.among(region, asked)
        for some in parts([each for each in asked if each not in resting], PAGE):
            found |= await self._batch(region, some)
        for some in parts(resting, VALUES):
            found |= await self._filtered(region, some)
        self._resting.drop(region, found)
        return {each: found.get(each) or Gone(f"the cloud does not have {each} in {region}") for each in asked}

    async def named(self, region: str, name: str) -> list[Image]:
        """Own images that have exactly this name, in any state.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        found: list[Image] = []
        for page in range(MOST_PAGES):
            images, total = await self._page(region, "image-name", [name], page)
            found += [image for image in images if image.name == name]
            if (page + 1) * PAGE >= total:
                break
        return found

    async def listed(self, region: str, marker: str | None) -> ImagePage:
        """One page of the own images, in any state; the marker is the page's number.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        page = int(marker or 0)
        images, total = await self._page(region, "image-type", ["PRIVATE_IMAGE"], page)
        return ImagePage(images, str(page + 1) if images and (page + 1) * PAGE < total else None)

    async def _batch(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        told = await self._client.ask(call(DESCRIBE, region, {"ImageIds": ids, "Limit": PAGE}))
        if _bad_id(told):
            found = await self._sift(region, ids) if len(ids) > 1 else {}
            self._resting.add(region, (each for each in ids if each not in found))
            return found
        if told.answer.klass != "ok":
            raise Refused(told.answer)
        images, total = self._images(region, told)
        found = {image.id: image for image in images}
        if total > len(images):
            found |= await self._sift(region, [each for each in ids if each not in found])
        return found

    async def _sift(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        """Those of a spoilt batch that are there, in the fewest requests.

        Listing all own images costs a page for each hundred; a filter takes five ids and is not spoilt by one that
        is unknown. The list goes first where it is the shorter way, the filter for what is not in it.
        """
        filters = -(-len(ids) // VALUES)
        found: dict[str, Image] = {}
        page, pages = 0, 1
        while page < pages < filters:
            images, total = await self._page(region, "image-type", ["PRIVATE_IMAGE"], page)
            found |= {image.id: image for image in images if image.id in ids}
            page, pages = page + 1, -(-total // PAGE)
        for some in parts([each for each in ids if each not in found], VALUES):
            found |= await self._filtered(region, some)
        return found

    async def _filtered(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        try:
            images, _ = await self._page(region, "image-id", ids, 0)
        except Refused as refused:
            if not refused.answer.vendor_code.startswith(BAD_ID):
                raise
            alone = [await self._filtered(region, [each]) for each in ids] if len(ids) > 1 else []
            return {image_id: image for one in alone for image_id, image in one.items()}
        return {image.id: image for image in images if image.id in ids}

    async def _page(self, region: str, name: str, values: Sequence[str], page: int) -> tuple[list[Image], int]:
        params = {"Filters": [{"Name": name, "Values": values}], "Offset": page * PAGE, "Limit": PAGE}
        told = await self._client.read(call(DESCRIBE, region, params))
        if not isinstance(told.content.get("TotalCount"), int):
            raise Refused(Answer("retry", "the answer has no list of images", request_id=told.answer.request_id))
        return self._images(region, told)

    def _images(self, region: str, told: Told) -> tuple[list[Image], int]:
        place = Place("tencent", self._account, region)
        rows = [row for row in objects(told.content.get("ImageSet")) if row.get("ImageId")]
        for row in rows:
            self._states.note(str(row.get("ImageState")))
        total = told.content.get("TotalCount")
        return [to_image(row, place) for row in rows], total if isinstance(total, int) else len(rows)


def to_image(row: Mapping[str, Any], place: Place) -> Image:
    """The common record of an image as the API shows it; ``extra`` keeps its disks' snapshots."""
    return Image(
        place=place,
        id=str(row["ImageId"]),
        name=row.get("ImageName"),
        os=_os(row),
        os_name=row.get("OsName"),
        arch=_arch(row.get("Architecture")),
        size_gib=row.get("ImageSize"),
        state=STATES.get(str(row.get("ImageState")), "pending"),
        visibility=KINDS.get(str(row.get("ImageType"))),
        tags={str(tag.get("Key")): str(tag.get("Value") or "") for tag in objects(row.get("Tags"))},
        created_at=moment(row.get("CreatedTime")),
        extra={"disks": [_disk(disk) for disk in objects(row.get("SnapshotSet"))]},
    )


def _os(row: Mapping[str, Any]) -> OsFamily:
    platform, name = str(row.get("Platform") or "").lower(), str(row.get("OsName") or "").lower()
    if "windows" in platform or "windows" in name:
        return "windows"
    return "other" if platform in ("", "freebsd") else "linux"


def _arch(word: object) -> Arch | None:
    return ARCHES.get(str(word), "other") if word else None


def _disk(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"usage": row.get("DiskUsage"), "snapshot": row.get("SnapshotId"), "size": row.get("DiskSize")}


def _bad_id(told: Told) -> bool:
    return told.answer.vendor_code.partition(".")[0] == BAD_ID
