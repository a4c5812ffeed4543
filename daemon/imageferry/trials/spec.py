"""The shape of a test file, as pydantic models; ``reader`` reads YAML into them.

A test names an image or an event and what it expects. Whether the policies it names exist, and whether its event can
be read, is ``reader``'s affair; whether the expectation holds is ``judge``'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from imageferry.core.decision import Ternary
from imageferry.core.image import Arch, CloudName, ImageState, OsFamily, Visibility
from imageferry.core.job import ActionKind
from imageferry.core.spec import Spec
from imageferry.core.times import parse_rfc3339, rfc3339
from imageferry.core.units import Age
from imageferry.core.values import Globs, Regions, Text
from imageferry.wording import fault, shown

Names = Globs
"""One name or a list of them; here they are plain names, not globs."""


def _moment(value: object) -> int:
    expected = 'expected one such as "2026-01-02T03:04:05Z"'
    if not isinstance(value, str):
        raise ValueError(f"{shown(value)} is not a time; {expected}")  # noqa: TRY004 - pydantic wants ValueError
    try:
        moment = parse_rfc3339(value)
        if moment >= 0 and rfc3339(moment):
            return moment
    except (ValueError, OverflowError):
        raise ValueError(f"{shown(value)} is not a time with its zone; {expected}") from None
    raise ValueError(f"{shown(value)} is before 1970; {expected}")


Moment = Annotated[
    int,
    BeforeValidator(_moment),
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\d.\d\d.*(Z|[+-]\d\d:\d\d)$",
            "examples": ["2026-01-02T03:04:05Z"],
        }
    ),
]
"""Microseconds UTC, written as RFC 3339."""


class ExtraFacts(Spec):
    """What only an image's own cloud tells, as far as its rules ask for it."""

    product_code: str | None = Field(
        default=None, description="aliyun, huawei: not empty where it was made from a marketplace image"
    )
    data_disks_gib: list[int] | None = Field(default=None, description="aliyun: the size of each data disk")
    kind: Literal["system", "data", "baremetal", "iso"] | None = Field(default=None, description="huawei: its kind")
    whole_image: bool | None = Field(default=None, description="huawei: whether it is a full-ECS image")
    backup_id: str | None = Field(default=None, description="huawei: not empty where it was made from a backup")
    bytes: int | None = Field(default=None, ge=0, description="huawei: its exact size")
    root_device: Literal["cloudDisk", "localDisk"] | None = Field(default=None, description="jdcloud: its system disk")
    imported: bool | None = Field(default=None, description="jdcloud: whether it was imported")


TOLD_BY: Final[Mapping[CloudName, frozenset[str]]] = {
    "tencent": frozenset(),
    "aliyun": frozenset({"product_code", "data_disks_gib"}),
    "huawei": frozenset({"product_code", "kind", "whole_image", "backup_id", "bytes"}),
    "jdcloud": frozenset({"root_device", "imported"}),
}
"""Cloud -> the extra facts that it tells."""


class ImageFacts(BaseModel):
    """The facts of an image, as its cloud would tell them; what is left out, or null, is not known."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        json_schema_extra={"not": {"required": ["age", "created_at"]}},
    )

    cloud: CloudName | None = Field(default=None, description="Its cloud; always wanted")
    account: Text | None = Field(default=None, description="The account's name in the config")
    region: Text | None = Field(default=None, description="The vendor's region id; always wanted")
    id: Text = Field(default="img-test", description="Its id; img-test when left out")
    name: str | None = Field(default=None, description="Its name")
    os: OsFamily | None = Field(default=None, description="The family of its system")
    os_name: str | None = Field(default=None, description="The system's name as the cloud writes it")
    arch: Arch | None = Field(default=None, description="The processor it is for")
    size_gib: int | None = Field(default=None, ge=0, description="Its size in GiB")
    state: ImageState | None = Field(default="ready", description="Its state; ready when left out")
    visibility: Visibility | None = Field(default="private", description="Who sees it; private when left out")
    encrypted: bool | None = Field(default=None, description="Whether its disks are encrypted")
    tags: dict[str, str] | None = Field(default=None, description="Its tags; {} for an image without any")
    created_at: Moment | None = Field(default=None, description="When it was created; or say its age")
    age: Age | None = Field(default=None, description="How long before now it was created, such as 3d")
    is_copy: bool | None = Field(default=False, description="Whether imageferry made it; false when left out")
    extra: ExtraFacts = Field(default=ExtraFacts(), description="What only its own cloud tells of it")

    @field_validator("tags", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        for key, text in value.items() if isinstance(value, dict) else ():
            if not isinstance(text, str):
                hint = f'; write it in quotes: "{shown(text)}"' if isinstance(text, bool | int | float) else ""
                raise fault(f"{shown(text)} is not text; expected a tag's value to be text{hint}", key)
        return value

    @model_validator(mode="after")
    def _born_once(self) -> Self:
        if self.age is not None and self.created_at is not None:
            raise fault("age and created_at are both given; expected one of them; remove the other", "age", key=True)
        return self


class OptionsWanted(Spec):
    """Options of an action, as far as a test is about them."""

    format: Text | None = Field(default=None, description="The image format")
    prefix: str | None = Field(default=None, description="What the objects' names start with")
    role: Text | None = Field(default=None, description="The role by which the cloud writes to the bucket")
    disks: Literal["all", "system"] | None = Field(default=None, description="Which disks")
    quick: bool | None = Field(default=None, description="Huawei: a quick export")
    name: Text | None = Field(default=None, description="The new image's name")
    agency: Text | None = Field(default=None, description="Huawei: the agency that may copy")
    project: Text | None = Field(default=None, description="Huawei: the project in the target region")


class ActionWanted(Spec):
    """An action that has to be planned, to one bucket or to each of some regions."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["export"]}, {"required": ["copy"]}]})

    export: Text | None = Field(default=None, description="The bucket, its template filled in")
    copy_: Regions | None = Field(default=None, alias="copy", description="The target region, or a list of them")
    options: OptionsWanted | None = Field(default=None, description="Options it has to have; others may be there")
    policies: Names | None = Field(default=None, description="The policies that want it, all of them")
    refused: Text | None = Field(
        default=None, description="It can never be done, for a reason that holds this text; without it, it must be done"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.export is None) == (self.copy_ is None):
            raise ValueError("an action does one thing; expected either export: BUCKET or copy: REGION")
        return self

    def destinations(self) -> list[tuple[ActionKind, str]]:
        """Every destination, with what is done there."""
        if self.export is not None:
            return [("export", self.export)]
        return [("copy", region) for region in self.copy_ or ()]


class VerdictWanted(Spec):
    """What one policy has to say."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    verdict: Ternary | None = Field(default=None, description="match, no_match or unknown")
    reason: Text | None = Field(default=None, description="A text that the reason has to hold")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.verdict is None and self.reason is None:
            raise ValueError("this expects nothing; expected verdict, reason or both")
        return self


def _spelled_out(value: object) -> object:
    return {"verdict": value} if isinstance(value, str) else value


class Expectation(Spec):
    """What has to come of it."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    actions: list[ActionWanted] | None = Field(
        default=None, description="Every action that is planned, in any order; [] for none"
    )
    verdicts: dict[
        Text, Annotated[VerdictWanted, BeforeValidator(_spelled_out, json_schema_input_type=Ternary | VerdictWanted)]
    ] = Field(default={}, description="By policy: match, no_match or unknown; or {verdict: …, reason: …}")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.actions is None and not self.verdicts:
            raise ValueError("this expects nothing; expected actions (actions: [] for none), verdicts or both")
        return self

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        """Policies that want the same destination make one action, so none can come of a second one."""
        seen: set[tuple[ActionKind, str]] = set()
        for index, action in enumerate(self.actions or ()):
            for kind, destination in action.destinations():
                if (kind, destination) in seen:
                    raise fault(f"{kind} to {destination} is here twice; expected it once", "actions", index)
                seen.add((kind, destination))
        return self


class Terms(Spec):
    """What a test may say of its surroundings; under ``defaults`` it holds for every test of the file."""

    now: Moment | None = Field(default=None, description="The time of the decision; 2026-01-01T00:00:00Z if left out")
    policies: Names | None = Field(default=None, description="Ask only these; all of them when left out")
    regions: Regions | None = Field(
        default=None, description="What the image's account lists; any region when left out and no config is given"
    )
    image: ImageFacts | None = Field(default=None, description="The image as its cloud would tell of it")


class TrialSpec(Terms):
    """One test."""

    name: Text = Field(description="What is expected, in a few words; unique in its file")
    event: dict[str, Any] | None = Field(
        default=None, description="An event as it comes; its facts are believed where no image is given"
    )
    expect: Expectation = Field(description="What has to come of it")


class TrialFile(Spec):
    """A whole test file."""

    defaults: Terms = Field(default=Terms(), description="What holds for every test that does not say otherwise")
    tests: list[TrialSpec] = Field(description="The tests", json_schema_extra={"minItems": 1})

    @field_validator("tests")
    @classmethod
    def _has_test(cls, value: list[TrialSpec]) -> list[TrialSpec]:
        if not value:
            raise ValueError("a file without tests; expected at least one under tests")
        return value
