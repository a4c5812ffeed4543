"""The shape of a policy file, as pydantic models; ``policies`` reads YAML into them, ``match`` and ``decide`` compile.

They refuse whatever is wrong whatever the cloud. What only one cloud forbids is ``review``'s affair; whether an
image matches is ``match``'s.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from imageferry.core.image import CLOUD_NAMES
from imageferry.core.units import Age
from imageferry.core.values import (
    AccountGlobs,
    Arches,
    Buckets,
    Clouds,
    Expression,
    Globs,
    NameGlobs,
    OsFamilies,
    RegionGlobs,
    Regions,
    TemplateText,
    Text,
    Visibilities,
)

_NAME_LONGEST: Final = 100


class Spec(BaseModel):
    """What every model here has in common: unknown keys and empty values are errors, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _has_value(cls, value: object) -> object:
        if value is None:
            raise ValueError("expected a value, or the key left out")
        return value


_NOT_EMPTY: Final = ConfigDict(json_schema_extra={"minProperties": 1})
_SOME_KEYS: Final[dict[str, JsonValue]] = {"minProperties": 1}
_SOME_ITEMS: Final[dict[str, JsonValue]] = {"minItems": 1}


class SizeSpec(Spec):
    """A range of GiB; both ends belong to it."""

    model_config = _NOT_EMPTY

    min: int | None = Field(default=None, ge=0, description="The smallest size in GiB")
    max: int | None = Field(default=None, ge=0, description="The largest size in GiB")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("a size without limits matches everything; expected min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}; expected min to be the smaller one")
        return self


class MatchSpec(Spec):
    """Matchers; an image has to fit every one that is written."""

    model_config = _NOT_EMPTY

    cloud: Clouds | None = Field(default=None, description=f"{', '.join(CLOUD_NAMES[:-1])} or {CLOUD_NAMES[-1]}")
    account: AccountGlobs | None = Field(default=None, description="The account's name in the config")
    region: RegionGlobs | None = Field(default=None, description="The vendor's region id")
    os: OsFamilies | None = Field(default=None, description="linux, windows or other")
    os_name: Globs | None = Field(default=None, description="The system's name as the cloud writes it")
    name: NameGlobs | None = Field(default=None, description="The image's name", examples=["prod-*"])
    arch: Arches | None = Field(default=None, description="x86_64, aarch64, i386 or other")
    visibility: Visibilities | None = Field(default=None, description="private, public, shared or market")
    encrypted: bool | None = Field(default=None, description="Whether its disks are encrypted")
    size_gib: SizeSpec | None = Field(default=None, description="{min: 10, max: 500}, both inclusive")
    created_within: Age | None = Field(default=None, description="How old it may be")
    tags: dict[Text, Globs] | None = Field(
        default=None, description='Every key named, with its values; "*" for any', json_schema_extra=_SOME_KEYS
    )
    any_of: list[MatchSpec] | None = Field(
        default=None, alias="any", description="At least one of these", json_schema_extra=_SOME_ITEMS
    )
    all_of: list[MatchSpec] | None = Field(
        default=None, alias="all", description="Every one of these", json_schema_extra=_SOME_ITEMS
    )
    not_: MatchSpec | None = Field(default=None, alias="not", description="Not this")
    when: Expression | None = Field(default=None, description="An expression in CEL; needs the extra cel")

    @field_validator("any_of", "all_of", "tags")
    @classmethod
    def _not_empty(cls, value: Any) -> Any:  # noqa: ANN401 - a list or a mapping, returned as it came
        if not value:
            raise ValueError("this is empty; expected at least one entry, or leave the key out")
        return value

    @model_validator(mode="after")
    def _has_matcher(self) -> Self:
        if not self.model_fields_set - {"copies"}:
            raise ValueError('no matcher is written; expected at least one; to match every image write region: "*"')
        return self

    def says_visibility(self) -> bool:
        """Whether ``visibility`` is asked for anywhere in here, so that the default is off."""
        nested = [*(self.any_of or ()), *(self.all_of or ()), *((self.not_,) if self.not_ else ())]
        return self.visibility is not None or any(spec.says_visibility() for spec in nested)


Copies = Literal["include", "exclude"]


class TopMatchSpec(MatchSpec):
    """What stands directly under ``match``; ``copies`` may be said here as well as beside it."""

    copies: Copies | None = Field(default=None, description="Whether copies made by imageferry match too")


class ExportSpec(Spec):
    """An export to object storage."""

    bucket: Buckets = Field(
        description="A bucket's name (template), or a map of region to bucket",
        examples=["archive-{region}-1250000000", {"cn-hangzhou": "archive-hz"}],
    )
    format: Text | None = Field(
        default=None, description="The image format; default: the cloud's own", examples=["qcow2", "raw"]
    )
    prefix: TemplateText | None = Field(default=None, description="What the objects' names start with (template)")
    role: Text | None = Field(default=None, description="The role by which the cloud writes to the bucket")
    disks: Literal["all", "system"] | None = Field(default=None, description="Which disks; default: the cloud's own")
    quick: bool | None = Field(default=None, description="Huawei: a quick export, without a choice of format")

    @field_validator("format")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()


class CopySpec(Spec):
    """A copy to each of some regions."""

    regions: Regions = Field(description="One region or a list of them")
    name: TemplateText | None = Field(default=None, description="The new image's name (template)")
    agency: Text | None = Field(default=None, description="Huawei: the agency that may copy")
    project: Text | None = Field(default=None, description="Huawei: the project in the target region")


class ActionSpec(Spec):
    """One thing to do: an export or a copy."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    export: ExportSpec | None = Field(default=None, description="Write the image to object storage")
    copy_: CopySpec | None = Field(default=None, alias="copy", description="Make the image anew in other regions")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.export is None) == (self.copy_ is None):
            raise ValueError("an action does one thing; expected either export or copy")
        return self


class PolicySpec(Spec):
    """One policy: which images, and what to do with them."""

    name: Text = Field(max_length=_NAME_LONGEST, description="Unique over all files")
    description: str | None = Field(default=None, description="For people")
    copies: Copies | None = Field(default=None, description="Whether copies made by imageferry match too")
    match: TopMatchSpec = Field(description="Which images")
    actions: list[ActionSpec] = Field(description="What to do with them", json_schema_extra=_SOME_ITEMS)

    @field_validator("name")
    @classmethod
    def _plain(cls, value: str) -> str:
        if not value.isprintable() or value != value.strip():
            raise ValueError(f"{value!r} cannot be a policy's name; expected printable text without outer blanks")
        return value

    @field_validator("actions")
    @classmethod
    def _has_action(cls, value: list[ActionSpec]) -> list[ActionSpec]:
        if not value:
            raise ValueError("a policy without actions does nothing; expected at least one export or copy")
        return value

    @model_validator(mode="after")
    def _one_word_about_copies(self) -> Self:
        if self.copies and self.match.copies and self.copies != self.match.copies:
            raise ValueError("copies is said twice, and not the same; expected it once")
        return self

    @property
    def takes_copies(self) -> bool:
        """Whether images that imageferry made itself may match."""
        return "include" in (self.copies, self.match.copies)


class PolicyFile(Spec):
    """A whole file."""

    policies: list[PolicySpec] = Field(
        description="The policies, in the order in which they decide", json_schema_extra=_SOME_ITEMS
    )

    @field_validator("policies")
    @classmethod
    def _has_policy(cls, value: list[PolicySpec]) -> list[PolicySpec]:
        if not value:
            raise ValueError("a file without policies; expected at least one under policies")
        return value
