"""``imageferry rehearse``: one rehearsal cloud alone, for trying a policy or a client against."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, TypeVar

import anyio
import click
from pydantic import TypeAdapter, ValidationError

from imageferry import yamlmap
from imageferry.cli.scenes import SCENES
from imageferry.cli.stage import LOOPBACK, account_section, sample_event
from imageferry.errors import BadFile, Complaint
from imageferry.rehearsal.control import Rehearsal
from imageferry.rehearsal.registry import OPTIONS, REHEARSALS, Options
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.clock import SystemClock
from imageferry.telemetry.http import serving
from imageferry.wording import dotted

T = TypeVar("T")

_LAST_PORT: Final = 65_535
_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_IMAGES: Final = TypeAdapter(list[NewImage])
_ENDPOINTS: Final = (
    ("GET /_rehearsal/state", "what it holds and was asked; ?parts=images,tasks,objects,requests,running,recent"),
    ("POST /_rehearsal/images", '{"region": …, "name": …, "platform": …, "count": …}: new images'),
    ("POST /_rehearsal/misbehave", '{"fault": "drop", "action": …, "image_id": …, "work": "done", "count": 1}'),
    ("DELETE /_rehearsal/misbehave", "end every misbehaviour; ?id=N ends one"),
    ("POST /_rehearsal/options", '{"exports_running": 1, …}: limits, durations, buckets, set anew'),
)


@click.command()
@click.option("--cloud", required=True, help=f"Which cloud to rehearse; this version has: {', '.join(REHEARSALS)}.")
@click.option("--port", type=click.IntRange(0, _LAST_PORT), required=True, help="The port to listen on; 0: any free.")
@click.option("--host", default=LOOPBACK, show_default=True, help="The address to listen on.")
@click.option("--options", "options_file", type=_FILE, default=None, help="How it behaves, as a JSON object.")
@click.option("--images", "images_file", type=_FILE, default=None, help="The images it has, as a JSON list.")
def command(cloud: str, port: int, host: str, options_file: Path | None, images_file: Path | None) -> None:
    """Run a rehearsal of one cloud until Ctrl-C.

    It checks signatures and parameters, keeps the cloud's limits, runs exports and copies over time, and misbehaves on
    request. What it prints is YAML: the account for imageferry.yaml, and the rest as comments.
    """
    if cloud not in REHEARSALS:
        raise click.BadParameter(
            f"there is no rehearsal of {cloud}; this version has: {', '.join(REHEARSALS)}", param_hint="--cloud"
        )
    options, images = _given(cloud, options_file, images_file)
    # Chance is seeded, so that a rehearsal with the same images gives the same ids.
    rehearsal = REHEARSALS[cloud](options, SystemClock(), random.Random(1))  # noqa: S311 - no secret comes from it
    made = _fill(rehearsal, images, images_file)
    anyio.run(_serve, Bill(cloud, rehearsal, options, made), host, port)


@dataclass(frozen=True, slots=True)
class Bill:
    """What is played, for saying so."""

    cloud: str
    rehearsal: Rehearsal
    options: Options
    images: Sequence[tuple[str, NewImage]]
    """With their ids."""


async def _serve(bill: Bill, host: str, port: int) -> None:
    async with serving(bill.rehearsal.app, host, port, drain=1) as bound:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            for line in _introduction(bill, *bound):
                click.echo(line)
            if not _is_loopback(bound[0]):
                click.echo("warning: whoever can reach this port can steer the rehearsal; it asks for no key", err=True)
            async for _ in received:
                break
    click.echo("# the rehearsal has ended")


def _is_loopback(host: str) -> bool:
    return ip_address(host.partition("%")[0]).is_loopback


def _introduction(bill: Bill, host: str, port: int) -> Iterator[str]:
    """Everything one needs to use it."""
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    yield f"# A rehearsal of {bill.cloud} at {url}, until Ctrl-C. For imageferry.yaml:"
    yield "accounts:"
    scene = SCENES[bill.cloud]
    used = dict.fromkeys(image.region for _, image in bill.images) or dict.fromkeys(bill.options.regions[:1])
    regions = scene.regions if bill.options == scene.options else list(used)
    yield account_section(bill.cloud, url, bill.options, regions, None).rstrip("\n")
    yield "#"
    buckets = ", ".join(f"{name} ({region})" for name, region in bill.options.buckets.items())
    yield f"# Buckets: {buckets or 'none; give some with --options'}"
    for image_id, image in bill.images[:20]:
        yield f"# Image: {image_id} in {image.region}, {image.name or image_id}, {image.os_name}"
    if len(bill.images) > 20:  # noqa: PLR2004 - the same number as above
        yield f"# … and {len(bill.images) - 20} images more"
    if bill.images:
        yield "# An event, for a file source:"
        yield f"# {json.dumps(_event(bill))}"
    yield "# To steer it:"
    for endpoint, meaning in _ENDPOINTS:
        yield f"#   {endpoint:<30} {meaning}"


def _event(bill: Bill) -> dict[str, Any]:
    image_id, image = bill.images[0]
    return sample_event(bill.cloud, image.region, image_id, image.name)


# --- what it is given ----------------------------------------------------------------------------------------------


def _given(cloud: str, options_file: Path | None, images_file: Path | None) -> tuple[Options, Sequence[NewImage]]:
    """Options and images as the files say, or made up; every complaint of both files at once."""
    scene = SCENES[cloud]
    options, images = scene.options, [part.image for part in scene.parts]
    reader = TypeAdapter(OPTIONS[cloud])
    complaints: list[Complaint] = []
    try:
        options = options if options_file is None else _read(reader, options_file)
    except BadFile as error:
        complaints.extend(error.complaints)
    try:
        images = images if images_file is None else _read(_IMAGES, images_file)
    except BadFile as error:
        complaints.extend(error.complaints)
    if complaints:
        raise BadFile(complaints)
    if not options.keys:
        raise BadFile([Complaint(str(options_file), 1, 1, "keys: the list is empty; expected at least one key pair")])
    return options, [each for each in images if images_file is not None or each.region in options.regions]


def _read(reader: TypeAdapter[T], path: Path) -> T:
    try:
        content = path.read_bytes()
        data = json.loads(content)
    except OSError as error:
        raise BadFile([Complaint(str(path), 1, 1, f"cannot be read: {error.strerror}")]) from error
    except json.JSONDecodeError as error:
        raise BadFile([Complaint(str(path), error.lineno, error.colno, f"not JSON: {error.msg}")]) from error
    except (ValueError, RecursionError) as error:
        raise BadFile([Complaint(str(path), 1, 1, f"not JSON: {error}")]) from error
    try:
        return reader.validate_python(data)
    except ValidationError as error:
        raise BadFile(_complaints(path, content, error)) from None


def _complaints(path: Path, content: bytes, error: ValidationError) -> list[Complaint]:
    """Where in the file each error is; JSON is YAML, apart from the tabs. No value is quoted: some are keys."""
    document = yamlmap.parse(content.replace(b"\t", b" "), str(path), keep=True)
    return sorted(
        document.complaint(
            each["loc"],
            f"{dotted(each['loc']) or 'the file'}: {each['msg']}",
            key=each["type"] == "unexpected_keyword_argument",
        )
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    )


def _fill(rehearsal: Rehearsal, images: Sequence[NewImage], path: Path | None) -> list[tuple[str, NewImage]]:
    made: list[tuple[str, NewImage]] = []
    complaints: list[Complaint] = []
    for number, image in enumerate(images):
        try:
            made.append((rehearsal.add_image(image), image))
        except ValueError as error:
            complaints.append(Complaint(str(path), 1, 1, f"[{number}].{error}"))
    if complaints:
        raise BadFile(complaints)
    return made
