"""Serves rehearsal clouds on the loopback interface and writes the files a daemon needs to work with them.

``demo`` and ``rehearse`` call it. It starts no daemon and prints nothing.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imageferry.cli.scenes import Scene
from imageferry.clouds.facts import FACTS
from imageferry.ports import Clock
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.registry import REHEARSALS, Options
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.http import serving

LOOPBACK: Final = "127.0.0.1"
SOURCE: Final = "/build-pipeline"
"""What the demo's events name as their source."""
_DRAIN: Final = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """A scene that is being served."""

    scene: Scene
    rehearsal: Rehearsal
    url: str

    @property
    def account(self) -> str:
        """The name of its account in the config."""
        return account_name(self.scene.cloud)


@dataclass(frozen=True, slots=True)
class House:
    """The demo's folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """The config file."""
        return self.folder / "imageferry.yaml"

    @property
    def policies(self) -> Path:
        """The folder of policies."""
        return self.folder / "policies"

    @property
    def events(self) -> Path:
        """The events that the file source reads."""
        return self.folder / "events.ndjson"

    @property
    def strange(self) -> Path:
        """What a second file source reads: an event that comes again, and one that nobody can read."""
        return self.folder / "strange.ndjson"

    @property
    def completions(self) -> Path:
        """What the file publisher writes."""
        return self.folder / "completions.ndjson"

    @property
    def ledger(self) -> Path:
        """The SQLite ledger."""
        return self.folder / "ledger.db"

    @property
    def log(self) -> Path:
        """The daemon's own log."""
        return self.folder / "daemon.log"


def account_name(cloud: str) -> str:
    """What the account at a rehearsal cloud is called."""
    return f"rehearsal-{cloud}"


@asynccontextmanager
async def staged(scene: Scene, clock: Clock, chance: random.Random) -> AsyncIterator[Stage]:
    """Serve a scene on any free loopback port, with its images and mishaps."""
    rehearsal = REHEARSALS[scene.cloud](scene.options, clock, chance)
    for part in scene.parts:
        rehearsal.add_image(part.image)
    for fault in scene.faults:
        rehearsal.misbehave(fault)
    async with serving(rehearsal.app, LOOPBACK, 0, drain=_DRAIN) as (host, port):
        yield Stage(scene, rehearsal, f"http://{host}:{port}")


def account_section(cloud: str, url: str, options: Options, regions: Sequence[str], running: int | None) -> str:
    """The account of a served rehearsal as YAML, indented to stand under ``accounts:``; every wait is short."""
    key = options.keys[0]
    facts = FACTS[cloud]
    words = (*facts.credential_words, *(facts.optional_credential_words[:1] if key.token else ()))
    credentials = dict(zip(words, (key.secret_id, key.secret_key, key.token), strict=False))
    tasks = "" if running is None else f"    limits: {{export: {{running: {running}}}, copy: {{running: {running}}}}}\n"
    return (
        f"  {account_name(cloud)}:\n"
        f"    cloud: {cloud}\n"
        f"    account_id: {json.dumps(options.account_id)}\n"
        f"    regions: [{', '.join(regions)}]\n"
        f"    endpoint: {json.dumps(url)}\n"
        f"    identity_endpoint: {json.dumps(url)}\n"
        f"    storage_endpoint: {json.dumps(url + '/{bucket}')}\n"
        f"    credentials: {_flow({'source': 'static', **credentials})}\n"
        f"{tasks}"
        "    poll: {tasks: 500ms, images: 1s}\n"
        "    timeouts: {request: 3s, settle: 4s, image: 10m, export: 10m, copy: 10m}\n"
        "    backoff: {first: 500ms, longest: 5s}\n"
    )


def sample_event(cloud: str, region: str, image_id: str, name: str) -> dict[str, Any]:
    """The event by which a build pipeline says that an image is ready."""
    return {
        "specversion": "1.0",
        "id": f"built-{name or image_id}",
        "source": SOURCE,
        "type": "io.imageferry.image.ready",
        "data": {"cloud": cloud, "account": account_name(cloud), "region": region, "image_id": image_id},
    }


def write_house(house: House, stages: Sequence[Stage]) -> None:
    """Write config, policies and events into the folder."""
    house.policies.mkdir()
    for stage in stages:
        (house.policies / f"{stage.scene.cloud}.yaml").write_text(stage.scene.policies, encoding="utf-8")
    house.config.write_text(_config(house, stages), encoding="utf-8")
    events = [event for stage in stages for event in _events(stage.scene)]
    house.events.write_text("".join(f"{json.dumps(event)}\n" for event in events), encoding="utf-8")
    house.strange.write_text(f'{json.dumps(events[0])}\n{{"specversion": "1.0", "id": "cut o\n', encoding="utf-8")


def _config(house: House, stages: Sequence[Stage]) -> str:
    accounts = "".join(
        account_section(s.scene.cloud, s.url, s.scene.options, s.scene.regions, s.scene.running) for s in stages
    )
    return (
        "# Made by `imageferry demo`: its accounts are rehearsal clouds on this machine, their keys open nothing.\n"
        f"ledger: {_flow({'url': f'sqlite://{house.ledger}'})}\n"
        "policies: policies/\n"
        'ops: {listen: "127.0.0.1:0"}\n'
        "accounts:\n"
        f"{accounts}"
        "sources:\n"
        f"  - {_flow({'type': 'file', 'path': str(house.events)})}\n"
        f"  - {_flow({'type': 'file', 'path': str(house.strange)})}\n"
        "publishers:\n"
        f"  - {_flow({'type': 'file', 'path': str(house.completions)})}\n"
    )


def _events(scene: Scene) -> list[dict[str, Any]]:
    """An event for every image, and one about an image that is not there."""
    told: list[dict[str, Any]] = []
    for part in scene.parts:
        event = sample_event(scene.cloud, part.image.region, part.image.image_id, part.image.name)
        event["data"]["image"] = _facts(part.image)
        told.append(event)
    return [*told, sample_event(scene.cloud, scene.regions[0], scene.stranger, "")]


def _facts(image: NewImage) -> dict[str, Any]:
    """What a pipeline knows of an image that it has just built; ``plan`` believes it, the daemon asks the cloud."""
    return {
        "name": image.name,
        "os": "windows" if "windows" in image.os_name.lower() else "linux",
        "os_name": image.os_name,
        "visibility": "private",
        "encrypted": image.encrypted,
        "tags": dict(image.tags),
        "is_copy": False,
    }


def _flow(mapping: Mapping[str, str]) -> str:
    """A mapping on one line, its texts quoted as JSON quotes them, which YAML reads."""
    return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in mapping.items()) + "}"
