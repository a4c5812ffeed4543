"""Reading JD Cloud's images: by id, fifty a request, and all own ones of a region; each as the common record.

The adapter looks with it, copies follow and search with it. It changes nothing, and decides nothing about images.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

import structlog

from imageferry.clouds.batches import Resting, parts
from imageferry.clouds.jdcloud.client import Call, Client
from imageferry.clouds.jdcloud.codes import NO_SUCH_ID
from imageferry.clouds.reading import objects
from imageferry.clouds.states import States
from imageferry.clouds.wire import Told
from imageferry.core.answers import Answer
from imageferry.core.image import Arch, Image, ImageState, OsFamily, Place, Visibility
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.ports import Clock, Gone, ImagePage, Look

DESCRIBE: Final = "describeImages"
IDS: Final = 50
"""Ids of one request: they stand in the URL, which must stay short."""
PAGE: Final = 100
"""Images of one answer, at the most; without it an answer to fifty ids may be cut off after twenty."""
ALONE: Final = 8
"""So many ids of a spoilt batch are asked for one by one; more are halved."""
MOST_PAGES: Final = 20

BEIJING: Final = timezone(timedelta(hours=8))
"""The zone of the vendor's times, which name none; no document says so."""
ZONE_DOUBT: Final = 8 * 3600 * SECOND
"""How much later a time is if it was UTC after all."""

STATES: Final[dict[str, ImageState]] = {"ready": "ready", "pending": "pending", "error": "failed", "deleting": "gone"}
SOURCES: Final[dict[str, Visibility]] = {
    "private": "private",
    "public": "public",
    "community": "public",
    "shared": "shared",
    "thirdparty": "market",
}
ARCHES: Final[dict[str, Arch]] = {"x86_64": "x86_64", "arm64": "aarch64", "i386": "i386"}
SYSTEMS: Final[dict[str, OsFamily]] = {"windows": "windows", "linux": "linux"}
Query = tuple[tuple[str, str], ...]

log = structlog.get_logger(__name__)


class Own(NamedTuple):
    """An own image as a search sees it."""

    image: Image
    description: str


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
        the others are not. Where the answer does not say whether an image is encrypted, that stays unknown: reading
        its snapshots costs a request for each and wants rights that nothing else here needs.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        found: dict[str, Image] = {}
        asked = list(dict.fromkeys(ids))
        resting = self._resting.among(region, asked)
        for some in parts([each for each in asked if each not in resting], IDS):
            found |= await self._batch(region, some)
        for each in resting:
            found |= await self._halves(region, [each])
        self._resting.drop(region, found)
        return {each: found.get(each) or Gone(f"the cloud does not have {each} in {region}") for each in asked}

    async def own(self, region: str, name: str = "") -> AsyncIterator[Own]:
        """Every private image of a region, in any state; with ``name`` only those whose name has it as a part.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        named = (("imageName", name),) if name else ()
        for page in range(1, MOST_PAGES + 1):
            rows, total = await self._page(region, (("imageSource", "private"), *named), page)
            for row in rows:
                yield Own(self._image(region, row), str(row.get("desc") or ""))
            if page * PAGE >= total or not rows:
                break

    async def listed(self, region: str, marker: str | None) -> ImagePage:
        """One page of the private images, in any state; the marker is the page's number.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        page = int(marker or 1)
        rows, total = await self._page(region, (("imageSource", "private"),), page)
        images = [self._image(region, row) for row in rows]
        return ImagePage(images, str(page + 1) if images and page * PAGE < total else None)

    async def _batch(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        told = await self._ask(region, ids)
        if told is not None:
            return await self._read(region, ids, told)
        found = await self._sift(region, ids) if len(ids) > 1 else {}
        self._resting.add(region, (each for each in ids if each not in found))
        return found

    async def _sift(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        """Those of a spoilt batch that are there: own ones from the list, the others in ever smaller batches."""
        wanted, found, page, total = set(ids), dict[str, Image](), 0, PAGE
        while page * PAGE < total <= ALONE * PAGE:
            page += 1
            rows, total = await self._page(region, (("imageSource", "private"),), page)
            found |= {str(row["imageId"]): self._image(region, row) for row in rows if row["imageId"] in wanted}
        rest = [each for each in ids if each not in found]
        size = 1 if len(rest) <= ALONE else -(-len(rest) // 2)
        for some in parts(rest, size):
            found |= await self._halves(region, some)
        return found

    async def _halves(self, region: str, ids: Sequence[str]) -> dict[str, Image]:
        told = await self._ask(region, ids)
        if told is not None:
            return await self._read(region, ids, told)
        found: dict[str, Image] = {}
        if len(ids) > 1:
            for some in parts(ids, -(-len(ids) // 2)):
                found |= await self._halves(region, some)
        return found

    async def _ask(self, region: str, ids: Sequence[str]) -> Told | None:
        """The answer to some ids; None where one of them spoils it."""
        told = await self._client.ask(_describe(region, indexed("ids", ids), 1))
        if told.answer.klass == "ok":
            return told
        if not _about_ids(told.answer, ids):
            raise Refused(told.answer)
        return None

    async def _read(self, region: str, ids: Sequence[str], told: Told) -> dict[str, Image]:
        """The images of an answer to ids, and of the pages behind it where it was cut off after all."""
        rows, total = _rows(told)
        page = 1
        while rows and len(rows) < total and page < MOST_PAGES:
            page += 1
            more, _ = _rows(await self._client.read(_describe(region, indexed("ids", ids), page)))
            if not more:
                break
            rows += more
        return {str(row["imageId"]): self._image(region, row) for row in rows}

    async def _page(self, region: str, query: Query, page: int) -> tuple[list[Mapping[str, Any]], int]:
        told = await self._client.read(_describe(region, query, page))
        if not isinstance(told.content.get("totalCount"), int):
            raise Refused(Answer("retry", "the answer has no list of images", request_id=told.answer.request_id))
        return _rows(told)

    def _image(self, region: str, row: Mapping[str, Any]) -> Image:
        self._states.note(str(row.get("status")))
        return to_image(row, Place("jdcloud", self._account, region))


def to_image(row: Mapping[str, Any], place: Place) -> Image:
    """The common record of an image as the API shows it; ``extra`` keeps what this cloud's rules ask for."""
    name = " ".join(str(row[part]) for part in ("platform", "osVersion") if row.get(part))
    size = row.get("systemDiskSizeGB")
    return Image(
        place=place,
        id=str(row["imageId"]),
        name=row.get("name"),
        os=SYSTEMS.get(str(row.get("osType")), "other"),
        os_name=name or None,
        arch=ARCHES.get(str(row["architecture"]), "other") if row.get("architecture") else None,
        size_gib=size if isinstance(size, int) else None,
        state=STATES.get(str(row.get("status")), "pending"),
        visibility=SOURCES.get(str(row.get("imageSource"))),
        encrypted=_encrypted(row),
        tags={},
        created_at=moment(row.get("createTime")),
        extra=_extra(row),
    )


def moment(text: object) -> int | None:
    """Microseconds UTC of one of the vendor's times, which have no zone; None where it is none."""
    try:
        read = datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return int(read.timestamp()) * SECOND


def latest(read: int) -> int:
    """The latest that one of the vendor's times may be, whatever its zone."""
    return read + ZONE_DOUBT


def written(micros: int) -> str:
    """A time as the vendor writes them, in the zone that makes it the earlier one."""
    return datetime.fromtimestamp(micros // SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")


def indexed(name: str, values: Iterable[str]) -> Query:
    """A list as a query writes it: ``ids.1``, ``ids.2`` and so on."""
    return tuple((f"{name}.{number}", value) for number, value in enumerate(values, 1))


def _describe(region: str, query: Query, page: int) -> Call:
    paging = (("pageNumber", str(page)), ("pageSize", str(PAGE)))
    return Call(DESCRIBE, region, "read", "images", (*query, *paging))


def _rows(told: Told) -> tuple[list[Mapping[str, Any]], int]:
    rows = [row for row in objects(told.content.get("images")) if row.get("imageId")]
    total = told.content.get("totalCount")
    return rows, total if isinstance(total, int) else len(rows)


def _about_ids(answer: Answer, ids: Sequence[str]) -> bool:
    """Whether a refusal is about one of the ids, named or not, and not about the question."""
    named = any(each in answer.message for each in ids)
    doubtful = answer.klass == "permanent_config" and (answer.vendor_code in NO_SUCH_ID or named)
    return answer.klass == "permanent_image" or doubtful


def _encrypted(row: Mapping[str, Any]) -> bool | None:
    """Whether any disk is; None where none of them says."""
    disks = [row.get("systemDisk"), *objects(row.get("dataDisks"))]
    clouds = [disk.get("cloudDisk") for disk in disks if isinstance(disk, Mapping)]
    said = [disk.get(word) for disk in clouds if isinstance(disk, Mapping) for word in ("encrypted", "encrypt")]
    known = [each for each in said if isinstance(each, bool)]
    return any(known) if known else None


def _extra(row: Mapping[str, Any]) -> dict[str, Any]:
    extra: dict[str, Any] = {"data_disks": len(objects(row.get("dataDisks")))}
    if row.get("rootDeviceType"):
        extra["root_device"] = row["rootDeviceType"]
    if isinstance(row.get("imported"), bool):
        extra["imported"] = row["imported"]
    if str(row.get("progress") or "").isdecimal():
        extra["progress"] = int(row["progress"])
    return extra
