"""Reading Huawei Cloud's images: by id, by name and newest first; each as the common record.

The adapter looks with it, exports and copies follow with it. It changes nothing, and decides nothing about images.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from imageferry.clouds.huawei.client import Call, Client
from imageferry.clouds.reading import moment, whole
from imageferry.clouds.states import States
from imageferry.core.answers import Answer
from imageferry.core.image import Arch, Image, ImageState, OsFamily, Place, Visibility
from imageferry.errors import Refused
from imageferry.ports import Gone, ImagePage, Look

LIST: Final = "ListImages"
PAGE: Final = 100
"""Images of one answer that are asked for; the most that may be is not published."""
MOST_PAGES: Final = 20
OWN_KINDS: Final = ("private", "shared")
"""How own images show: those that are shared with others are a kind of their own."""
FEW: Final = 2
"""So many images are asked for one by one; more are looked for in the list of all."""

STATES: Final[dict[str, ImageState]] = {
    "queued": "pending",
    "saving": "pending",
    "active": "ready",
    "killed": "failed",
    "deleted": "gone",
}
KINDS: Final[dict[str, Visibility]] = {
    "gold": "public",
    "private": "private",
    "shared": "shared",
    "market": "market",
}
USES: Final[dict[str, str]] = {
    "FusionCompute": "system",
    "DataImage": "data",
    "Ironic": "baremetal",
    "IsoImage": "iso",
}
OS_FAMILIES: Final[dict[str, OsFamily]] = {"linux": "linux", "windows": "windows"}
GIB: Final = 1 << 30

Row = Mapping[str, Any]
Query = tuple[tuple[str, str], ...]

log = structlog.get_logger(__name__)


class Page(NamedTuple):
    """One answer of a list."""

    images: list[Image]
    marker: str
    """Of the next page; empty: there is none."""


class Pages:
    """A list that is read page by page; one that goes in a circle comes to an end."""

    def __init__(self, ask: Callable[[str], Awaitable[Page]]) -> None:
        """``ask``: the page behind a marker."""
        self._ask = ask
        self._marker = ""
        self._markers: set[str] = set()

    @property
    def over(self) -> bool:
        """Whether there are no more."""
        return self._marker in self._markers or len(self._markers) >= MOST_PAGES

    async def following(self) -> list[Image] | None:
        """The next page's images; None: there are no more. A page that was not answered is still the next one.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        if self.over:
            return None
        images, following = await self._ask(self._marker)
        self._markers.add(self._marker)
        self._marker = following if images else ""
        return images


class Images:
    """One account's images, read through its client."""

    def __init__(self, client: Client, account: str) -> None:
        self._client = client
        self._account = account
        self._states = States(STATES)

    async def look(self, region: str, ids: Sequence[str], project: str = "") -> dict[str, Look]:
        """An answer for every id.

        The API takes no list of ids: many are looked for among all own images, newest first, as long as that is
        the shorter way, and the rest one by one. Only an answer about the very id says that an image is gone.

        :param project: the name of the project; empty: the region's own.
        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        missing = dict.fromkeys(ids)
        found: dict[str, Look] = {}
        if len(missing) > FEW:
            pages = 0
            async for page in self._pages(region, project):
                found |= {image.id: image for image in page if image.id in missing}
                pages += 1
                if pages >= len(missing) - len(found):
                    break
        for each in missing:
            if each not in found:
                found[each] = await self._one(region, project, each)
        return found

    async def listed(self, region: str, marker: str | None) -> ImagePage:
        """One page of the own images of the region's own project, in any state.

        First those that are shared with nobody, then the others: the API lists them apart. The marker is the kind
        and the API's own marker.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        kind, _, after = (marker or OWN_KINDS[0]).partition(":")
        query = await self._own(region, "", kind)
        images, following = await self._page(region, "", (*query, *_paging(after)))
        if images and following not in ("", after):
            return ImagePage(images, f"{kind}:{following}")
        return ImagePage(images, OWN_KINDS[1] if kind == OWN_KINDS[0] else None)

    async def named(self, region: str, project: str, name: str) -> list[Image]:
        """Own images that have exactly this name, in any state.

        :raises Refused: the question was not answered.
        :raises CircuitOpen: the account is closed off.
        """
        pages = self._pages(region, project, (("name", name),))
        return [image async for page in pages for image in page if image.name == name]

    def newest(self, region: str, project: str) -> Pages:
        """Own images, newest first, to be read as far as somebody wants."""
        return Pages(partial(self._after, region, project, ()))

    async def _one(self, region: str, project: str, image_id: str) -> Look:
        gone = Gone(f"the cloud does not have {image_id} in {region}")
        try:
            images, _ = await self._page(region, project, (("id", image_id),))
        except Refused as refused:
            if refused.answer.klass == "permanent_image" and refused.answer.vendor_code:
                return Gone(f"{gone.reason}: {refused.answer}")
            raise
        return next((image for image in images if image.id == image_id), gone)

    async def _pages(self, region: str, project: str, more: Query = ()) -> AsyncIterator[list[Image]]:
        pages = Pages(partial(self._after, region, project, more))
        while (page := await pages.following()) is not None:
            yield page

    async def _after(self, region: str, project: str, more: Query, marker: str) -> Page:
        query = (*await self._own(region, project, OWN_KINDS[0]), *more)
        return await self._page(region, project, (*query, *_paging(marker)))

    async def _own(self, region: str, project: str, kind: str) -> Query:
        """What asks for the project's own images, newest first."""
        owner = await self._client.projects.find(region, project)
        return (("__imagetype", kind), ("owner", owner), ("sort_dir", "desc"), ("sort_key", "created_at"))

    async def _page(self, region: str, project: str, query: Query) -> Page:
        told = await self._client.read(Call(LIST, region, "read", "v2/cloudimages", query=query, project=project))
        if not isinstance(told.content.get("images"), list):
            raise Refused(_no_list(told.answer.request_id))
        rows = [row for row in told.content["images"] if isinstance(row, Mapping) and row.get("id")]
        for row in rows:
            self._states.note(str(row.get("status")))
        place = Place("huawei", self._account, region)
        owner = self._client.projects.known(region, project)
        return Page([to_image(row, place, owner or "") for row in rows], _next_marker(told.content, rows))


def to_image(row: Row, place: Place, owner: str) -> Image:
    """The common record of an image as the API shows it; ``owner``: the id of our own project."""
    size = whole(row.get("__image_size")) or 0
    return Image(
        place=place,
        id=str(row["id"]),
        name=row.get("name"),
        os=OS_FAMILIES.get(str(row.get("__os_type")).lower(), "other"),
        os_name=row.get("__os_version") or row.get("__platform"),
        arch=_arch(row),
        size_gib=-(-size // GIB) if size else whole(row.get("min_disk")) or None,
        state=STATES.get(str(row.get("status")), "pending"),
        visibility=_visibility(row, owner),
        encrypted=bool(row.get("__system__cmkid")) or str(row.get("__system__encrypted")).lower() in ("1", "true"),
        tags=_tags(row.get("tags")),
        created_at=moment(row.get("created_at")),
        extra={
            "kind": USES.get(str(row.get("virtual_env_type")), "") if row.get("disk_format") != "iso" else "iso",
            "whole_image": _true(row.get("__whole_image")),
            "backup_id": str(row.get("__backup_id") or ""),
            "product_code": str(row.get("__productcode") or ""),
            "origin": str(row.get("__data_origin") or ""),
            "bytes": size,
        },
    )


def _no_list(request_id: str) -> Answer:
    return Answer("retry", "the answer has no list of images", request_id=request_id)


def _paging(marker: str) -> Query:
    return (("limit", str(PAGE)), *((("marker", marker),) if marker else ()))


def _next_marker(content: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """As the answer names it; else the last image of a full page."""
    info = content.get("page_info")
    if isinstance(info, Mapping) and info.get("next_marker"):
        return str(info["next_marker"])
    return str(rows[-1]["id"]) if len(rows) >= PAGE else ""


def _visibility(row: Row, owner: str) -> Visibility | None:
    """An own image that is shared with others shows as shared, and is still ours."""
    kind = KINDS.get(str(row.get("__imagetype")))
    return "private" if kind == "shared" and owner and row.get("owner") == owner else kind


def _arch(row: Row) -> Arch:
    if _true(row.get("__support_arm")):
        return "aarch64"
    return "i386" if str(row.get("__os_bit")) == "32" else "x86_64"


def _tags(value: object) -> dict[str, str]:
    """``key=value`` each, ``key.value`` in old data; one place of the API writes objects."""
    tags: dict[str, str] = {}
    for each in value if isinstance(value, list) else ():
        if isinstance(each, Mapping):
            tags[str(each.get("key"))] = str(each.get("value") or "")
        else:
            key, _, text = str(each).partition("=" if "=" in str(each) else ".")
            tags[key] = text
    return tags


def _true(value: object) -> bool:
    """Most truths of this API are texts."""
    return str(value).lower() == "true"
