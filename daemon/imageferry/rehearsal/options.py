"""How a rehearsal cloud behaves: keys, buckets, limits, durations, and a switch for every fact nobody could confirm.

Builders of rehearsal clouds, the ``rehearse`` command and the control endpoints fill it in, from JSON where it comes
from outside. It holds no state and decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")

MAINLAND: Final = ("ap-beijing", "ap-chengdu", "ap-chongqing", "ap-guangzhou", "ap-nanjing", "ap-shanghai")
FINANCE: Final = ("ap-shanghai-fsi", "ap-shenzhen-fsi")
OUTSIDE: Final = (
    "ap-bangkok",
    "ap-hongkong",
    "ap-jakarta",
    "ap-seoul",
    "ap-singapore",
    "ap-taipei",
    "ap-tokyo",
    "eu-frankfurt",
    "na-ashburn",
    "na-siliconvalley",
    "sa-saopaulo",
)

RATES: Final = {"ExportImages": 20, "SyncImages": 10, "DescribeImages": 40, "DescribeImageQuota": 10}
"""Requests a second that the vendor grants by default."""

OTHER_RATE: Final = 20
"""The rate of an action that has no default of its own."""


@dataclass(frozen=True, slots=True)
class AcceptedKey:
    """A key pair that the rehearsal lets in; with a token it is a temporary one."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: int | None = None
    """Microseconds UTC, by the rehearsal's own clock; None: never."""


REHEARSAL_KEY: Final = AcceptedKey("AKIDrehearsal0000000000000000000001", "rehearsal-only-not-a-real-key")
"""The key pair that is let in when none is configured; it opens nothing but rehearsals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalOptions:
    """Everything that can be set about a rehearsal cloud. Durations are seconds, sizes GiB."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    keys: tuple[AcceptedKey, ...] = (REHEARSAL_KEY,)
    account_id: str = "100000000001"
    regions: tuple[str, ...] = (*MAINLAND, *FINANCE, *OUTSIDE)
    buckets: Mapping[str, str] = field(default_factory=dict)
    """Full name (with its ``-<AppId>``) -> region."""
    unwritable_buckets: frozenset[str] = frozenset()
    """Exports into these are refused with ``InvalidBucketPermissionForExport``."""
    unreadable_buckets: frozenset[str] = frozenset()
    """HEAD on these answers 403."""
    roles: frozenset[str] = frozenset({"CVM_QcsRole"})
    assumable_roles: frozenset[str] = frozenset({"qcs::cam::uin/100000000001:roleName/imageferry"})
    """Roles for which STS gives out temporary keys."""
    external_ids: Mapping[str, str] = field(default_factory=dict)
    """Role -> the external id without which it is not given."""
    identity_providers: frozenset[str] = frozenset({"rehearsal-idp"})
    identity_tokens: frozenset[str] = frozenset({"rehearsal-identity-token"})
    """What the identity providers have signed; everything else is refused."""
    refused_destinations: Mapping[str, str] = field(default_factory=dict)
    """Region -> the code with which copies into it are refused."""

    rates: Mapping[str, int | None] = field(default_factory=dict)
    """Action -> requests a second; None: no limit; an action without an entry has the vendor's default."""
    count_rate_by: Literal["host", "region"] = "host"
    """``host``: by the Host header, as the vendor does; ``region``: as if every region were entered by its own host."""
    exports_running: int | None = 5
    copies_running: int | None = 5
    running_scope: Literal["region", "account"] = "region"
    export_seconds: float = 2.0
    copy_seconds: float = 3.0
    duration_spread: float = 0.0
    """0.2: a task takes between 0.8 and 1.2 of its time."""
    image_ready_seconds: float = 0.0
    """A new image is CREATING for so long."""
    object_late_seconds: float = 0.0
    """Objects appear so long after their image is free again."""
    object_grows_seconds: float = 0.0
    """Objects are first seen at half their size, and whole so much later; 0: invisible until whole."""
    clock_skew_seconds: float = 0.0
    """The rehearsal's clock is ahead by this."""

    # Switches: what the vendor's documents leave open.
    sts_needs_region: bool = False
    unknown_ids: Literal["empty", "error"] = "empty"
    """What DescribeImages says of ids it does not have: nothing, or ``InvalidImageId.NotFound`` for the request."""
    names_culprit: bool = True
    """Whether the message of ``InvalidImageId.*`` names the first bad id."""
    limit_cuts_ids: bool = True
    """Whether Limit (20 unless given) also cuts an answer to ImageIds."""
    describe_ids_most: int = 100
    export_ids_most: int = 10
    copy_ids_most: int = 10
    copy_regions_most: int = 20
    prefix_pattern: str = "[A-Za-z0-9._-]{1,64}"
    upper_case_extension: bool = False
    keys_keep_slash: bool = False
    """Whether an object's key begins with the slash of its CosPath."""
    bucket_elsewhere_code: str = "InvalidParameterValue.BucketNotFound"
    """The answer to a bucket that exists in another region than the image."""
    dry_run_shape: Literal["answer", "error"] = "answer"
    """A dry run that passes: an answer without TaskId and CosPaths, or the code ``DryRunOperation``."""
    dry_run_sees_bucket: bool = True
    dry_run_sees_role: bool = True
    dry_run_sees_busy: bool = True
    dry_run_sees_limit: bool = False
    """Whether a dry run is refused while as many tasks run as may."""
    state_while_exporting: str = "NORMAL"
    state_while_copying: str = "SYNCING"
    """What DescribeImages says of a source image meanwhile."""
    concurrent_copies: bool = False
    """Whether a second copy of an image may start while one runs."""
    copy_busy_code: str = "InvalidParameterValue.InvalidImageState"
    copy_limit_code: str = "LimitExceeded"
    partial_copies: bool = False
    """A request for several regions of which one is bad: do the good ones, or nothing."""
    copy_failure: Literal["state", "gone"] = "state"
    """A copy that fails: CREATEFAILED, or the new id vanishes."""
    copies_keep_tags: bool = False
    copy_largest_gib: int | None = None
    export_largest_gib: int | None = 500
    """The largest exported disk."""
    export_data_disks: int | None = 5
    root_disk_alone_counts: bool = True
    """With OnlyExportRootDisk, data disks do not make an image too large."""
    image_quota: int | None = 500
    """Custom images in a region."""
    storage_checks_region: bool = False
    """Whether the region in the scope of a storage signature must be the bucket's."""
    stale_sync_percent: bool = True
    """Whether a NORMAL image still shows a SyncPercent; None otherwise."""
    zulu_times: bool = True
    """CreatedTime ends with ``Z``; else with ``+00:00``."""
    null_for_empty: bool = True
    """Whether an empty Tags or SnapshotSet is null; else ``[]``."""
    answer_type: Literal["application/json", "text/plain"] = "application/json"
    deprecated_warning: bool = False
    """Whether successes carry a DeprecatedWarning."""

    def rate(self, action: str) -> int | None:
        """Requests a second that ``action`` may take; None: any."""
        return self.rates.get(action, RATES.get(action, OTHER_RATE))

    def changed(self, changes: Mapping[str, Any]) -> RehearsalOptions:
        """The same options with some set anew, as JSON has them.

        :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
        """
        now = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return options_from_json({**now, **changes})


_READER: Final = TypeAdapter(RehearsalOptions)


def options_from_json(data: Mapping[str, Any]) -> RehearsalOptions:
    """Read options as JSON has them; what is not given keeps its default.

    :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
    """
    return checked(_READER, data)


def checked(reader: TypeAdapter[T], data: object) -> T:
    """Read ``data``, or say what does not fit and where, never quoting values (there may be keys among them)."""
    try:
        return reader.validate_python(data)
    except ValidationError as error:
        wrong = (
            f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}"
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ValueError("; ".join(wrong)) from None
