"""What the operations of the Huawei Cloud rehearsal have in common: a call, the world it meets, and its images.

The operation modules use it. It knows no operation and answers nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from pydantic import ConfigDict, TypeAdapter

from imageferry.core.times import SECOND
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.journal import Journal
from imageferry.rehearsal.misbehaviour import Aim, Misbehaviours
from imageferry.rehearsal.options import AcceptedKey, checked
from imageferry.rehearsal.parameters import VendorError, Wanted, check_shape
from imageferry.rehearsal.store import GIB, NewImage, Store, StoredImage, Task

MALFORMED: Final = "IMG.0001"
"""The image service's code for a body that has another form than it should have."""
OUTWARDLY_MALFORMED: Final = "APIGW.0201"
"""The code of the other services, and of the gateway."""

ImageKind = Literal["gold", "private", "shared", "market"]

_KINDS: Final[Mapping[str, ImageKind]] = {
    "PUBLIC_IMAGE": "gold",
    "PRIVATE_IMAGE": "private",
    "SHARED_IMAGE": "shared",
    "MARKET_IMAGE": "market",
}
_NAME: Final = re.compile(r"(?! )[A-Za-z0-9\u3400-\u9fff ._-]+(?<! )")
_LONGEST_NAME: Final = 128
_LONGEST_DESCRIPTION: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HuaweiFacts:
    """What only Huawei Cloud's images have; stands in ``NewImage.extra``."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    project: str = ""
    """The name of its project; empty: the main project of its region."""
    virtual_env_type: Literal["FusionCompute", "DataImage", "Ironic", "IsoImage"] = "FusionCompute"
    disk_format: str = "zvhd2"
    backup_id: str = ""
    product_code: str = ""
    account_code: str = ""
    root_origin: str = ""
    """``file``: it was registered from a file."""
    data_origin: str = ""
    """Empty: ``instance,`` and an id; copies name their source as the options say."""
    member_status: Literal["accepted", "pending", "rejected"] = "accepted"
    """Of an image that another account shares."""
    shared_out: bool = False
    """An own image that is shared with others."""
    min_disk_gib: int | None = None
    """None: its size, and at least 40."""
    description: str = ""
    enterprise_project_id: str = "0"
    wholly_visible_at: int = 0
    """Lists know it from then on; microseconds UTC."""


_FACTS: Final = TypeAdapter(HuaweiFacts)


def check_facts(image: NewImage) -> None:
    """Check the facts that only Huawei Cloud's images have.

    :raises ValueError: one is unknown or does not fit.
    """
    checked(_FACTS, image.extra)


def facts_of(image: StoredImage) -> HuaweiFacts:
    """What only Huawei Cloud's images have; it was checked when the image was put there."""
    return HuaweiFacts(**image.facts.extra)


@dataclass(frozen=True, slots=True)
class Job:
    """An accepted task as the vendor tells of it."""

    task: Task
    kind: str
    """``imsNativeExportImageJob`` and the like."""
    image_name: str
    code: str = ""
    """Why it fails, where it does."""
    reason: str = ""
    sub_kind: str = ""
    sub_id: str = ""


@dataclass(frozen=True, slots=True)
class UserToken:
    """A token that IAM gave to a user; ``project`` is empty where it is for none."""

    value: str = field(repr=False)
    project: str
    expires_at: int


@dataclass(slots=True)
class World:
    """Everything that the operations of one rehearsal share."""

    options: HuaweiOptions
    chance: random.Random
    store: Store
    faults: Misbehaviours
    journal: Journal
    jobs: dict[str, Job] = field(default_factory=dict)
    sessions: list[AcceptedKey] = field(default_factory=list)
    """Temporary keys that were given out."""
    tokens: dict[str, UserToken] = field(default_factory=dict)
    writers: dict[tuple[str, str], str] = field(default_factory=dict)
    """(bucket, key) -> the image that was exported there last."""

    @property
    def keys(self) -> list[AcceptedKey]:
        """Every key that may be let in."""
        return [*self.options.keys, *self.sessions]

    def new_hex(self) -> str:
        """Thirty-two hexadecimal digits: the id of a job, a key, or a token."""
        return f"{self.chance.getrandbits(128):032x}"

    def new_image_id(self) -> str:
        """An image's id, written as a UUID."""
        text = self.new_hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def duration(self, seconds: float) -> int:
        """Microseconds that a task takes which usually takes ``seconds``."""
        spread = self.options.duration_spread
        return int(seconds * self.chance.uniform(1 - spread, 1 + spread) * SECOND)

    def begin(self, call: Call, scope: str, job: Job, now: int) -> dict[str, Any]:
        """Keep an accepted task; the answer that names it."""
        self.jobs[job.task.id] = job
        self.store.tasks.append(job.task)
        self.store.running(call.action, call.region if scope == "region" else "*").start(now, job.task.ends_at)
        self.journal.accepted[call.action, job.task.image_id, job.task.destination] += 1
        return {"job_id": job.task.id}

    def check_room(self, call: Call, scope: str, limit: int | None, code: str, now: int) -> None:
        """Check that one task more may run.

        :raises VendorError: as many run as may.
        """
        running = self.store.running(call.action, call.region if scope == "region" else "*")
        if limit is not None and running.count(now) >= limit:
            raise VendorError(code, f"No more than {limit} of these tasks may run at once.")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as far as its operation is concerned."""

    action: str
    region: str
    project: str
    """The name of the project that it is about; empty where it is about none."""
    resource: str
    """The id in its path; empty where there is none."""
    params: Mapping[str, Any]
    """Of the query or the body; what is null is left out."""
    request_id: str
    at: int
    """When it arrived, microseconds by the rehearsal's clock."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def flag(self, name: str) -> bool:
        """A boolean parameter; false when it is not given."""
        return self.params.get(name) is True

    def text(self, name: str) -> str:
        """A parameter that is a string; empty when it is not given, or is something else."""
        value = self.params.get(name)
        return value if isinstance(value, str) else ""

    @property
    def image_ids(self) -> list[str]:
        """The images that it is about."""
        named = [self.resource] if "-" in self.resource else []
        return [*named, *([self.text("id")] if self.text("id") else [])]

    def aim(self) -> Aim:
        """What faults see of it."""
        bucket = self.text("bucket_url").partition(":")[0]
        copied_to = self.text("region")
        return Aim(self.action, self.region, self.image_ids, [each for each in (bucket, copied_to) if each])


class Answered(NamedTuple):
    """What an operation answers beside a plain 200."""

    content: Mapping[str, Any]
    status: int = 200
    headers: Mapping[str, str] = {}


class Operation(NamedTuple):
    """An operation: where it stands, its parameters, and what it does at a given time."""

    name: str
    service: Literal["ims", "iam", "sts"]
    method: str
    path: re.Pattern[str]
    """Of the decoded path, with the groups ``project`` and ``id`` where it has them."""
    wanted: Mapping[str, Wanted]
    perform: Callable[[World, Call, int], Mapping[str, Any] | Answered]
    signed: bool = True
    """Whether it asks for a key or a token at all."""


def check_parameters(call: Call, operation: Operation) -> None:
    """Check a request's parameters against its operation's table.

    :raises VendorError: one is unknown, missing or of the wrong type.
    """
    try:
        check_shape(call.params, operation.wanted)
    except VendorError as error:
        raise VendorError(MALFORMED if operation.service == "ims" else OUTWARDLY_MALFORMED, error.message) from None


def check_name(name: str) -> None:
    """Check the name of an image that is to be made.

    :raises VendorError: it is empty, too long, or has other characters than allowed.
    """
    if not name:
        raise VendorError("IMG.0062", "The image name is empty.")
    if len(name) > _LONGEST_NAME:
        raise VendorError("IMG.0002", f"The image name has more than {_LONGEST_NAME} characters.")
    if _NAME.fullmatch(name) is None:
        raise VendorError("IMG.0003", "The image name has other characters than allowed.")


def check_description(text: str) -> None:
    """Check the description of an image that is to be made.

    :raises VendorError: it is too long, or has other characters than allowed.
    """
    if len(text) > _LONGEST_DESCRIPTION:
        raise VendorError("IMG.0004", f"The description has more than {_LONGEST_DESCRIPTION} characters.")
    if set(text) & set("\r\n<>"):
        raise VendorError("IMG.0054", "The description has other characters than allowed.")


# --- images --------------------------------------------------------------------------------------------------------


def project_of(image: StoredImage) -> str:
    """The name of the project that an own image is in."""
    return facts_of(image).project or image.region


def is_own(image: StoredImage, call: Call) -> bool:
    """Whether an image belongs to the call's project."""
    return image.facts.image_type == "PRIVATE_IMAGE" and project_of(image) == call.project


def shown(image: StoredImage, call: Call, now: int) -> bool:
    """Whether the call's project gets to see an image."""
    foreign = image.facts.image_type != "PRIVATE_IMAGE"
    return (foreign or project_of(image) == call.project) and now >= facts_of(image).wholly_visible_at


def image_of(world: World, call: Call, now: int) -> StoredImage:
    """The image that the call's path names.

    :raises VendorError: it is not there.
    """
    image = world.store.image(call.region, call.resource, now)
    if image is None or not shown(image, call, now):
        raise VendorError(world.options.missing_image_code, f"The image {call.resource} does not exist.")
    return image


def kind_of(image: StoredImage) -> ImageKind:
    """The vendor's word for whose image it is."""
    return "shared" if facts_of(image).shared_out else _KINDS[image.facts.image_type]


def status_of(image: StoredImage, options: HuaweiOptions, now: int) -> str:
    """The word for an image's status; a task that reads it changes nothing about it."""
    if now < image.ready_at:
        return options.pending_status
    return "killed" if image.fails else "active"


def size_of(image: StoredImage, options: HuaweiOptions) -> int:
    """The bytes that rules about an image's size measure."""
    return image.facts.size_gib * GIB if options.size_measured == "image_size" else min_disk_of(image) * GIB


def min_disk_of(image: StoredImage) -> int:
    """The smallest disk for an image, GiB."""
    smallest = facts_of(image).min_disk_gib
    return max(40, image.facts.size_gib) if smallest is None else smallest


def platform_of(image: StoredImage) -> str:
    """The vendor's word for an image's system."""
    text = f"{image.facts.platform} {image.facts.os_name}".lower().replace(" ", "")
    known = ("Windows", "RedHat", "OpenSUSE", "SUSE", "Oracle Linux")
    return next((each for each in known if each.lower().replace(" ", "") in text), image.facts.platform)


def refuse_first(rules: Sequence[tuple[bool, str, str]], image: StoredImage) -> None:
    """Refuse an image by the first rule that forbids it: (whether it does, the code, what the image is).

    :raises VendorError: one does.
    """
    for forbidden, code, reason in rules:
        if forbidden:
            raise VendorError(code, f"The image {image.id} {reason}.")


def private_images(world: World, region: str, now: int) -> int:
    """How many images the account has in a region."""
    return sum(image.facts.image_type == "PRIVATE_IMAGE" for image in world.store.images(region, now))
