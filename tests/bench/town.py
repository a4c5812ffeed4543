"""The accounts, policies and events that several measurements share: as large as a large user's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from support.daemons import House, account

BUCKETS = {
    "ap-guangzhou": "archive-1250000000",
    "ap-shanghai": "archive-sh-1250000000",
    "ap-beijing": "archive-bj-1250000000",
    "ap-nanjing": "archive-nj-1250000000",
}
REGIONS = tuple(BUCKETS)
EVENT_BYTES = 900
NOWHERE = "http://127.0.0.1:9"
"""For accounts that nothing is asked of."""


def policies(count: int = 100) -> list[dict[str, Any]]:
    """Policies of every kind: two in three of another cloud or another name than what comes, as in a large set."""
    found: list[dict[str, Any]] = []
    for number in range(count - 1):
        match: dict[str, Any] = (
            {"cloud": "tencent", "os": "linux", "name": f"team-{number}-*"},
            {"cloud": "aliyun", "all": [{"os": "linux"}, {"not": {"name": "tmp-*"}}]},
            {"cloud": "tencent", "region": [REGIONS[number % 4]], "tags": {"team": [f"t{number}", f"u{number}"]}},
        )[number % 3]
        found.append(
            {"name": f"policy-{number}", "match": match, "actions": [{"export": {"bucket": "other-{region}"}}]}
        )
    everything = {"cloud": "tencent", "os": "linux", "size_gib": {"max": 500}}
    found.append({"name": "archive", "match": everything, "actions": [{"export": {"bucket": BUCKETS}}]})
    return found


def house(folder: Path, base_url: str = NOWHERE, **changes: Any) -> House:
    """A daemon's folder with one account of four regions and a hundred policies."""
    limits = {"export": {"rate": "20/s"}, "copy": {"rate": "10/s"}, "read": {"rate": "40/s"}}
    prod = account(base_url, regions=list(REGIONS), account_id="100000000001", limits=limits)
    return House(folder, {"prod": prod | changes.pop("account", {})}, policies(), **changes)


ID_COUNT = 36**8
SCATTER = 1_000_000_000_039
"""Prime to ``ID_COUNT``: the multiples of it are all different."""


def image_id(number: int) -> str:
    """Eight letters and digits in no order, as the vendor makes them up."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    rest, text = number * SCATTER % ID_COUNT, ""
    for _ in range(8):
        rest, digit = divmod(rest, len(letters))
        text = letters[digit] + text
    return f"img-{text}"


def region(number: int) -> str:
    """Where the image of this number lives."""
    return REGIONS[number % len(REGIONS)]


def event(number: int) -> bytes:
    """What a build pipeline says of the image of this number, in ``EVENT_BYTES`` bytes."""
    image = {"name": f"prod-web-{number}", "os": "linux", "arch": "x86_64", "size_gib": 40, "note": ""}
    data = {
        "cloud": "tencent",
        "account": "100000000001",
        "region": region(number),
        "image_id": image_id(number),
        "image": image,
    }
    said = {
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE_OID, str(number))),
        "source": "/pipelines/images",
        "type": "io.imageferry.image.ready",
        "time": "2026-01-02T03:04:05.000006Z",
        "datacontenttype": "application/json",
        "data": data,
    }
    image["note"] = "x" * (EVENT_BYTES - len(json.dumps(said)))
    return json.dumps(said).encode()
