"""An account as flow and the clouds see it: every default filled in, every duration in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from imageferry.core.facts import KindLimit, LaneKind

WHOLE_ACCOUNT: Final = "*"
"""The scope that all regions of an account share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. ``settle`` exceeds ``request``; the last three end a wait with its reason."""

    request: float = 20.0
    settle: float = 90.0
    image: float = 86_400.0
    export: float = 86_400.0
    copy: float = 43_200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Polls:
    """Base cadences in seconds: a running task; an image that is not ready yet."""

    tasks: float = 30.0
    images: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """For ``retry`` answers: first and longest wait in seconds, how many counted attempts a job has."""

    first: float = 2.0
    longest: float = 300.0
    attempts: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role that keys take, to work with the keys it is given."""

    name: str
    """As the vendor writes it: an ARN or JRN, or the name of an agency."""
    owner: str = ""
    """The account it belongs to, where its name does not say so."""
    external_id: str = field(default="", repr=False)
    session_name: str = "imageferry"
    """How the vendor's audit trail calls us."""
    duration: float
    """Seconds that its keys are to hold."""
    policy: str = field(default="", repr=False)
    """What the keys may do at most, in the vendor's words; empty: whatever the role may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialSpec:
    """Where an account's keys come from. Its values are secrets: they are in no repr."""

    source: str = "chain"
    """chain, env, file, instance, oidc or static."""
    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """For static: the vendor's own words (``secret_id`` …) and, for huawei, nothing else."""
    profile: str | None = None
    """For file: the profile's name; None: the vendor's default."""
    path: str | None = None
    """For file: another path than the vendor's own."""
    projects: Mapping[str, str] = field(default_factory=dict)
    """Huawei: region -> project id."""
    role: Role | None = None
    """Taken with the keys that the source gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One configured account."""

    name: str
    cloud: str
    account_id: str | None = None
    regions: tuple[str, ...]
    credentials: CredentialSpec = field(default_factory=CredentialSpec)
    endpoint: str
    """Base URL with ``{region}`` left in; so are the next two (``{bucket}`` too)."""
    identity_endpoint: str
    storage_endpoint: str
    endpoint_set: bool = False
    """The user set ``endpoint``: it serves the vendor's neighbouring services too."""
    limits: Mapping[LaneKind, KindLimit]
    counted_by: Literal["region", "host"] = "host"
    """The scope of a lane, as ``CloudFacts`` has it."""
    polls: Polls = field(default_factory=Polls)
    timeouts: Timeouts = field(default_factory=Timeouts)
    backoff: Backoff = field(default_factory=Backoff)
    switches: Mapping[str, str] = field(default_factory=dict)
    """Of ``CloudFacts.switches``: what each is set to; one that is not here has its default."""

    def lane(self, region: str) -> str:
        """The scope in which the vendor counts a region's requests: the region, or ``*`` for one host of them all."""
        return WHOLE_ACCOUNT if self.counted_by == "host" and "{region}" not in self.endpoint else region
