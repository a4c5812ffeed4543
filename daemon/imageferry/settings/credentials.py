"""The shape of an account's credentials, per cloud from the clouds' facts, and the record they become.

Called by ``accounts`` alone. It fetches no key from anywhere: it only says where they are to come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Union

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationInfo,
    create_model,
)

from imageferry.core.account import CredentialSpec
from imageferry.core.facts import CloudFacts
from imageferry.settings.roles import Made, role_checks, role_fields, role_of
from imageferry.wording import fault

STRICT: Final = ConfigDict(extra="forbid", frozen=True, strict=True)
"""What every model of the config file is."""

SOURCES: Final = ("chain", "env", "file", "instance", "oidc", "static")
"""Where credentials may come from."""


class FileCredentials(BaseModel):
    """Keys from a credentials file of the vendor's own tools."""

    model_config = STRICT

    source: Literal["file"]
    profile: str | None = Field(default=None, min_length=1, description="with `source: file`: the profile in the file")
    path: str | None = Field(
        default=None, min_length=1, description="with `source: file`: another file than the vendor's"
    )


def credentials_of(facts: CloudFacts) -> Made:
    """The three forms of credentials: the keys themselves, a vendor's file, or a place to ask."""
    shared: dict[str, Made] = {}
    if meaning := facts.notes.get("projects"):
        shared["projects"] = (dict[str, str], Field(default={}, description=meaning))
    secret: Made = SecretStr
    words: dict[str, Made] = {word: (secret, Field(min_length=1)) for word in facts.credential_words}
    optional: dict[str, Made] = {
        word: (secret | None, Field(default=None, min_length=1)) for word in facts.optional_credential_words
    }
    read_with_static = Field(default=None, exclude=True)
    strays: dict[str, Made] = {
        word: (Annotated[Any, BeforeValidator(_stray)], read_with_static) for word in keys_of_static(facts)
    }
    shared |= role_fields(facts)
    checks = role_checks(facts)
    source: Made = (Annotated[literal(*SOURCES), AfterValidator(_offered(facts))], "chain")
    title = facts.name.title()
    keys = create_model(
        f"{title}Keys",
        __base__=_Strict,
        __validators__=checks,
        source=(literal("static"), ...),
        **words,
        **optional,
        **shared,
    )
    file = create_model(f"{title}File", __base__=FileCredentials, __validators__=checks, **strays, **shared)
    asked = create_model(f"{title}Asked", __base__=_Strict, __validators__=checks, source=source, **strays, **shared)
    members = (Annotated[keys, Tag("static")], Annotated[file, Tag("file")], Annotated[asked, Tag("asked")])
    return Annotated[either(members), Discriminator(_form), BeforeValidator(_no_text)]


class _Strict(BaseModel):
    model_config = STRICT


def _form(value: object) -> str:
    source = value.get("source") if isinstance(value, Mapping) else None
    return source if isinstance(source, str) and source in {"static", "file"} else "asked"


def keys_of_static(facts: CloudFacts) -> tuple[str, ...]:
    """The vendor's own words for static credentials, those that may be left out last."""
    return (*facts.credential_words, *facts.optional_credential_words)


def _offered(facts: CloudFacts) -> Made:
    def check(source: str) -> str:
        if reason := facts.notes.get(f"credentials.{source}"):
            raise ValueError(f"{reason}; expected another source of credentials")
        return source

    return check


def _stray(_: object, info: ValidationInfo) -> object:
    """Keys beside a source that does not read them are the likeliest mistake of all; say what they need."""
    raise fault(f'the key "{info.field_name}" is read with "source: static" only; expected that source', key=True)


def _no_text(value: object) -> object:
    if isinstance(value, str):
        source = value if value in SOURCES else "env"
        raise fault(f"the credentials are a text; expected a mapping; write {{source: {source}}}")
    return value


def credential_spec(given: Mapping[str, Any], facts: CloudFacts) -> CredentialSpec:
    """What a validated mapping says, its secrets in the open."""
    values = {word: given[word].get_secret_value() for word in keys_of_static(facts) if given.get(word) is not None}
    return CredentialSpec(
        source=given["source"],
        values=values,
        profile=given.get("profile"),
        path=given.get("path"),
        projects=given.get("projects", {}),
        role=role_of(given, facts),
    )


def literal(*words: str) -> Made:
    """The annotation of these words; a checker wants them written out."""
    kind: Made = Literal
    return kind[words]


def either(members: Iterable[Made]) -> Made:
    """The union of annotations that are made at run time."""
    union: Made = Union
    return union[tuple(members)]
