"""Images and the places they live in: the facts policies are asked about.

A fact that is not known is None. Times are integer microseconds UTC, sizes GiB.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

CloudName = Literal["tencent", "aliyun", "huawei", "jdcloud"]
OsFamily = Literal["linux", "windows", "other"]
Arch = Literal["x86_64", "aarch64", "i386", "other"]
ImageState = Literal["pending", "ready", "failed", "deprecated", "gone"]
Visibility = Literal["private", "public", "shared", "market"]

CLOUD_NAMES: Final[tuple[CloudName, ...]] = ("tencent", "aliyun", "huawei", "jdcloud")
OS_FAMILIES: Final[tuple[OsFamily, ...]] = ("linux", "windows", "other")
ARCHES: Final[tuple[Arch, ...]] = ("x86_64", "aarch64", "i386", "other")
IMAGE_STATES: Final[tuple[ImageState, ...]] = ("pending", "ready", "failed", "deprecated", "gone")
VISIBILITIES: Final[tuple[Visibility, ...]] = ("private", "public", "shared", "market")

Facts = Mapping[str, Any]
"""A JSON object."""


class Place(NamedTuple):
    """Where an image lives: cloud name, the account's name in the config, the vendor's region id."""

    cloud: str
    account: str
    region: str

    def __str__(self) -> str:
        return "/".join(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The facts of one image; every fact but the place and the id may be unknown (None)."""

    place: Place
    id: str
    name: str | None = None
    os: OsFamily | None = None
    os_name: str | None = None
    arch: Arch | None = None
    size_gib: int | None = None
    state: ImageState | None = None
    visibility: Visibility | None = None
    encrypted: bool | None = None
    tags: Mapping[str, str] | None = None
    created_at: int | None = None
    is_copy: bool | None = None
    """Made by imageferry itself; known from the ledger, None only offline."""
    extra: Facts = field(default_factory=dict)
    """What the image's own cloud needs later (Tencent: its disks' snapshot ids); JSON, read by nobody else."""

    def to_json(self) -> dict[str, Any]:
        """A JSON object with every fact, the place spelled out; the inverse of :meth:`from_json`."""
        data: dict[str, Any] = {"cloud": self.place.cloud, "account": self.place.account, "region": self.place.region}
        for name in _FACTS:
            value = getattr(self, name)
            data[name] = dict(value) if isinstance(value, Mapping) else value
        return data

    @classmethod
    def from_json(cls, data: Facts) -> Image:
        """Read what :meth:`to_json` wrote; a missing fact is unknown."""
        facts = {name: data[name] for name in _FACTS if data.get(name) is not None}
        return cls(place=Place(data["cloud"], data["account"], data["region"]), **facts)


_FACTS: Final = (
    "id",
    "name",
    "os",
    "os_name",
    "arch",
    "size_gib",
    "state",
    "visibility",
    "encrypted",
    "tags",
    "created_at",
    "is_copy",
    "extra",
)
