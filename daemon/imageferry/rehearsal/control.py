"""The endpoints under ``/_rehearsal`` by which tests and people steer a rehearsal cloud in another process.

Every rehearsal cloud mounts them; they do what its Python methods do. They are not signed: a rehearsal belongs on the
loopback interface.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final, Protocol

from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import checked
from imageferry.rehearsal.store import NewImage

MOST_IMAGES: Final = 200_000
"""How many images one object may ask for."""

_FAULT: Final = TypeAdapter(Misbehaviour)
_IMAGE: Final = TypeAdapter(NewImage)

Endpoint = Callable[[Request], Awaitable[Response]]


class Rehearsal(Protocol):
    """A rehearsal cloud, whichever vendor's."""

    @property
    def app(self) -> ASGIApp:
        """What an HTTP server serves."""
        ...

    def add_image(self, image: NewImage) -> str:
        """Create an image; its id."""
        ...

    def remove_image(self, region: str, image_id: str) -> bool:
        """Delete an image; whether it was there."""
        ...

    def remove_object(self, bucket: str, key: str) -> bool:
        """Delete an object; whether it was there."""
        ...

    def misbehave(self, fault: Misbehaviour) -> int:
        """Put a fault in force; its number."""
        ...

    def behave(self, number: int | None = None) -> int:
        """Take one fault away, or all; how many there were."""
        ...

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set options anew."""
        ...

    def state(self, parts: Collection[str] = ()) -> dict[str, Any]:
        """What it holds and was asked, as JSON; only the named parts when there are any."""
        ...


def control_routes(rehearsal: Rehearsal) -> Mount:
    """The control endpoints of one rehearsal."""

    async def state(request: Request) -> Response:
        parts = [part for part in request.query_params.get("parts", "").split(",") if part]
        return JSONResponse(rehearsal.state(parts))

    async def misbehave(request: Request) -> Response:
        faults = [checked(_FAULT, each) for each in await _objects(request)]
        return JSONResponse({"ids": [rehearsal.misbehave(each) for each in faults]}, 201)

    async def behave(request: Request) -> Response:
        number = request.query_params.get("id")
        return JSONResponse({"removed": rehearsal.behave(None if number is None else int(number))})

    async def add_images(request: Request) -> Response:
        images = [image for each in await _objects(request) for image in _images(each)]
        return JSONResponse({"image_ids": [rehearsal.add_image(each) for each in images]}, 201)

    async def remove_image(request: Request) -> Response:
        return _removed(rehearsal.remove_image(request.path_params["region"], request.path_params["image_id"]))

    async def remove_object(request: Request) -> Response:
        return _removed(rehearsal.remove_object(request.path_params["bucket"], request.path_params["key"]))

    async def change(request: Request) -> Response:
        for each in await _objects(request):
            rehearsal.change(each)
        return JSONResponse({})

    table: list[tuple[str, str, Endpoint]] = [
        ("GET", "/state", state),
        ("POST", "/misbehave", misbehave),
        ("DELETE", "/misbehave", behave),
        ("POST", "/images", add_images),
        ("DELETE", "/images/{region}/{image_id}", remove_image),
        ("DELETE", "/objects/{bucket}/{key:path}", remove_object),
        ("POST", "/options", change),
    ]
    return Mount(
        "/_rehearsal",
        routes=[Route(path, _complaining(endpoint), methods=[method]) for method, path, endpoint in table],
    )


def _complaining(endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    return answer


async def _objects(request: Request) -> list[dict[str, Any]]:
    data = await request.json()
    objects = data if isinstance(data, list) else [data]
    if not all(isinstance(each, dict) for each in objects):
        raise ValueError("send a JSON object, or a list of objects")
    return objects


def _images(described: dict[str, Any]) -> list[NewImage]:
    """One object as images: with ``count`` that many, their names numbered from 1."""
    count = described.pop("count", 1)
    if not isinstance(count, int) or not 1 <= count <= MOST_IMAGES:
        raise ValueError(f"count: must be a number from 1 to {MOST_IMAGES}")
    name = described.get("name", "")
    named = [f"{name}-{number}" if name and count > 1 else name for number in range(1, count + 1)]
    return [checked(_IMAGE, {**described, "name": each}) for each in named]


def _removed(there: bool) -> Response:  # noqa: FBT001 - the one thing that this turns into an answer
    return JSONResponse({"removed": int(there)}, 200 if there else 404)
