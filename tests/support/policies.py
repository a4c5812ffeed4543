"""Short ways to make policies, images and worlds for tests; everything not said is plain and known."""

from __future__ import annotations

from typing import Any

from imageferry.clouds.facts import FACTS
from imageferry.core.decide import World
from imageferry.core.image import Image, Place
from imageferry.core.policy import PolicySet
from imageferry.core.spec import PolicySpec

HERE = Place("tencent", "prod", "ap-guangzhou")
NOW = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in microseconds."""
HOUR = 3_600_000_000
DAY = 24 * HOUR
EXPORT = {"export": {"bucket": "archive-{region}"}}
REGIONS = ("ap-guangzhou", "ap-shanghai", "ap-beijing")


def image(place: Place = HERE, **facts: Any) -> Image:
    """A private Linux image of which every fact is known."""
    known: dict[str, Any] = {
        "id": "img-1",
        "name": "prod-1",
        "os": "linux",
        "os_name": "Debian 12",
        "arch": "x86_64",
        "size_gib": 40,
        "state": "ready",
        "visibility": "private",
        "encrypted": False,
        "tags": {"env": "prod"},
        "created_at": NOW - DAY,
        "is_copy": False,
    }
    return Image(place=place, **(known | facts))


def policy(name: str = "p", *actions: dict[str, Any], match: dict[str, Any] | None = None, **rest: Any) -> PolicySpec:
    """A policy that matches everywhere and exports, unless told otherwise."""
    data = {"name": name, "match": match or {"region": "*"}, "actions": list(actions) or [EXPORT], **rest}
    return PolicySpec.model_validate(data)


def policies(*specs: PolicySpec) -> PolicySet:
    """A set in this order."""
    return PolicySet(specs)


def world(cloud: str = "tencent", regions: tuple[str, ...] = REGIONS) -> World:
    """What is known besides the image: the real facts of its cloud."""
    return World(facts=FACTS[cloud], account_regions=regions)
