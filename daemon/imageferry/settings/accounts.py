"""The shape of one account in the config file, per cloud from the clouds' facts, and the account it becomes.

Called by the loader and the blueprint. It fills in every default and asks no cloud whether the account is real.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    create_model,
    model_validator,
)

from imageferry.clouds.facts import FACTS
from imageferry.core.account import Account, Backoff, Polls, Timeouts
from imageferry.core.facts import CloudFacts, KindLimit, LaneKind
from imageferry.core.units import Duration, Rate, duration_text
from imageferry.settings.credentials import STRICT, credential_spec, credentials_of, either, literal
from imageferry.settings.roles import Made, stray
from imageferry.wording import fault, shown

_TIMEOUTS: Final = Timeouts()
_POLLS: Final = Polls()
_BACKOFF: Final = Backoff()
_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_SWITCHES: Final = sorted({name for facts in FACTS.values() for name in facts.switches})
_REGION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


def _count(value: object) -> object:
    """Digits that came from a variable are a number too."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value


Count = Annotated[int, BeforeValidator(_count), Field(ge=1)]
"""A whole number from 1."""


def _template(*allowed: str) -> AfterValidator:
    """A base URL in which only these placeholders stand."""
    listed = " and ".join(f"{{{name}}}" for name in allowed)

    def check(url: str) -> str:
        for name in _PLACEHOLDER.findall(url):
            if name not in allowed:
                raise ValueError(f"{shown(url)} has the placeholder {{{name}}}; expected only {listed}")
        _check_url(url, _PLACEHOLDER.sub("x", url))
        return url.rstrip("/")

    return AfterValidator(check)


def _check_url(url: str, filled: str) -> None:
    """:raises ValueError: it is no plain base URL; the text never has its user part."""
    try:
        parts = urlsplit(filled)
        fits = bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits or not filled.startswith(("https://", "http://")) or set(filled) & set(' {}\\"<>\t'):
        raise ValueError(f"{shown(url)} is not a base URL; expected https://host or http://host, with a port and path")
    if "@" in filled or "?" in filled or "#" in filled:
        raise ValueError(f"{shown(url)} has more than a base URL; expected no user, query or fragment in it")


def _regions(regions: list[str]) -> list[str]:
    for index, region in enumerate(regions):
        if not _REGION.fullmatch(region):
            raise fault(f"{shown(region)} is not a region's id; expected one such as ap-guangzhou", index)
        if region in regions[:index]:
            raise fault(f"{shown(region)} is here twice; expected every region once; remove one", index)
    return regions


class KindShape(BaseModel):
    """Limits of exports or of copies."""

    model_config = STRICT

    rate: Rate | None = Field(default=None, description="requests, such as `20/s` or `300/m`")
    running: Count | None = Field(default=None, description="tasks in flight at once; learned where nobody says")


class ReadShape(BaseModel):
    """Limits of reading."""

    model_config = STRICT

    rate: Rate | None = Field(default=None, description="requests, such as `40/s`")


class LimitsShape(BaseModel):
    """How fast and how many, for each kind of request."""

    model_config = STRICT

    export: KindShape = KindShape()
    copy_: KindShape = Field(default=KindShape(), alias="copy")
    read: ReadShape = ReadShape()


class PollShape(BaseModel):
    """Base cadences."""

    model_config = STRICT

    tasks: Duration = Field(
        default=_POLLS.tasks, description="how often a running task is looked at; more often near its expected end"
    )
    images: Duration = Field(default=_POLLS.images, description="how often an image that is not ready is looked at")


class TimeoutsShape(BaseModel):
    """When a wait is given up."""

    model_config = STRICT

    request: Duration = Field(default=_TIMEOUTS.request, description="one request, from its start to its answer")
    settle: Duration = Field(
        default=_TIMEOUTS.settle, description="how long a doubt rests before it is looked into; more than `request`"
    )
    image: Duration = Field(default=_TIMEOUTS.image, description="waiting for an image to become ready")
    export: Duration = Field(default=_TIMEOUTS.export, description="waiting for the end of an export")
    copy_: Duration = Field(default=_TIMEOUTS.copy, alias="copy", description="waiting for the end of a copy")

    @model_validator(mode="after")
    def _settle_outlives_requests(self) -> Self:
        if self.settle <= self.request:
            settle, request = duration_text(self.settle), duration_text(self.request)
            at = "settle" if "settle" in self.model_fields_set else "request"
            raise fault(f"settle ({settle}) is not more than request ({request}); expected settle to be longer", at)
        return self


class BackoffShape(BaseModel):
    """For answers after which the same request may be tried again."""

    model_config = STRICT

    first: Duration = Field(default=_BACKOFF.first, description="the first wait")
    longest: Duration = Field(default=_BACKOFF.longest, description="the longest wait; not less than `first`")
    attempts: Count = Field(default=_BACKOFF.attempts, description="sends that count, before a job has failed")

    @model_validator(mode="after")
    def _longest_is_longest(self) -> Self:
        if self.longest < self.first:
            longest, first = duration_text(self.longest), duration_text(self.first)
            at = "longest" if "longest" in self.model_fields_set else "first"
            raise fault(f"longest ({longest}) is less than first ({first}); expected longest to be longer", at)
        return self


class AccountShape(BaseModel):
    """What the accounts of all clouds have."""

    model_config = STRICT

    cloud: str
    account_id: str | None = Field(
        default=None,
        min_length=1,
        description="how events name the account; may be left out for a cloud's only account",
    )
    regions: Annotated[list[str], AfterValidator(_regions)] = Field(min_length=1, description="the regions, as a list")
    credentials: Any = None
    endpoint: Annotated[str, _template("region")] | None = Field(
        default=None, description="the image API; serves the vendor's neighbouring services too when set"
    )
    identity_endpoint: Annotated[str, _template("region")] | None = Field(
        default=None, description="who-am-I, roles and projects"
    )
    storage_endpoint: Annotated[str, _template("bucket", "region")] | None = Field(
        default=None, description="the object storage; a slash and the object's key are appended"
    )
    limits: LimitsShape = LimitsShape()
    poll: PollShape = PollShape()
    timeouts: TimeoutsShape = TimeoutsShape()
    backoff: BackoffShape = BackoffShape()


def account_union() -> Made:
    """The annotation of any cloud's account, told apart by ``cloud``; an unknown cloud's is still looked through."""
    members = [Annotated[_account_model(facts), Tag(name)] for name, facts in FACTS.items()]
    any_switch: dict[str, Made] = {name: (Any, Field(default=None, exclude=True)) for name in _SWITCHES}
    unknown = create_model("UnknownCloud", __base__=AccountShape, cloud=(literal(*FACTS), ...), **any_switch)

    def member(value: object) -> str:
        cloud = value.get("cloud") if isinstance(value, Mapping) else None
        return cloud if isinstance(cloud, str) and cloud in FACTS else "unknown"

    return Annotated[either([*members, Annotated[unknown, Tag("unknown")]]), Discriminator(member)]


def _account_model(facts: CloudFacts) -> Made:
    return create_model(
        f"{facts.name.title()}Account",
        __base__=AccountShape,
        cloud=(literal(facts.name), Field(description="the cloud")),
        credentials=(credentials_of(facts), Field(default={"source": "chain"}, validate_default=True)),
        **_switches(facts),
    )


def _switches(facts: CloudFacts) -> dict[str, Made]:
    """The cloud's own switches, and those of other clouds, which are refused by their owner's name."""
    own: dict[str, Made] = {
        name: (literal(*switch.words), Field(default=switch.words[0], description=switch.meaning))
        for name, switch in facts.switches.items()
    }
    return {**{name: stray(_others(name, facts)) for name in _SWITCHES}, **own}


def _others(name: str, facts: CloudFacts) -> str:
    titles = " and ".join(each.title for each in FACTS.values() if name in each.switches)
    return f'the key "{name}" is for {titles} only; expected no such key for {facts.title}; remove it'


def account(name: str, shape: AccountShape) -> Account:
    """The account with every default of its cloud filled in."""
    facts = FACTS[shape.cloud]
    return Account(
        name=name,
        cloud=shape.cloud,
        account_id=shape.account_id,
        regions=tuple(shape.regions),
        credentials=credential_spec(shape.credentials.model_dump(), facts),
        endpoint=shape.endpoint or facts.endpoint,
        identity_endpoint=shape.identity_endpoint or facts.identity_endpoint,
        storage_endpoint=shape.storage_endpoint or facts.storage_endpoint,
        endpoint_set=shape.endpoint is not None,
        limits=_limits(shape.limits, facts.limits),
        counted_by=facts.counted_by,
        polls=Polls(**shape.poll.model_dump()),
        timeouts=Timeouts(**shape.timeouts.model_dump(by_alias=True)),
        backoff=Backoff(**shape.backoff.model_dump()),
        switches={name: getattr(shape, name) for name in facts.switches},
    )


def _limits(shape: LimitsShape, defaults: Mapping[LaneKind, KindLimit]) -> dict[LaneKind, KindLimit]:
    def limit(kind: LaneKind, given: KindShape | ReadShape) -> KindLimit:
        default = defaults[kind]
        running = given.running if isinstance(given, KindShape) else None
        return KindLimit(given.rate or default.rate, running or default.running, default.scope)

    return {
        "export": limit("export", shape.export),
        "copy": limit("copy", shape.copy_),
        "read": limit("read", shape.read),
    }
