"""Every registered cloud as the contract suite sees it: one entry a cloud, and nothing else knows their words.

To add a cloud, add its entry to ``CLOUD_TABLE``; the contract suite, the walks and the bench then run over it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from imageferry.core.job import ActionKind
from imageferry.rehearsal.huawei_options import AGENCY
from imageferry.rehearsal.jdcloud_options import ROLE


class Code(NamedTuple):
    """A refusal in the vendor's words; the message counts where the vendor's code alone says too little."""

    code: str
    message: str = "rehearsed"


class Doubt(NamedTuple):
    """Something that nobody could confirm about a vendor, and the rehearsal's switches for the other answer."""

    about: str
    options: Mapping[str, Any]
    alone: bool = False
    """Only by itself: together with others nothing at all would tell what became of a request, or all would be slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One cloud: where its rehearsal has what, how it says no, and what is not sure about it."""

    cloud: str
    region: str
    other_region: str
    third_region: str
    buckets: tuple[str, str] = ("archive-one", "archive-two")
    """Both in ``region``."""
    apis: Mapping[ActionKind, str]
    """The names that the rehearsal counts and misbehaves by."""
    looks: str
    reads: tuple[str, ...]
    """Every call of the image API that starts nothing."""
    options: Mapping[ActionKind, Mapping[str, Any]] = field(default_factory=dict)
    """What a policy has to say to be allowed."""
    other_export: Mapping[str, Any]
    """What a policy may say as well, for exports that are not like the usual ones."""
    every_disk: Mapping[str, Any] = field(default_factory=dict)
    """What a policy says to have the data disks exported too; empty where exports never have them."""
    roomy: Mapping[str, Any] = field(default_factory=dict)
    """Options of a rehearsal that keeps no limit of its own."""
    environ: tuple[str, str, str]
    """The variables of an access key, its secret and its token."""
    nobody: str
    """The id of an image that the cloud does not have."""
    malformed: str
    busy: Mapping[ActionKind, Code]
    running_quota: Mapping[ActionKind, Code]
    """Only where the vendor has a code that is about running tasks."""
    other_quota: Mapping[ActionKind, Code]
    permanent_image: Mapping[ActionKind, Code]
    permanent_config: Mapping[ActionKind, Code]
    copy_never_shows: Mapping[str, Any] = field(default_factory=lambda: {"copy_failure": "gone"})
    """Options with which a copy that fails vanishes, and with which it shows as failed."""
    copy_shows_failed: Mapping[str, Any] = field(default_factory=lambda: {"copy_failure": "state"})
    temporary_keys: Mapping[str, Any] = field(default_factory=dict)
    """Options without which the cloud's storage could not be asked with temporary keys at all."""
    doubts: Mapping[str, Doubt] = field(default_factory=dict)

    @property
    def mixed(self) -> dict[str, Any]:
        """Every doubt answered the other way at once; of those that set the same switch, the first."""
        mixed: dict[str, Any] = {}
        for doubt in self.doubts.values():
            if not doubt.alone and not mixed.keys() & doubt.options.keys():
                mixed |= doubt.options
        return mixed


TENCENT: Final = Entry(
    cloud="tencent",
    region="ap-guangzhou",
    other_region="ap-shanghai",
    third_region="ap-beijing",
    buckets=("archive-1250000000", "second-1250000000"),
    apis={"export": "ExportImages", "copy": "SyncImages"},
    looks="DescribeImages",
    reads=("DescribeImages",),
    other_export={"disks": "system", "format": "vmdk", "prefix": "walk"},
    every_disk={"disks": "all"},
    roomy={
        "exports_running": None,
        "copies_running": None,
        "rates": {"ExportImages": None, "SyncImages": None, "DescribeImages": None},
    },
    environ=("TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", "TENCENTCLOUD_TOKEN"),
    nobody="img-00000000",
    malformed="img-NOT-AN-ID",
    busy={
        "export": Code("InvalidParameterValue.InvalidImageState"),
        "copy": Code("InvalidParameterValue.InvalidImageState"),
    },
    running_quota={"export": Code("LimitExceeded.ExportImageTaskLimitExceeded")},
    other_quota={"export": Code("LimitExceeded"), "copy": Code("LimitExceeded")},
    permanent_image={
        "export": Code("UnsupportedOperation.WindowsImageExportUnsupported"),
        "copy": Code("InvalidImageId.TooLarge"),
    },
    permanent_config={
        "export": Code("InvalidParameterValue.BucketNotFound"),
        "copy": Code("UnsupportedOperation.Region"),
    },
    doubts={
        "unknown ids": Doubt("an unknown id spoils a whole DescribeImages", {"unknown_ids": "error"}),
        "nameless culprit": Doubt(
            "a refusal of ids does not name the bad one", {"unknown_ids": "error", "names_culprit": False}
        ),
        "whole answers": Doubt("Limit does not cut an answer to ImageIds", {"limit_cuts_ids": False}),
        "upper case": Doubt("an object's extension is in upper case", {"upper_case_extension": True}),
        "slash": Doubt("an object's key begins with the slash of its path", {"keys_keep_slash": True}),
        "dry run refused": Doubt("a dry run that passes is answered with a code", {"dry_run_shape": "error"}),
        "blind dry run": Doubt(
            "a dry run sees neither bucket nor role", {"dry_run_sees_bucket": False, "dry_run_sees_role": False}
        ),
        "dry run sees no task": Doubt(
            "a dry run does not see that the image is busy", {"dry_run_sees_busy": False}, alone=True
        ),
        "dry run counts": Doubt("a dry run is refused while as many tasks run as may", {"dry_run_sees_limit": True}),
        "busy exports show": Doubt("an image shows that it is being exported", {"state_while_exporting": "SYNCING"}),
        "busy copies hide": Doubt("an image does not show that it is being copied", {"state_while_copying": "NORMAL"}),
        "copies at once": Doubt("an image may be copied twice at once", {"concurrent_copies": True}),
        "busy copy": Doubt("how a copy of a busy image is refused", {"copy_busy_code": "MutexOperation.TaskRunning"}),
        "copy fails unseen": Doubt("a failed copy vanishes instead of showing", {"copy_failure": "gone"}),
        "objects late": Doubt("objects show only some time after the image is free", {"object_late_seconds": 20.0}),
        "objects grow": Doubt("objects are seen before they are whole", {"object_grows_seconds": 20.0}),
        "counted in all": Doubt("running tasks are counted over the account", {"running_scope": "account"}),
        "storage region": Doubt("the storage wants the bucket's region signed", {"storage_checks_region": True}),
        "forms": Doubt(
            "how times, empty lists and answers are written",
            {
                "zulu_times": False,
                "null_for_empty": False,
                "answer_type": "text/plain",
                "deprecated_warning": True,
                "stale_sync_percent": False,
            },
        ),
    },
)

HUAWEI: Final = Entry(
    cloud="huawei",
    region="cn-north-4",
    other_region="cn-east-3",
    third_region="cn-south-1",
    apis={"export": "ExportImage", "copy": "CopyImageCrossRegion"},
    looks="ListImages",
    reads=("ListImages", "ShowJobProgress", "ShowJob"),
    options={"export": {"format": "qcow2"}, "copy": {"agency": AGENCY}},
    other_export={"quick": True, "prefix": "walk/of"},
    roomy={"exports_running": None, "copies_running": None, "requests_a_second": None, "image_quota": None},
    environ=("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    nobody="00000000-0000-4000-8000-000000000000",
    malformed="not-an-id",
    busy={"export": Code("IMG.0046"), "copy": Code("IMG.0148")},
    running_quota={"export": Code("IMG.0060"), "copy": Code("IMG.0149")},
    other_quota={"export": Code("IMG.0116"), "copy": Code("IMG.0015")},
    permanent_image={"export": Code("IMG.0071"), "copy": Code("IMG.0143")},
    permanent_config={"export": Code("IMG.0058"), "copy": Code("IMG.0145")},
    copy_shows_failed={"copy_failure": "killed"},
    doubts={
        "project header": Doubt("every call needs X-Project-Id", {"project_header_needed": True}),
        "gateway name": Doubt("the gateway calls itself APIG", {"gateway_prefix": "APIG"}),
        "flat errors": Doubt("errors stand in a flat envelope", {"image_envelope": "flat"}),
        "old job path": Doubt("jobs are told of on the older path only", {"job_paths": ["project"]}),
        "jobs forgotten": Doubt("an ended job is soon forgotten", {"job_kept_seconds": 5.0}),
        "jobs forgotten with 400": Doubt("how an unknown job is refused", {"missing_job_status": 400}),
        "job words": Doubt("a job's end is called success or failed", {"job_words": "texts"}),
        "job in lower case": Doubt("a job's end is written in lower case", {"job_words": "lower"}),
        "job times": Doubt("how a job's times and percents are written", {"job_times": "old", "percent_scale": 100}),
        "reason below": Doubt("why a job failed stands in a job below it", {"failure_at": "sub_job"}),
        "reason in entities": Doubt("why a job failed stands in its entities", {"failure_at": "entities"}),
        "no reason": Doubt("a failed job does not say why", {"failure_at": "nowhere"}),
        "sub jobs": Doubt("an export shows the job that does its work", {"sub_jobs": True}),
        "copy named late": Doubt("a copy's job names the new image at its end only", {"copy_names_image": "at_end"}),
        "copy names source": Doubt("a copy's job first names its source", {"copy_names_image": "source_first"}),
        "copy nameless": Doubt("a copy's job never names the new image", {"copy_names_image": "never"}),
        "object before end": Doubt("the object shows before its job is over", {"object_early_seconds": 1.0}),
        "object grows": Doubt("the object is seen before it is whole", {"object_grows_seconds": 20.0}),
        "copies hold exports": Doubt("an image is not exported while it is copied", {"exports_during_copies": False}),
        "copies hold copies": Doubt("an image is not copied twice at once", {"concurrent_copies": False}),
        "copies share": Doubt("an image may be copied while it is exported", {"copies_during_exports": True}),
        "names late": Doubt("a taken name fails the job, not the call", {"names_checked": "job"}),
        "names free": Doubt("a name may be used twice", {"names_checked": "never"}),
        "no origin": Doubt("a copy does not say what it was made from", {"copies_show_origin": False}),
        "failed copies show": Doubt("a failed copy shows as killed", {"copy_failure": "killed"}),
        "copies show late": Doubt("a new copy is not listed for a while", {"copy_shows_seconds": 20.0}),
        "copy late": Doubt("a copy is active some time after its job is over", {"copy_late_seconds": 20.0}),
        "no page info": Doubt("lists do not name the next page", {"page_info": False, "list_most": 100}),
        "short lists": Doubt("a list gives fewer images than asked for", {"list_most": 20}),
        "export scope": Doubt("running exports are counted over the account", {"exports_scope": "account"}),
        "missing image": Doubt("how an image that is not there is refused", {"missing_image_code": "IMG.0144"}),
        "image forms": Doubt(
            "how sizes, tags and encryption of an image are written",
            {
                "shown_size": "absent",
                "shows_whole_image": True,
                "shows_encrypted_flag": True,
                "tag_separator": ".",
                "pending_status": "queued",
            },
        ),
        "storage": Doubt("the storage takes its own signatures only", {"storage_schemes": ["obs"]}),
        "key suffix": Doubt("a key without its extension would get it", {"key_suffix": True}),
    },
)

JDCLOUD: Final = Entry(
    cloud="jdcloud",
    region="cn-north-1",
    other_region="cn-south-1",
    third_region="cn-east-1",
    apis={"export": "exportImage", "copy": "copyImages"},
    looks="describeImages",
    reads=("describeImages", "imageTasks"),
    options={"export": {"role": ROLE}},
    other_export={"role": ROLE, "disks": "all", "prefix": "walk"},
    every_disk={"disks": "all"},
    roomy={"image_quota": None, "snapshot_quota": None, "requests_a_minute": None},
    environ=("JDCLOUD_ACCESS_KEY", "JDCLOUD_SECRET_KEY", "JDCLOUD_SESSION_TOKEN"),
    nobody="img-0000000000",
    malformed="IMG!",
    busy={
        "export": Code("FAILED_PRECONDITION", "The image 'img-1' is busy"),
        "copy": Code("FAILED_PRECONDITION", "Conflict with underlay image task 'task-1'"),
    },
    running_quota={
        "export": Code("QUOTA_EXCEEDED", "Image task limit exceeded"),
        "copy": Code("QUOTA_EXCEEDED", "Image task limit exceeded"),
    },
    other_quota={
        "export": Code("QUOTA_EXCEEDED", "Snapshot quota limit exceeded"),
        "copy": Code("QUOTA_EXCEEDED", "Image quota limit exceeded"),
    },
    permanent_image={
        "export": Code("FAILED_PRECONDITION", "Windows image can't export"),
        "copy": Code("FAILED_PRECONDITION", "Only support cloudDisk image"),
    },
    permanent_config={
        "export": Code("CONFLICT", "OssRegion 'cn-east-1' not match current region 'cn-north-1'"),
        "copy": Code("INVALID_ARGUMENT", "Invalid region 'cn-nowhere-1'"),
    },
    temporary_keys={"storage_content_hash": "either"},
    doubts={
        "third generation": Doubt("the older signature alone is taken", {"algorithms": ["JDCLOUD2"]}),
        "signed headers": Doubt(
            "date and nonce must be signed", {"headers_to_sign": ["host", "x-jdcloud-date", "x-jdcloud-nonce"]}
        ),
        "any clock": Doubt("how far a clock may be off", {"clock_tolerance_seconds": 60.0}),
        "gateway words": Doubt("the gateway names why a signature is refused", {"gateway_codes": "apigw"}),
        "conflict 409": Doubt("the HTTP status of a conflict", {"http_statuses": {"CONFLICT": 409}}),
        "errors with 200": Doubt("errors come with HTTP 200", {"errors_with_status_200": True}),
        "utc": Doubt("times without a zone are UTC", {"zone_hours": 0.0}),
        "unknown ids": Doubt("an unknown id spoils a whole describeImages", {"unknown_ids": "error"}),
        "whole answers": Doubt("pageSize does not cut an answer to ids", {"limit_cuts_ids": False}),
        "busy shows": Doubt(
            "an image shows that it is being exported or copied",
            {"state_while_exporting": "exporting", "state_while_copying": "copying"},
        ),
        "encrypted otherwise": Doubt("how a disk says that it is encrypted", {"shows_encrypted": "encrypt"}),
        "encrypted unsaid": Doubt("a disk does not say that it is encrypted", {"shows_encrypted": "absent"}),
        "imported unsaid": Doubt("an image does not say that it was imported", {"shows_imported": False}),
        "task action": Doubt("imageTasks wants taskAction", {"task_action_required": True}),
        "small pages": Doubt("imageTasks gives ten a page at the most", {"task_page_sizes": "1-10"}),
        "action names": Doubt("tasks call their action ExportImageTask", {"task_action_suffix": "Task"}),
        "tasks show late": Doubt("a new task is not listed for a while", {"task_shows_seconds": 20.0}),
        "exportTaskId": Doubt("how the answer names the task", {"task_id_key": "exportTaskId"}),
        "numbers": Doubt("task ids are numbers", {"task_ids_are_numbers": True}),
        "reason elsewhere": Doubt("a failed task says why in its message", {"failure_field": "message"}),
        "one object named": Doubt("a task names the system disk's object only", {"names_objects": "ossObject"}),
        "no object named": Doubt("a task names no object", {"names_objects": "none"}),
        "key suffix": Doubt("objects have an extension", {"key_suffix": ".qcow2"}),
        "internal host": Doubt("a bucket must be named by its internal host", {"public_oss_url": False}),
        "late bad target": Doubt("a role or bucket that is wrong fails the task, not the call", {"bad_target": "task"}),
        "token forgotten": Doubt("a client token is soon forgotten", {"client_token_seconds": 30.0}),
        "refusals kept": Doubt("a refusal is repeated for its client token", {"client_token_keeps_refusals": True}),
        "busy words": Doubt("how a busy image is told", {"busy_words": "task"}),
        "exports at once": Doubt("an image may be exported twice at once", {"concurrent_exports": True}),
        "tasks at once": Doubt(
            "an image may be copied and exported at once",
            {"exports_during_copies": True, "copies_during_exports": True},
        ),
        "nameless copies": Doubt("copyImages takes neither name nor description", {"copy_names_known": False}),
        "failed copies vanish": Doubt("a failed copy vanishes instead of showing", {"copy_failure": "gone"}),
        "copies show late": Doubt("a new copy is not found for a while", {"copy_shows_seconds": 20.0}),
        "any region": Doubt("the storage takes any region's signature", {"storage_checks_region": False}),
        "hash wanted": Doubt("the storage wants the content's hash", {"storage_content_hash": "required"}),
        "hash refused": Doubt("the storage refuses the content's hash", {"storage_content_hash": "refused"}),
        "objects late": Doubt("objects show some time after their task has ended", {"object_late_seconds": 20.0}),
        "objects grow": Doubt("objects are seen before they are whole", {"object_grows_seconds": 20.0}),
        "counted in all": Doubt("running tasks are counted over the account", {"running_scope": "account"}),
    },
)

ALIYUN: Final = Entry(
    cloud="aliyun",
    region="cn-hangzhou",
    other_region="cn-shanghai",
    third_region="cn-beijing",
    apis={"export": "ExportImage", "copy": "CopyImage"},
    looks="DescribeImages",
    reads=("DescribeImages", "DescribeTasks", "DescribeTaskAttribute"),
    other_export={"prefix": "walk", "format": "raw"},
    every_disk={"format": "raw"},
    roomy={"exports_running": None, "copies_running": None, "requests_a_second": None, "image_quota": None},
    environ=("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"),
    nobody="m-00000000000000000000",
    malformed="NOT-AN-ID",
    busy={"export": Code("ImageIsExporting"), "copy": Code("OperationDenied.ImageCopyConflict")},
    running_quota={"export": Code("ConcurrentQuotaExceed.ExportImage")},
    other_quota={"export": Code("QuotaExceed.Snapshot"), "copy": Code("QuotaExceed.Image")},
    permanent_image={"export": Code("InvalidImageLicense.NotSupported"), "copy": Code("OperationDenied.NotAuthorized")},
    permanent_config={"export": Code("InvalidOSSBucket.NotFound"), "copy": Code("RegionNotSupportCopy")},
    doubts={
        "errors in lower case": Doubt("an error's fields begin in lower case", {"error_shape": "lower_case"}),
        "errors in xml": Doubt("errors are XML though JSON is asked for", {"error_shape": "xml"}),
        "statuses": Doubt(
            "one code comes with another HTTP status",
            {"http_statuses": {"Throttling.User": 503, "InternalError": 403, "ImageIsExporting": 400}},
        ),
        "throttling": Doubt(
            "how too many requests are told, and for how long",
            {"throttle_code": "Rejected.Throttling", "retry_after_ms": 2000, "throttled_until": "second"},
        ),
        "refusals": Doubt(
            "what becomes of requests that do not fit, and in which words",
            {
                "format_elsewhere": "raw",
                "bucket_elsewhere_code": "InvalidOSSBucket.NotMatched",
                "role_code": "NoSetRoletoECSServiceAccount",
                "bad_target": "task",
                "encrypted_copies": "always",
                "mismatch_code": "IdempotenceParamNotMatch",
                "unknown_parameters": "ignored",
            },
        ),
        "lists in lists": Doubt("a list stands in a list of one", {"wrappers": "list"}),
        "unknown ids": Doubt("an unknown id spoils a whole DescribeImages", {"unknown_ids": "error"}),
        "one id": Doubt("a question names one image", {"image_ids_most": 1}, alone=True),
        "oldest first": Doubt("how images are sorted", {"order": "oldest"}),
        "unsorted": Doubt("images are not sorted at all", {"order": "none"}),
        "image forms": Doubt(
            "how states, encryption and owners of an image are written",
            {
                "pending_word": "Waiting",
                "failed_word": "UnAvailable",
                "shows_encrypted": False,
                "shows_own_account": True,
                "copies_keep_tags": True,
            },
        ),
        "ExportTaskId": Doubt("how the answer names the task", {"task_id_key": "ExportTaskId"}),
        "two names": Doubt("the answer names the task twice", {"task_id_key": "both", "task_id_prefix": "tsk"}),
        "tasks show late": Doubt("a new task is not listed for a while", {"task_shows_seconds": 20.0}),
        "tasks forgotten": Doubt("an ended task is not known any more", {"task_kept_seconds": 0.0}),
        "task forms": Doubt(
            "how a task's action, times and waiting are written",
            {
                "task_action_form": "EXPORT_IMAGE",
                "short_times": True,
                "waiting_word": "Pending",
                "support_cancel_as": "text",
            },
        ),
        "failed as finished": Doubt("a failed task is Finished, with what went wrong", {"failed_as": "Finished"}),
        "no objects named": Doubt("a task names no object", {"objects_shown": "never"}),
        "objects named at the end": Doubt("a task names its objects when it has ended", {"objects_shown": "finished"}),
        "one object named": Doubt("a task names the system disk's object only", {"names_objects": "system"}),
        "no image named": Doubt("a task does not say of which image it is", {"shows_resource_id": False}),
        "one entry": Doubt("every object of a task stands in one entry", {"one_entry": True}),
        "keys": Doubt("how objects are called", {"key_form": "{prefix}_{image}_{task}_{disk}", "packed_raw": False}),
        "exports at once": Doubt("an image may be exported twice at once", {"concurrent_exports": True}),
        "copies hold exports": Doubt("an image is not exported while it is copied", {"exports_during_copies": False}),
        "exports hold copies": Doubt("an image is not copied while it is exported", {"copies_during_exports": False}),
        "copy busy": Doubt("how a copy of a busy image is refused", {"copy_busy_code": "OperationDenied.ImageCopying"}),
        "names free": Doubt("a name may be used twice", {"names_unique": False}),
        "copies vanish": Doubt("a failed copy vanishes instead of showing", {"copy_failure": "gone"}),
        "copies show late": Doubt("a new copy is not found for a while", {"copy_shows_seconds": 20.0}),
        "copies counted there": Doubt("running copies are counted where they go", {"copies_scope": "destination"}),
        "token forgotten": Doubt("a client token is soon forgotten", {"client_token_seconds": 30.0}),
        "refusals kept": Doubt("a refusal is repeated for its client token", {"client_token_keeps_refusals": True}),
        "objects late": Doubt("objects show some time after their task has ended", {"object_late_seconds": 20.0}),
        "objects grow": Doubt("objects are seen before they are whole", {"object_grows_seconds": 20.0}),
        "storage": Doubt(
            "what the storage checks and says", {"storage_checks_region": False, "storage_error_header": False}
        ),
        "no lists": Doubt("a bucket may not be listed", {"storage_lists": False}, alone=True),
    },
)

CLOUD_TABLE: Final[Mapping[str, Entry]] = {each.cloud: each for each in (TENCENT, ALIYUN, HUAWEI, JDCLOUD)}
"""Cloud -> its entry; there is one for every registered cloud."""
