"""How the JD Cloud rehearsal behaves: keys, buckets, quotas, durations, and a switch for every open fact.

The builder of the rehearsal, its actions and the control endpoints fill it in or read it, from JSON where it comes from
outside. Names that the Tencent rehearsal has too mean the same here. It holds no state and decides nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey, checked

REGIONS: Final = ("cn-north-1", "cn-east-1", "cn-east-2", "cn-south-1")
ROLE: Final = "ImageExportRole"
"""The service role that may write to the buckets, when none is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JdcloudOptions:
    """Everything that can be set about a JD Cloud rehearsal. Durations are seconds, sizes GiB."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    keys: tuple[AcceptedKey, ...] = (REHEARSAL_KEY,)
    account_id: str = "rehearsal-pin"
    """The account's pin, as images, events and the identity service name it."""
    regions: tuple[str, ...] = REGIONS
    buckets: Mapping[str, str] = field(default_factory=dict)
    """Name -> region."""
    unwritable_buckets: frozenset[str] = frozenset()
    """The role may not write to these."""
    unreadable_buckets: frozenset[str] = frozenset()
    """HEAD on these answers 403."""
    roles: frozenset[str] = frozenset({ROLE})
    """Service roles that exports may name."""
    assumable_roles: frozenset[str] = frozenset({"jrn:iam::000000000001:role/imageferry"})
    """Resource names of the roles for which temporary keys are given out."""
    longest_session_seconds: int = 43_200
    refused_destinations: Mapping[str, str] = field(default_factory=dict)
    """Region -> the status with which copies into it are refused."""
    denied: Mapping[str, str] = field(default_factory=dict)
    """Operation -> the status with which it is refused to every key."""

    rates: Mapping[str, int | None] = field(default_factory=dict)
    """Operation -> requests a second; no entry, or None: only the rate of its whole service holds."""
    requests_a_minute: int | None = 1_000
    """Of one service; another page of the vendor says 60,000."""
    count_rate_by: Literal["region", "account"] = "region"
    throttle_code: Literal["RATE_LIMIT", "RATE_LIMIT_EXCEEDED", "HTTP_RATE_LIMIT_EXCEEDED"] = "RATE_LIMIT"
    retry_after_seconds: int | None = None
    """The Retry-After header of throttled answers; None: there is none."""
    exports_running: int | None = None
    copies_running: int | None = None
    """The vendor publishes neither."""
    running_scope: Literal["region", "account"] = "region"
    running_limit_message: str = "Image task limit exceeded"
    """The words of QUOTA_EXCEEDED where as many tasks run as may."""
    image_quota: int | None = 5
    """Private images in a region."""
    snapshot_quota: int | None = 15
    """Snapshots in a region."""
    export_seconds: float = 2.0
    copy_seconds: float = 3.0
    duration_spread: float = 0.0
    """0.2: a task takes between 0.8 and 1.2 of its time."""
    image_ready_seconds: float = 0.0
    """A new image is pending for so long."""
    object_late_seconds: float = 0.0
    """Objects appear so long after their task has ended."""
    object_grows_seconds: float = 0.0
    """Objects are first seen at half their size, and whole so much later; 0: invisible until whole."""
    clock_skew_seconds: float = 0.0
    """The rehearsal's clock is ahead by this."""

    # Switches: what the vendor's documents leave open, or say in two ways.
    algorithms: frozenset[Literal["JDCLOUD2", "JDCLOUD3"]] = frozenset({"JDCLOUD2", "JDCLOUD3"})
    headers_to_sign: frozenset[str] = frozenset({"host"})
    """Headers that every signature must cover; the vendor's SDKs disagree about the others."""
    clock_tolerance_seconds: float | None = 900.0
    """How far a signed time may be off; None: as far as it likes."""
    nonce_seconds: float = 900.0
    """How long a nonce may not be used again; 0: it may."""
    session_encoding: Literal["base64", "raw", "either"] = "base64"
    """How the session token stands in its header."""
    gateway_codes: Literal["access_error", "apigw"] = "access_error"
    """What the gateway calls a refused signature: always ACCESS_ERROR, or by its reason."""
    http_statuses: Mapping[str, int] = field(default_factory=dict)
    """Status -> HTTP status and error code, where they are to differ from the table (CONFLICT: 409)."""
    errors_with_status_200: bool = False
    """Whether errors come with HTTP status 200."""
    zone_hours: float = 8.0
    """The zone of times that are written without one."""
    unknown_ids: Literal["empty", "error"] = "empty"
    """What describeImages says of ids it does not have: nothing, or NOT_FOUND for the request."""
    limit_cuts_ids: bool = True
    """Whether pageSize (20 unless given) also cuts an answer to ids."""
    pending_word: str = "pending"
    """The status of a new image that is not ready."""
    state_while_exporting: str = "ready"
    state_while_copying: str = "ready"
    """The status of a source image meanwhile."""
    shows_imported: bool = True
    shows_encrypted: Literal["encrypted", "encrypt", "absent"] = "encrypted"
    """The name of that field of a disk; absent: only the disk service tells."""
    task_action_required: bool = False
    task_page_sizes: Literal["10-100", "1-10"] = "10-100"
    task_action_suffix: str = ""
    """``Task``: actions are ExportImageTask, as in one sample of the vendor."""
    task_shows_seconds: float = 0.0
    """A new task is missing from imageTasks for so long."""
    task_id_key: Literal["taskId", "exportTaskId"] = "taskId"
    """The name of the task in exportImage's result."""
    task_ids_are_numbers: bool = False
    failure_field: Literal["errorInfo", "message"] = "errorInfo"
    """Where a failed task says why."""
    names_objects: Literal["ossObjects", "ossObject", "none"] = "ossObjects"
    """What a finished task tells of its objects: every key, the system disk's alone, or nothing."""
    key_form: str = "{prefix}_exportImage_{image}"
    """An object's key; data disks have their device's name behind it."""
    bare_key_form: str = "exportImage_{image}"
    """The same without a prefix."""
    key_suffix: str = ""
    public_oss_url: bool = True
    """Whether ossUrl may name the public host of a bucket as well as the internal one."""
    bad_target: Literal["call", "task"] = "call"
    """A role or bucket that cannot be used: refused at once, or the task fails for it."""
    bad_target_code: str = "FAILED_PRECONDITION"
    all_disks_known: bool = True
    """Whether exportImage takes isAllDisk; an older server does not."""
    client_token_seconds: float | None = None
    """How long a client token is remembered; None: for ever."""
    client_token_keeps_refusals: bool = False
    """Whether a refusal is repeated for the same token, too."""
    busy_words: Literal["image", "task"] = "image"
    """``The image … is busy`` or ``Conflict with underlay image task …``."""
    concurrent_exports: bool = False
    """Whether an image may be exported while another export of it runs."""
    exports_during_copies: bool = False
    copies_during_exports: bool = False
    copy_names_known: bool = True
    """Whether copyImages takes name and description; an older server does not."""
    same_region_copies: bool = False
    shared_copies: bool = False
    """Whether images that others share may be copied."""
    copy_ids_most: int = 10
    partial_copies: bool = False
    """A request for several images of which one is refused: copy the good ones, or nothing."""
    copy_failure: Literal["state", "gone"] = "state"
    """A copy that fails: ``error``, or the new id vanishes."""
    copy_shows_seconds: float = 0.0
    """A new copy is not found in its region for so long."""
    storage_checks_region: bool = True
    """Whether a bucket is only found under a signature for its own region."""
    storage_content_hash: Literal["either", "required", "refused"] = "either"
    """Whether the storage wants ``x-amz-content-sha256``, which it is said not to support: else it answers 400."""
    storage_takes_tokens: bool = True
    """Whether the storage lets temporary keys in."""

    def changed(self, changes: Mapping[str, Any]) -> JdcloudOptions:
        """The same options with some set anew, as JSON has them.

        :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
        """
        now = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return jdcloud_options({**now, **changes})


_READER: Final = TypeAdapter(JdcloudOptions)


def jdcloud_options(data: Mapping[str, Any]) -> JdcloudOptions:
    """Read options as JSON has them; what is not given keeps its default.

    :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
    """
    return checked(_READER, data)
