"""What the actions of the Alibaba Cloud rehearsal have in common: a call, the world it meets, and its images.

The action modules use it. It knows no action and answers nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from imageferry.core.times import SECOND
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Aim, Misbehaviours
from imageferry.rehearsal.options import AcceptedKey, checked
from imageferry.rehearsal.parameters import Shape, VendorError, Wanted
from imageferry.rehearsal.store import NewImage, Store, StoredImage, Task

MOST_TAGS: Final = 20

_NUMBER: Final = re.compile(r"\.\d+(?=\.|$)")
_TIMES: Final = ("%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%MZ")
_ALIASES: Final[Mapping[str, str]] = {
    "PRIVATE_IMAGE": "self",
    "PUBLIC_IMAGE": "system",
    "SHARED_IMAGE": "others",
    "MARKET_IMAGE": "marketplace",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AliyunFacts:
    """What only Alibaba Cloud's images have; stands in ``NewImage.extra``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    product_code: str = ""
    """Not empty: it was made from a marketplace image, and says so."""
    os_type: Literal["", "linux", "windows"] = ""
    """Empty: as platform and system say."""
    community: bool = False
    """With ``SHARED_IMAGE``: anybody may use it."""
    owner_id: str = "1000000000000002"
    """Whose it is, where it is not the account's own."""
    description: str = ""
    family: str = ""
    boot_mode: Literal["BIOS", "UEFI", "UEFI-Preferred"] = "BIOS"
    resource_group: str = ""
    deprecated: bool = False
    self_shared: bool = False
    """Whether the account shares it with others."""
    unfit_origin: bool = False
    """Exports of it are refused for how it came to be."""
    data_disks_locked: bool = False
    """Exports of it are refused for its data disks' snapshots."""
    copied: bool = False
    """Made by CopyImage."""


_FACTS: Final = TypeAdapter(AliyunFacts)


def check_facts(image: NewImage) -> None:
    """Check the facts that only Alibaba Cloud's images have.

    :raises ValueError: one is unknown or does not fit.
    """
    checked(_FACTS, image.extra)


def facts_of(image: StoredImage) -> AliyunFacts:
    """What only Alibaba Cloud's images have; it was checked when the image was put there."""
    return AliyunFacts(**image.facts.extra)


@dataclass(slots=True, kw_only=True)
class Export:
    """An export task, and what its image and bucket do not tell."""

    task: Task
    format: str
    code: str
    """Why it fails, where it does."""
    reason: str
    cancelled_at: int | None = None

    def ended(self, now: int) -> bool:
        """Whether it runs no more."""
        return self.cancelled_at is not None or now >= self.task.ends_at

    def ends_at(self) -> int:
        """When it ends, or was cancelled."""
        return self.task.ends_at if self.cancelled_at is None else self.cancelled_at


class Copy(NamedTuple):
    """How an image is made from another one."""

    task: Task
    begins_at: int
    """It waits for its turn until then."""


@dataclass(slots=True)
class Repeat:
    """The first request with a client token."""

    at: int
    request_id: str
    params: Mapping[str, str]
    answer: Mapping[str, Any] | VendorError | None
    """None: it is not done yet."""


@dataclass(slots=True)
class World:
    """Everything that the actions of one rehearsal share."""

    options: AliyunOptions
    chance: random.Random
    store: Store
    faults: Misbehaviours
    journal: Journal
    exports: dict[str, Export] = field(default_factory=dict)
    """By task id, oldest first."""
    export_times: dict[str, list[int]] = field(default_factory=dict)
    """Region -> when exports were accepted."""
    copies: dict[tuple[str, str], Copy] = field(default_factory=dict)
    """(region, new image) -> how it is made."""
    repeats: dict[tuple[str, str], Repeat] = field(default_factory=dict)
    """(region, client token) -> the first request with it."""
    sessions: list[AcceptedKey] = field(default_factory=list)
    """Temporary keys that were given out."""

    @property
    def keys(self) -> list[AcceptedKey]:
        """Every key that may be let in."""
        return [*self.options.keys, *self.sessions]

    def duration(self, seconds: float) -> int:
        """Microseconds that a task takes which usually takes ``seconds``."""
        spread = self.options.duration_spread
        return int(seconds * self.chance.uniform(1 - spread, 1 + spread) * SECOND)

    def new_id(self, kind: str) -> str:
        """``m-`` or ``t-`` and twenty letters and digits."""
        return f"{kind}-{self.chance.getrandbits(80):020x}"

    def new_request_id(self) -> str:
        """Upper-case hex in groups."""
        text = f"{self.chance.getrandbits(128):032X}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def time_text(self, at: int) -> str:
        """A time as the vendor writes it."""
        moment = datetime.fromtimestamp(at // SECOND, UTC)
        return moment.strftime(_TIMES[1] if self.options.short_times else _TIMES[0])

    def wrapped(self, word: str, items: Iterable[object]) -> dict[str, Any] | list[dict[str, Any]]:
        """A list as the vendor wraps it."""
        inner = {word: list(items)}
        return inner if self.options.wrappers == "object" else [inner]


def time_of(name: str, text: str, code: str) -> int:
    """The time in a parameter, with or without its seconds.

    :raises VendorError: with ``code``, it is not such a time.
    """
    for form in _TIMES:
        try:
            return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * SECOND
        except ValueError:
            continue
    raise VendorError(code, f"The specified {name} is not valid.")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as its action is concerned."""

    action: str
    params: Mapping[str, str]
    """Business parameters; names are flat, as ``Tag.1.Key``."""
    request_id: str
    at: int
    """When it arrived, microseconds by the rehearsal's clock."""
    host: str = ""
    json: bool = True
    """Whether the answer is to be JSON."""
    key: AcceptedKey | None = None
    """Who asks; None where nobody proved it."""

    @property
    def region(self) -> str:
        """The region that it is about; empty where it names none."""
        return self.params.get("RegionId", "")

    def text(self, name: str) -> str:
        """A parameter; empty when it is not given."""
        return self.params.get(name, "")

    def flag(self, name: str) -> bool:
        """A boolean parameter; false when it is not given."""
        return self.text(name).lower() == "true"

    def numbered(self, name: str) -> list[str]:
        """The values of ``name.1``, ``name.2`` and so on."""
        found = {int(each[len(name) + 1 :]): value for each, value in self.params.items() if _is_item(each, name)}
        return [found[number] for number in sorted(found)]

    def pairs(self, name: str) -> list[tuple[str, str]]:
        """Key and value of ``name.1.Key``, ``name.1.Value``, ``name.2.Key`` …; empty where one is not given."""
        words = (each.split(".") for each in self.params if each.startswith(f"{name}."))
        numbers = sorted({int(parts[1]) for parts in words if parts[1].isdecimal()})
        return [(self.text(f"{name}.{number}.Key"), self.text(f"{name}.{number}.Value")) for number in numbers]

    @property
    def image_ids(self) -> list[str]:
        """The images that it is about."""
        return [each for each in self.text("ImageId").split(",") if each]

    def aim(self) -> Aim:
        """What faults see of it."""
        destinations = [each for each in (self.text("DestinationRegionId"), self.text("OSSBucket")) if each]
        return Aim(self.action, self.region, self.image_ids, destinations, dry_run=self.flag("DryRun"))


def _is_item(parameter: str, name: str) -> bool:
    return parameter.startswith(f"{name}.") and parameter[len(name) + 1 :].isdecimal()


class Operation(NamedTuple):
    """An action: its parameters, and what it does at a given time."""

    name: str
    wanted: Mapping[str, Wanted]
    """``N`` stands for a number, as in ``Tag.N.Key``."""
    perform: Callable[[World, Call, int], dict[str, Any]]


TEXT: Final = Shape("a text", lambda value: isinstance(value, str))
FLAG: Final = Shape("true or false", lambda value: isinstance(value, str) and value.lower() in ("true", "false"))
NUMBER: Final = Shape(
    "a whole number",
    lambda value: isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 10,  # noqa: PLR2004 - fits
)
HERE: Final = {"RegionId": Wanted(TEXT, required=True)}
TAGS: Final = {"Tag.N.Key": Wanted(TEXT), "Tag.N.Value": Wanted(TEXT)}
PAGES: Final = {"PageNumber": Wanted(NUMBER), "PageSize": Wanted(NUMBER)}

USUAL_SIZE: Final = 10
LARGEST_SIZE: Final = 100


def check_parameters(call: Call, wanted: Mapping[str, Wanted], options: AliyunOptions) -> None:
    """Check a request's parameters against an action's table, and its region.

    :raises VendorError: one is unknown, missing or of the wrong type.
    """
    for name in call.params:
        if _NUMBER.sub(".N", name) not in wanted and options.unknown_parameters == "refused":
            raise VendorError("UnsupportedParameter", f'The parameter "{name}" is not supported.')
    for name, (shape, required) in wanted.items():
        given = [value for each, value in call.params.items() if each == name or _NUMBER.sub(".N", each) == name]
        if required and not any(given):
            raise missing(name)
        if any(value and not shape.fits(value) for value in given):
            raise VendorError("InvalidParameter", f'The specified parameter "{name}" must be {shape.title}.')
    _check_region(call, wanted, options)


def missing(name: str) -> VendorError:
    """The refusal of a request without a parameter."""
    words = f'The input parameter "{name}" that is mandatory for processing this request is not supplied.'
    return VendorError("MissingParameter", words)


def _check_region(call: Call, wanted: Mapping[str, Wanted], options: AliyunOptions) -> None:
    if "RegionId" not in wanted or not call.region:
        return
    home = next((label for label in re.split(r"[.:]", call.host) if label in options.regions), call.region)
    foreign = options.foreign_hosts == "refuse" and home != call.region
    if call.region not in options.regions or foreign:
        raise VendorError("InvalidRegionId.NotFound", "The specified RegionId does not exist.")


def page_of(call: Call) -> tuple[int, int, slice]:
    """(number, size, the page) that a call asks for.

    :raises VendorError: there are no such pages.
    """
    number, size = int(call.text("PageNumber") or 1), int(call.text("PageSize") or USUAL_SIZE)
    if number < 1 or not 1 <= size <= LARGEST_SIZE:
        raise VendorError("InvalidParameter", "The specified PageNumber or PageSize is out of range.")
    return number, size, slice((number - 1) * size, number * size)


# --- images --------------------------------------------------------------------------------------------------------


def shown(world: World, image: StoredImage, now: int) -> bool:
    """Whether the API knows the image yet."""
    return not facts_of(image).copied or now >= image.created_at + int(world.options.copy_shows_seconds * SECOND)


def image_of(world: World, call: Call, now: int) -> StoredImage:
    """The image that a call names.

    :raises VendorError: it is not there.
    """
    image = world.store.image(call.region, call.text("ImageId"), now)
    if image is None or not shown(world, image, now):
        raise VendorError("InvalidImageId.NotFound", "The specified ImageId does not exist.")
    return image


def alias_of(image: StoredImage) -> str:
    """Whose image it is, as ImageOwnerAlias."""
    return _ALIASES[image.facts.image_type]


def status_of(world: World, image: StoredImage, now: int) -> str:
    """The word for an image's status."""
    if now < image.ready_at:
        copy = world.copies.get((image.region, image.id))
        return "Waiting" if copy is not None and now < copy.begins_at else world.options.pending_word
    if image.fails:
        return world.options.failed_word
    return "Deprecated" if facts_of(image).deprecated else "Available"


def check_available(world: World, image: StoredImage, now: int) -> None:
    """Check that an image is whole, whether or not a task reads it.

    :raises VendorError: it is not.
    """
    if status_of(world, image, now) not in ("Available", "Deprecated"):
        raise VendorError("IncorrectImageStatus", "The status of the specified image does not support this operation.")


def os_of(image: StoredImage) -> str:
    """``linux`` or ``windows``."""
    windows = "windows" in f"{image.facts.platform} {image.facts.os_name}".lower()
    return facts_of(image).os_type or ("windows" if windows else "linux")
