"""Walking through a cloud's listing to its end, for whoever wants all images: polling, ``backfill``, ``plan --live``.

It knows the port only; it keeps nothing and retries nothing.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from imageferry.core.image import Image
from imageferry.ports.clouds import ImagePage


class Lister(Protocol):
    """What can list images: a :class:`~imageferry.ports.clouds.Cloud`, or something before one."""

    async def list_images(self, region: str, marker: str | None = None) -> ImagePage:
        """See ``Cloud``."""
        ...


async def own_images(cloud: Lister, region: str) -> AsyncGenerator[Sequence[Image], None]:
    """The account's own private images in a region, page by page, each image once.

    Ends with the last page, or where the cloud names a page that was read already.

    :raises Refused: a page was not answered; nothing is known of the pages behind it.
    :raises CircuitOpen: the account is closed off.
    """
    seen: set[str] = set()
    markers: set[str | None] = set()
    marker: str | None = None
    while marker not in markers:
        markers.add(marker)
        images, marker = await cloud.list_images(region, marker)
        yield [image for image in images if image.id not in seen]
        seen |= {image.id for image in images}
        if marker is None:
            return
