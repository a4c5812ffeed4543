"""How the Alibaba Cloud rehearsal behaves: keys, buckets, limits, durations, and a switch for every open fact.

The builder of the rehearsal, its actions and the control endpoints fill it in or read it, from JSON where it comes from
outside. Names that the other rehearsals have too mean the same here. It holds no state and decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey, checked

MAINLAND: Final = ("cn-hangzhou", "cn-shanghai", "cn-beijing", "cn-shenzhen", "cn-zhangjiakou", "cn-hongkong")
FORMATTING: Final = (
    "ap-northeast-1",
    "ap-southeast-5",
    "eu-central-1",
    "me-east-1",
    "us-east-1",
    "eu-west-1",
    "ap-southeast-1",
    "ap-southeast-3",
    "us-west-1",
)
"""Regions where the format of an export may be chosen."""
ROLE: Final = "AliyunECSImageExportDefaultRole"
"""The only role that exports may name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliyunOptions:
    """Everything that can be set about an Alibaba Cloud rehearsal. Durations are seconds, sizes GiB."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    keys: tuple[AcceptedKey, ...] = (REHEARSAL_KEY,)
    inactive_keys: frozenset[str] = frozenset()
    """Key ids that were switched off."""
    account_id: str = "1000000000000001"
    regions: tuple[str, ...] = (*MAINLAND, *FORMATTING)
    buckets: Mapping[str, str] = field(default_factory=dict)
    """Name -> region."""
    unwritable_buckets: frozenset[str] = frozenset()
    """Exports into these are refused with ``InvalidOSS.NotAuthorized``."""
    encrypted_buckets: frozenset[str] = frozenset()
    """Buckets with server-side encryption: exports into these are refused."""
    unreadable_buckets: frozenset[str] = frozenset()
    """HEAD on these answers 403."""
    roles: frozenset[str] = frozenset({ROLE})
    """Service roles that exist and may write to OSS."""
    assumable_roles: frozenset[str] = frozenset({"acs:ram::1000000000000001:role/imageferry"})
    """Resource names of the roles for which STS gives out temporary keys."""
    external_ids: Mapping[str, str] = field(default_factory=dict)
    """Role -> the ExternalId that it wants."""
    identity_providers: frozenset[str] = frozenset({"acs:ram::1000000000000001:oidc-provider/rehearsal"})
    identity_tokens: frozenset[str] = frozenset({"rehearsal-identity-token"})
    """What the identity providers have signed; everything else is refused."""
    longest_session_seconds: int = 3_600
    kms_keys: Mapping[str, str] = field(default_factory=dict)
    """Key id -> region."""
    resource_groups: frozenset[str] = frozenset()
    refused_destinations: Mapping[str, str] = field(default_factory=dict)
    """Region -> the code with which copies into it are refused."""
    denied: Mapping[str, str] = field(default_factory=dict)
    """Action -> the code with which it is refused to every key (``Forbidden.RAM``, ``UserNotInTheWhiteList``)."""

    requests_a_second: int | None = 5
    """Of one action in one region, whichever key; None: any. The vendor publishes no number."""
    rates: Mapping[str, int | None] = field(default_factory=dict)
    """Action -> the same for it alone; None: any."""
    throttled_until: Literal["minute", "second"] = "minute"
    """``minute``: a throttled action is refused until the next minute begins, as the vendor says; ``second``: only
    while its rate is too high."""
    throttle_code: str = "Throttling.User"
    retry_after_ms: int | None = None
    """The ``x-acs-retry-after`` header of throttled answers; None: there is none."""
    exports_running: int | None = 5
    """In a region; the vendor publishes no number."""
    exports_a_week: int | None = None
    """In a region; the vendor publishes no number."""
    week_begins: Literal["rolling", "monday"] = "rolling"
    """When a week's quota is whole again: seven days after each export, or on Mondays at 00:00 UTC."""
    copies_running: int | None = 5
    """In a region; more are taken and wait their turn."""
    copies_scope: Literal["source", "destination"] = "source"
    """Over which of its two regions a running copy is counted."""
    image_quota: int | None = 100
    """Custom images in a region."""
    export_seconds: float = 2.0
    copy_seconds: float = 3.0
    duration_spread: float = 0.0
    """0.2: a task takes between 0.8 and 1.2 of its time."""
    image_ready_seconds: float = 0.0
    """A new image is Creating for so long."""
    object_late_seconds: float = 0.0
    """Objects appear so long after their task is Finished."""
    object_grows_seconds: float = 0.0
    """Objects are first seen at half their size, and whole so much later; 0: invisible until whole."""
    clock_skew_seconds: float = 0.0
    """The rehearsal's clock is ahead by this."""

    # Switches: what the vendor's documents leave open, or say in two ways.
    signatures: frozenset[Literal["acs3", "rpc1"]] = frozenset({"acs3", "rpc1"})
    clock_tolerance_seconds: float = 900.0
    nonce_seconds: float = 1_800.0
    """How long a nonce may not be used again; 0: it may."""
    foreign_hosts: Literal["answer", "refuse"] = "answer"
    """Whether the host of one region answers for another, which RegionId names."""
    unknown_parameters: Literal["refused", "ignored"] = "refused"
    error_shape: Literal["usual", "lower_case", "xml"] = "usual"
    """How an error is told where JSON is asked for: with ``Code``, with ``code``, or as XML all the same."""
    http_statuses: Mapping[str, int] = field(default_factory=dict)
    """Code -> HTTP status, where it is to differ from the table."""
    encoded_denials: bool = False
    """Whether refusals for missing permission carry AccessDeniedDetail."""
    wrappers: Literal["object", "list"] = "object"
    """``list``: what should be ``{"Task": […]}`` is a list that holds it, as in a sample of the vendor."""
    short_times: bool = False
    """Whether times in answers are without their seconds."""
    unknown_ids: Literal["empty", "error"] = "empty"
    """What DescribeImages says of ids it does not have: nothing, or ``InvalidImageId.NotFound`` for the request."""
    image_ids_most: int = 100
    """How many ids one ImageId may hold; newer documents speak of one."""
    order: Literal["newest", "oldest", "none"] = "newest"
    """How DescribeImages sorts; none: as chance has it, but the same on every page."""
    pending_word: Literal["Creating", "Waiting"] = "Creating"
    """The status of an image that is not whole yet."""
    failed_word: Literal["CreateFailed", "UnAvailable"] = "CreateFailed"
    """The status of an image that could not be made."""
    shows_encrypted: bool = True
    """Whether disks of an image say whether they are encrypted."""
    shows_own_account: bool = False
    """Whether own images have ImageOwnerId, which is documented for others' only."""
    task_id_key: Literal["TaskId", "ExportTaskId", "both"] = "TaskId"
    """The name of the task in ExportImage's answer."""
    task_id_prefix: Literal["t", "tsk"] = "t"
    task_shows_seconds: float = 0.0
    """A new task is missing from DescribeTasks and DescribeTaskAttribute for so long."""
    task_kept_seconds: float | None = None
    """How long an ended task can be asked for; None: for ever."""
    task_action_form: Literal["ExportImage", "EXPORT_IMAGE"] = "ExportImage"
    waiting_word: Literal["", "Waiting", "Pending"] = ""
    """The status of a task in the first tenth of its time; empty: Processing."""
    failed_as: Literal["Failed", "Finished"] = "Failed"
    """The status of a task that failed; Finished: only FailedCount and ErrorCode tell."""
    cancelled_as: Literal["Failed", "Finished", "Deleted", "Cancelled"] = "Failed"
    """The status of a task that somebody cancelled."""
    support_cancel_as: Literal["boolean", "text"] = "boolean"
    objects_shown: Literal["always", "finished", "never"] = "always"
    """When a task tells the names of its objects."""
    names_objects: Literal["all", "system"] = "all"
    """Which of them: every disk's, or the system disk's alone."""
    shows_resource_id: bool = True
    """Whether a task says of which image it is."""
    one_entry: bool = False
    """Whether every object of a task stands in one OperationProgress instead of each in its own."""
    key_form: str = "{prefix}_{image}_{disk}"
    """An object's key without its extension; ``{task}`` may stand in it too."""
    bare_key_form: str = "{image}_{disk}"
    """The same without a prefix."""
    packed_raw: bool = True
    """Whether raw objects end with ``.raw.tar.gz``; else with ``.raw``, as in an older sample."""
    format_regions: frozenset[str] = frozenset(FORMATTING)
    """Where an export may have another format than raw."""
    format_elsewhere: Literal["refused", "raw"] = "refused"
    """What becomes of another format in the other regions: an error, or raw objects all the same."""
    bucket_elsewhere_code: Literal["InvalidOSSBucket.NotFound", "InvalidOSSBucket.NotMatched"] = (
        "InvalidOSSBucket.NotFound"
    )
    """The answer to a bucket that exists in another region than the image."""
    role_code: Literal["NoSetRoletoECSServiceAcount", "NoSetRoletoECSServiceAccount"] = "NoSetRoletoECSServiceAcount"
    bad_target: Literal["call", "task"] = "call"
    """A bucket or role that cannot be used: refused at once, or the task fails for it."""
    concurrent_exports: bool = False
    """Whether an image may be exported while another export of it runs."""
    exports_during_copies: bool = True
    copies_during_exports: bool = True
    dry_run_known: bool = True
    """Whether ExportImage has DryRun; older documents do not."""
    dry_run_shape: Literal["error", "answer"] = "error"
    """A dry run that passes: the code ``DryRunOperation``, or an answer without TaskId."""
    copy_busy_code: Literal["OperationDenied.ImageCopyConflict", "OperationDenied.ImageCopying"] = (
        "OperationDenied.ImageCopyConflict"
    )
    """The answer to a copy of an image that is being copied."""
    encrypted_copies: Literal["asked", "always"] = "asked"
    """``asked``: an encrypted image is only copied with Encrypted; ``always``: it is, and its copy is encrypted."""
    kms_key_region: Literal["destination", "source"] = "destination"
    """Where the key of KMSKeyId must be."""
    names_unique: bool = True
    """Whether a copy is refused whose name its region has already."""
    copies_keep_tags: bool = False
    copy_failure: Literal["state", "gone"] = "state"
    """A copy that fails: ``failed_word``, or the new id vanishes."""
    copy_shows_seconds: float = 0.0
    """A new copy is not found in its region for so long."""
    client_token_seconds: float | None = None
    """How long a client token is remembered; None: for ever."""
    client_token_keeps_refusals: bool = False
    """Whether a refusal is repeated for the same token, too."""
    mismatch_code: Literal[
        "IdempotentParameterMismatch", "IdempotenceParamNotMatch", "InvalidIdempotenceParameter.Mismatch"
    ] = "IdempotentParameterMismatch"
    """The answer to a client token that comes with other parameters."""
    identity_granted: bool = True
    """Whether GetCallerIdentity needs no permission."""
    path_style: bool = True
    """Whether a bucket may stand in the path, as a single address needs it; the vendor wants it in the host."""
    public_hosts: bool = True
    """Whether the public hosts of mainland buckets serve data; not for accounts since March 2025."""
    storage_checks_region: bool = True
    """Whether the region in the scope of a storage signature must be the bucket's."""
    storage_lists: bool = True
    """Whether a bucket may be listed; else that answers 403."""
    storage_error_header: bool = True
    """Whether errors of HEAD carry ``x-oss-err`` and ``x-oss-ec``."""

    def rate(self, action: str) -> int | None:
        """Requests a second that ``action`` may take in one region; None: any."""
        return self.rates.get(action, self.requests_a_second)

    def changed(self, changes: Mapping[str, Any]) -> AliyunOptions:
        """The same options with some set anew, as JSON has them.

        :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
        """
        now = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return aliyun_options({**now, **changes})


_READER: Final = TypeAdapter(AliyunOptions)


def aliyun_options(data: Mapping[str, Any]) -> AliyunOptions:
    """Read options as JSON has them; what is not given keeps its default.

    :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
    """
    return checked(_READER, data)
