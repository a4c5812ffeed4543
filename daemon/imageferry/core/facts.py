"""What is known about a cloud without asking it: words, rules and limits, as data that each cloud's folder fills in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from imageferry.core.answers import Refusal
from imageferry.core.image import Image
from imageferry.core.job import ActionKind

LaneKind = Literal["export", "copy", "read"]
LANE_KINDS: Final[tuple[LaneKind, ...]] = ("export", "copy", "read")

Preflight = Callable[[Image, ActionKind, str, Mapping[str, Any]], Refusal | None]
"""(image, action, destination, options) -> why it can never be done, or None. An unknown fact refuses nothing."""


@dataclass(frozen=True, slots=True)
class KindLimit:
    """How fast and how many: requests a second, tasks running at once (None: learned)."""

    rate: float
    running: int | None = None
    scope: Literal["region", "account"] = "region"
    """Over what the running tasks are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleFacts:
    """How keys take a role at a cloud: the words of the settings, and what the vendor accepts."""

    word: str
    """The setting that names the role, in the vendor's own word."""
    meaning: str
    pattern: str
    """What the whole name must match."""
    example: str
    owner: str = ""
    """The setting that says whose role it is, where the name does not; empty: there is none."""
    owner_meaning: str = ""
    external_id: str = ""
    """What an external id must match; empty: the vendor has none."""
    session_name: str = ""
    """What the session's name must match; empty: the vendor has none."""
    shortest: float
    longest: float
    usual: float
    """Seconds that the role's keys may hold, and do where nothing is set."""


@dataclass(frozen=True, slots=True)
class Switch:
    """A choice between ways to ask that one vendor has: its words, the default first."""

    words: tuple[str, ...]
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFacts:
    """One cloud's words and rules; docs and load-time checks are made from it."""

    name: str
    title: str
    credential_words: tuple[str, ...]
    """Words a static credential must have."""
    optional_credential_words: tuple[str, ...] = ()
    role: RoleFacts
    switches: Mapping[str, Switch] = field(default_factory=dict)
    """Settings of an account that only this cloud has."""
    endpoint: str
    identity_endpoint: str
    storage_endpoint: str
    limits: Mapping[LaneKind, KindLimit]
    counted_by: Literal["region", "host"] = "region"
    """In which scope requests are counted: the region, or the host they enter at."""
    formats: tuple[str, ...]
    """Formats an export may ask for, lower case, the vendor's default first; empty: the cloud has no such option."""
    prefix_pattern: str
    """What the whole prefix (user's part, joint, unique part) must match."""
    prefix_longest: int
    prefix_joint: str
    """What stands between the user's prefix and the job-unique part; may be empty."""
    export_options: frozenset[str]
    """Of ``format prefix role disks quick``: those the cloud has."""
    disks_default: Literal["all", "system"] = "all"
    """What ``disks`` is where a policy does not say; it only counts where the cloud has that option."""
    export_required: frozenset[str] = frozenset()
    copy_options: frozenset[str] = frozenset({"name"})
    """Of ``name agency project``: those the cloud has."""
    copy_required: frozenset[str] = frozenset()
    name_longest: int
    """The longest image name, in characters."""
    name_pattern: str = ".*"
    preflight: Preflight
    notes: Mapping[str, str] = field(default_factory=dict)

    def choice(self, switches: Mapping[str, str], name: str) -> str:
        """What one of the switches is set to among ``switches``, or its default."""
        return switches.get(name, self.switches[name].words[0])
