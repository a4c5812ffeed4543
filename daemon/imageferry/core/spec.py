"""The shape of a policy file, as pydantic models; ``policies`` reads YAML into them, ``match`` and ``decide`` compile.

They refuse whatever is wrong whatever the cloud. What only one cloud forbids is ``review``'s affair; whether an
image matches is ``match``'s.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from imageferry.core import template
from imageferry.core.image import ARCHES, CLOUD_NAMES, OS_FAMILIES, VISIBILITIES
from imageferry.core.units import Duration

ANY_REGION: Final = ""
"""The key of a bucket that is written as one text and serves every region."""

LONGEST_WHEN: Final = 2000
"""Characters an expression may have."""

_REGION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_NAME_LONGEST: Final = 100


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("an empty text; expected at least one character")
    return value


Text = Annotated[str, AfterValidator(_filled)]
"""A text with something in it."""


def _listed(value: object) -> object:
    """One word means a list of one."""
    if isinstance(value, list):
        if not value:
            raise ValueError("an empty list matches nothing; expected at least one value, or leave the key out")
        return tuple(value)
    if isinstance(value, str):
        return (value,)
    raise ValueError(f"{_shown(value)} is not text; expected a text or a list of texts{_quoted(value)}")


def _closed(what: str, values: tuple[str, ...]) -> AfterValidator:
    """A glob over a closed set must fit something in it."""

    def check(glob: str) -> str:
        if any(fnmatchcase(value, glob) for value in values):
            return glob
        raise ValueError(f'"{glob}" matches no {what}; expected {", ".join(values)}{close_to(glob.lower(), values)}')

    return AfterValidator(check)


def close_to(word: str, values: tuple[str, ...]) -> str:
    """``; did you mean x?`` where something is close, else nothing."""
    found = get_close_matches(word, values, 1)
    return f"; did you mean {found[0]}?" if found else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else f"a {'mapping' if isinstance(value, dict) else 'value'}"


def _quoted(value: object) -> str:
    return f'; did you mean "{_shown(value)}"?' if isinstance(value, bool | int | float) else ""


Expression = Annotated[str, Field(max_length=LONGEST_WHEN), AfterValidator(_filled)]
"""An expression; whether it is right is for its reader to say."""

_LISTED: Final = BeforeValidator(_listed, json_schema_input_type=str | list[str])

Globs = Annotated[tuple[Text, ...], _LISTED]
"""A shell glob or a list of them; one that fits is enough."""
Clouds = Annotated[tuple[Annotated[Text, _closed("cloud", CLOUD_NAMES)], ...], _LISTED]
OsFamilies = Annotated[tuple[Annotated[Text, _closed("os", OS_FAMILIES)], ...], _LISTED]
Arches = Annotated[tuple[Annotated[Text, _closed("arch", ARCHES)], ...], _LISTED]
Visibilities = Annotated[tuple[Annotated[Text, _closed("visibility", VISIBILITIES)], ...], _LISTED]


def _region(value: str) -> str:
    if _REGION.fullmatch(value):
        return value
    raise ValueError(f'"{value}" is no region id; expected one such as cn-east-2, without globs or placeholders')


def _bucket_region(value: str) -> str:
    return value if value == ANY_REGION else _region(value)


Regions = Annotated[tuple[Annotated[str, AfterValidator(_region)], ...], _LISTED]
"""One region id or a list of them."""


def _template(value: str) -> str:
    template.parse(value)
    return value


TemplateText = Annotated[Text, AfterValidator(_template)]
"""A text in which placeholders such as ``{region}`` are filled in."""


def _buckets(value: object) -> object:
    """One bucket means a map with one entry for every region."""
    if isinstance(value, str):
        return {ANY_REGION: value}
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is no bucket; expected a name, or a map of region to name")  # noqa: TRY004 - pydantic wants ValueError
    if ANY_REGION in value:
        raise ValueError("an empty text is no region id; expected a map such as {cn-east-2: my-bucket}")
    if not value:
        raise ValueError("an empty map has no bucket for any region; expected region: bucket")
    return value


Buckets = Annotated[
    dict[Annotated[str, AfterValidator(_bucket_region)], TemplateText],
    BeforeValidator(_buckets, json_schema_input_type=str | dict[str, str]),
]
"""Region -> bucket; a single text is kept under :data:`ANY_REGION`."""


class Spec(BaseModel):
    """What every model here has in common: unknown keys and empty values are errors, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _has_value(cls, value: object) -> object:
        if value is None:
            raise ValueError("expected a value, or the key left out")
        return value


class SizeSpec(Spec):
    """A range of GiB; both ends belong to it."""

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

    cloud: Clouds | None = Field(default=None, description="tencent, aliyun, huawei or jdcloud")
    account: Globs | None = Field(default=None, description="The account's name in the config")
    region: Globs | None = Field(default=None, description="The vendor's region id")
    os: OsFamilies | None = Field(default=None, description="linux, windows or other")
    os_name: Globs | None = Field(default=None, description="The system's name as the cloud writes it")
    name: Globs | None = Field(default=None, description="The image's name")
    arch: Arches | None = Field(default=None, description="x86_64, aarch64, i386 or other")
    visibility: Visibilities | None = Field(default=None, description="private, public, shared or market")
    encrypted: bool | None = Field(default=None, description="Whether its disks are encrypted")
    size_gib: SizeSpec | None = Field(default=None, description="{min: 10, max: 500}, both inclusive")
    created_within: Duration | None = Field(default=None, description="How old it may be")
    tags: dict[Text, Globs] | None = Field(default=None, description='Every key named, with its values; "*" for any')
    any_of: list[MatchSpec] | None = Field(default=None, alias="any", description="At least one of these")
    all_of: list[MatchSpec] | None = Field(default=None, alias="all", description="Every one of these")
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

    bucket: Buckets = Field(description="A bucket's name (template), or a map of region to bucket")
    format: str | None = Field(default=None, description="The image format; default: the cloud's own")
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

    export: ExportSpec | None = None
    copy_: CopySpec | None = Field(default=None, alias="copy")

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
    actions: list[ActionSpec] = Field(description="What to do with them")

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

    policies: list[PolicySpec] = Field(description="The policies, in the order in which they decide")

    @field_validator("policies")
    @classmethod
    def _has_policy(cls, value: list[PolicySpec]) -> list[PolicySpec]:
        if not value:
            raise ValueError("a file without policies; expected at least one under policies")
        return value
