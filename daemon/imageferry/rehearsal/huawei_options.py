"""How the Huawei Cloud rehearsal behaves: keys, projects, buckets, limits, durations, and a switch for every open fact.

The builder of the rehearsal, its operations and the control endpoints fill it in or read it, from JSON where it comes
from outside. Names that the other rehearsals have too mean the same here. It holds no state and decides nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pydantic import ConfigDict, TypeAdapter

from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey, checked

MAINLAND: Final = (
    "cn-east-2",
    "cn-east-3",
    "cn-north-1",
    "cn-north-4",
    "cn-north-9",
    "cn-south-1",
    "cn-southwest-2",
)
OUTSIDE: Final = ("af-south-1", "ap-southeast-1", "ap-southeast-3", "eu-west-101", "la-south-2")
AGENCY: Final = "ims_copy_agency"
"""The agency that may copy into every region, when none is configured."""


@dataclass(frozen=True, slots=True)
class User:
    """An IAM user who may get a token for a password."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HuaweiOptions:
    """Everything that can be set about a Huawei Cloud rehearsal. Durations are seconds, sizes GiB."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    keys: tuple[AcceptedKey, ...] = (REHEARSAL_KEY,)
    account_id: str = "a0000000000000000000000000000001"
    """The account's id (its domain), as IAM and STS name it."""
    account_name: str = "rehearsal"
    users: tuple[User, ...] = ()
    regions: tuple[str, ...] = (*MAINLAND, *OUTSIDE)
    projects: Mapping[str, str] = field(default_factory=dict)
    """Project name -> id. Every region has a main project that is named after it, whose id is made up when it is not
    here; ``<region>_<name>`` is another one in that region."""
    buckets: Mapping[str, str] = field(default_factory=dict)
    """Name -> region."""
    bucket_classes: Mapping[str, str] = field(default_factory=dict)
    """Bucket -> storage class (``WARM``, ``COLD``), where it is not STANDARD."""
    parallel_buckets: frozenset[str] = frozenset()
    """Buckets that are parallel file systems."""
    unwritable_buckets: frozenset[str] = frozenset()
    """Exports into these are refused with IMG.0069."""
    unreadable_buckets: frozenset[str] = frozenset()
    """HEAD on these answers 403."""
    agencies: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {AGENCY: ()})
    """IMS agency -> the regions whose projects it has rights on; empty: every region."""
    assumable_agencies: frozenset[str] = frozenset({"imageferry"})
    """Agencies for which IAM gives out temporary keys."""
    assumable_urns: frozenset[str] = frozenset({"iam::a0000000000000000000000000000001:agency:imageferry"})
    """Agencies for which STS gives out temporary keys against an identity token."""
    identity_providers: frozenset[str] = frozenset(
        {"rehearsal-idp", "iam::a0000000000000000000000000000001:oidcProvider:rehearsal-idp"}
    )
    identity_tokens: frozenset[str] = frozenset({"rehearsal-identity-token"})
    """What the identity providers have signed; everything else is refused."""
    refused_destinations: Mapping[str, str] = field(default_factory=dict)
    """Region -> the code with which copies into it are refused."""
    denied: Mapping[str, str] = field(default_factory=dict)
    """Operation -> the code with which it is refused to every key (``IAM.0082``, ``APIGW.0302``, ``IMG.0238``)."""

    requests_a_second: int | None = 5
    """Of the whole image service; None: any. The vendor publishes no number."""
    rates: Mapping[str, int | None] = field(default_factory=dict)
    """Operation -> requests a second, beside the rate of the whole service; None or no entry: none of its own."""
    count_rate_by: Literal["region", "account"] = "region"
    retry_after_seconds: int | None = None
    """The Retry-After header of throttled answers; None: there is none."""
    exports_running: int | None = 5
    """In a region; the vendor publishes no number."""
    copies_running: int | None = 5
    exports_scope: Literal["region", "account"] = "region"
    copies_scope: Literal["region", "account"] = "account"
    """Over what running tasks are counted."""
    image_quota: int | None = 50
    """Private images in a region."""
    bad_signatures_most: int | None = 5
    """One more bad signature in a row than this, and the key is locked; None: never."""
    lock_seconds: float = 300.0
    export_seconds: float = 2.0
    copy_seconds: float = 3.0
    duration_spread: float = 0.0
    """0.2: a task takes between 0.8 and 1.2 of its time."""
    init_seconds: float = 0.0
    """A job is INIT for so long before it is RUNNING."""
    image_ready_seconds: float = 0.0
    """A new image is queued for so long."""
    object_late_seconds: float = 0.0
    """Objects appear so long after their job's SUCCESS."""
    object_early_seconds: float = 0.0
    """Objects appear so long before their job's SUCCESS."""
    object_grows_seconds: float = 0.0
    """Objects are first seen at half their size, and whole so much later; 0: invisible until whole."""
    copy_late_seconds: float = 0.0
    """A copy is active so long after its job's SUCCESS."""
    clock_skew_seconds: float = 0.0
    """The rehearsal's clock is ahead by this."""

    # Switches: what the vendor's documents leave open, or say in two ways.
    headers_to_sign: frozenset[str] = frozenset({"host", "x-sdk-date"})
    """Headers that every signature must cover; the documents name only the date."""
    project_header_needed: bool = False
    """Whether a call needs X-Project-Id even where the host tells the region."""
    project_mismatch_code: str = "IMG.0030"
    """The answer to a project that is not the account's, or not of the region that the host names."""
    projects_listed: bool = True
    """Whether IAM shows any project to this account's keys."""
    projects_by_prefix: bool = False
    """Whether ``name`` finds every project of a region instead of the one with that name."""
    domains_listed: bool = True
    """Whether ``/v3/auth/domains`` tells the account; STS tells it always."""
    skew_words: Literal["signature expired", "verify aksk signature fail"] = "signature expired"
    """What a wrong clock is called."""
    skew_counts_to_lock: bool = True
    echoes_canonical: bool = True
    """Whether the refusal of a signature quotes the canonical request, tokens and all."""
    run_out_code: Literal["APIGW.0307", "APIGW.0301"] = "APIGW.0307"
    """The answer to a user's token that has run out."""
    iam_numeric_codes: bool = True
    """Whether IAM's own errors have a number for a code, or ``error_code`` and ``error_msg``."""
    gateway_prefix: Literal["APIGW", "APIG"] = "APIGW"
    http_statuses: Mapping[str, int] = field(default_factory=dict)
    """Code -> HTTP status, where it is to differ from the table (IMG.0026: 403)."""
    image_envelope: Literal["nested", "flat"] = "nested"
    """Errors of the image service: ``error.code``, or ``error_code``."""
    encoded_denials: bool = True
    """Whether a denial by policy carries ``encoded_authorization_message``."""
    missing_image_code: str = "IMG.0027"
    missing_job_status: Literal[400, 404] = 404
    missing_job_code: str = ""
    """The code of an unknown job; empty: a bare status without an envelope."""
    job_paths: frozenset[Literal["progress", "project"]] = frozenset({"progress", "project"})
    """``/v1/cloudimages/job/{id}`` and ``/v1/{project}/jobs/{id}``, the older one."""
    job_kept_seconds: float | None = None
    """How long an ended job is told of; None: for ever."""
    job_words: Literal["upper", "lower", "texts"] = "upper"
    """``SUCCESS FAIL``, the same in lower case, or ``success failed`` as other texts have it."""
    job_times: Literal["iso", "old"] = "iso"
    """``2024-11-06T06:46:51.929Z`` or ``06-Nov-2024 06:46:51:929``."""
    percent_scale: Literal[1, 100] = 1
    failure_at: Literal["job", "entities", "sub_job", "nowhere"] = "job"
    """Where a failed job says why."""
    failed_job_code: str = "IMG.0069"
    """Why a job fails that is made to fail without a code of its own."""
    sub_jobs: bool = False
    """Whether an export shows the job that does its work."""
    copy_names_image: Literal["always", "at_end", "source_first", "never"] = "always"
    """When a copy's job names the new image; ``source_first``: while it runs, it names its source."""
    missing_format: Literal["refused", "vhd"] = "refused"
    """A normal export without ``file_format``; another of the vendor's tables has a default."""
    encrypted_quick_code: str = "IMG.0105"
    """The answer to a quick export of an encrypted image."""
    size_measured: Literal["image_size", "min_disk"] = "image_size"
    """What the 128 GiB rule of exports measures."""
    normal_export_gib: int | None = 128
    """The largest export that need not be quick; some regions have no such limit."""
    too_large_code: Literal["IMG.0160", "IMG.0059"] = "IMG.0160"
    """The answer to a larger one."""
    lineages: frozenset[str] = frozenset({"Windows", "SUSE", "RedHat", "Oracle Linux"})
    """Platforms whose images are refused unless they were registered from a file."""
    lineage_code: str = "IMG.0071"
    key_longest: int = 128
    """Characters of an object's key."""
    key_suffix: bool = False
    """Whether a key without the format's extension gets it."""
    bad_target: Literal["call", "job"] = "call"
    """A bucket that cannot be used: refused at once, or the job fails for it."""
    bucket_class_code: str = "IMG.0069"
    """The answer to a bucket that is not of the class STANDARD."""
    exports_during_copies: bool = True
    copies_during_exports: bool = False
    concurrent_copies: bool = True
    copy_busy_code: str = "IMG.0046"
    """The answer to a task for an image that is being copied, where that is not allowed."""
    large_copy_regions: frozenset[str] = frozenset({"cn-south-1", "cn-east-3", "cn-east-2", "cn-north-4"})
    """Copies from or to these may have 300 GiB; the international pages know none."""
    windows_copies: bool = True
    """Whether Windows images may be copied; on the international site they may not."""
    names_checked: Literal["call", "job", "never"] = "call"
    """When a copy is refused whose name is taken."""
    copies_show_origin: bool = True
    """Whether a copy's ``__data_origin`` names its source."""
    copies_keep_tags: bool = False
    copy_failure: Literal["killed", "gone"] = "gone"
    """A copy that fails: the status killed, or the new image vanishes."""
    copy_shows_seconds: float = 0.0
    """A new copy is missing from lists for so long; its name is taken at once."""
    pending_status: Literal["queued", "saving"] = "saving"
    """The status of an image that is not active yet."""
    list_most: int = 500
    """The most images in an answer."""
    list_over: Literal["cut", "refused"] = "cut"
    """What becomes of a larger ``limit``."""
    page_info: bool = True
    """Whether lists carry ``page_info.next_marker``, as newer services do."""
    shown_size: Literal["bytes", "zero", "absent"] = "bytes"
    """``__image_size`` of an image."""
    shows_whole_image: bool = False
    """Whether a full-ECS image says ``__whole_image``."""
    shows_encrypted_flag: bool = False
    """Whether ``__system__encrypted`` stands beside ``__system__cmkid``."""
    tag_separator: Literal["=", "."] = "="
    """Between key and value in the tags of a list."""
    storage_schemes: frozenset[Literal["obs", "v4"]] = frozenset({"obs", "v4"})
    storage_v4_hash: Literal["any", "documented"] = "any"
    """``documented``: only UNSIGNED-PAYLOAD (or streaming) as the payload's hash."""
    storage_checks_region: bool = False
    """Whether the region in the scope of a V4 signature must be the bucket's; one SDK writes ``region`` there."""
    path_style: bool = True
    """Whether a bucket may stand in the path; else only in the host."""
    storage_elsewhere_status: Literal[301, 307, 403] = 301
    """The answer of a host of another region than the bucket's."""

    def changed(self, changes: Mapping[str, Any]) -> HuaweiOptions:
        """The same options with some set anew, as JSON has them.

        :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
        """
        now = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        return huawei_options({**now, **changes})

    def project_id(self, name: str) -> str:
        """The id of a project; empty where there is no project of that name."""
        if name in self.projects:
            return self.projects[name]
        return hashlib.sha256(f"project {name}".encode()).hexdigest()[:32] if name in self.regions else ""

    def project_name(self, project_id: str) -> str:
        """The inverse of :meth:`project_id`; empty where there is no project of that id."""
        return next((name for name in self.project_names() if self.project_id(name) == project_id), "")

    def project_names(self) -> list[str]:
        """Every project in a region of the rehearsal, main projects first."""
        others = (name for name in self.projects if name not in self.regions)
        return [*self.regions, *(name for name in others if region_of(name) in self.regions)]


def region_of(project_name: str) -> str:
    """The region that a project is in."""
    return project_name.partition("_")[0]


_READER: Final = TypeAdapter(HuaweiOptions)


def huawei_options(data: Mapping[str, Any]) -> HuaweiOptions:
    """Read options as JSON has them; what is not given keeps its default.

    :raises ValueError: a name is unknown or a value does not fit; the message says which, without the value.
    """
    return checked(_READER, data)
