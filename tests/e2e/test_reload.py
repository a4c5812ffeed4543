"""A whole daemon whose policies change under it, as Kubernetes changes a volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import yaml

from imageferry.telemetry.clock import SystemClock
from support.daemons import EXPORT_ALL, House, daemon_process, event
from support.faults import alive, brisk
from support.rehearsals import image, served, tencent
from support.volumes import ConfigMap
from support.waiting import until


def files(*names: str) -> dict[str, str]:
    return {f"{name}.yaml": yaml.safe_dump({"policies": [{**EXPORT_ALL, "name": name}]}) for name in names}


def lines(house: House, event_name: str) -> list[dict[str, Any]]:
    """What the daemon logged under a name."""
    found = [json.loads(line) for line in house.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event_name]


async def ready(house: House) -> dict[str, Any]:
    [line] = lines(house, "serving metrics and health")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(f"http://{line['address']}/readyz")
    check: dict[str, Any] = answer.json()["checks"]["policies"]
    return check


async def test_a_swapped_volume_decides_about_the_next_image_and_a_wrong_one_does_not(tmp_path: Path) -> None:
    cloud = tencent(SystemClock(), export_seconds=0.2)
    first, second, third = (image(cloud) for _ in range(3))
    volume = ConfigMap(tmp_path / "mounted", files("one"))
    async with served(cloud) as url:
        house = House(tmp_path / "house", {"prod": brisk(url)}, extra={"policies": str(volume.path)})
        async with daemon_process(house) as process:
            house.tell([event(first)])
            await until(alive(process, house, lambda: len(house.completed()) == 1))
            volume.swap(files("two", "three"))
            await until(alive(process, house, lambda: len(lines(house, "policies read again")) == 1))
            house.tell([event(second)])
            await until(alive(process, house, lambda: len(house.completed()) == 2))
            volume.swap({**files("four"), "wrong.yaml": "policies: [{}]\n"})
            await until(alive(process, house, lambda: lines(house, "policies kept as they were: a file is wrong")))
            check = await ready(house)
            house.tell([event(third)])
            await until(alive(process, house, lambda: len(house.completed()) == 3))
    policies = {one["subject"]: one["data"]["policies"] for one in house.completed()}
    assert policies == {first: ["one"], second: ["three", "two"], third: ["three", "two"]}
    assert (check["ok"], f"{volume.path}/wrong.yaml:1:" in check["reason"]) == (False, True)
    [began] = lines(house, "policies in force")
    [again] = lines(house, "policies read again")
    async with house.reader() as reader:
        digests = [row.decision["digest"] for id_ in (first, second, third) for row in await reader.image(id_)]  # type: ignore[index] # decided
    assert digests == [began["digest"], again["digest"], again["digest"]]
