"""Tencent Cloud's words, rules and limits, as data.

Read by settings, policies and the adapter; asks nobody anything.
"""

from __future__ import annotations

from typing import Final

from imageferry.clouds.preflight import COPY, EXPORT, Rule, Wish, encrypted, judge, visible, windows
from imageferry.core.facts import CloudFacts, KindLimit, RoleFacts


def _red_hat(wish: Wish) -> bool:
    name = (wish.image.os_name or "").casefold()
    return "red hat" in name or "redhat" in name


_NEVER: Final = (
    Rule(EXPORT, windows, "Tencent Cloud never exports Windows images (WindowsImageExportUnsupported)"),
    Rule(EXPORT, encrypted, "Tencent Cloud never exports encrypted images (EncryptedImagesNotSupported)"),
    Rule(EXPORT, visible("public"), "Tencent Cloud never exports public images (PublicImageExportUnsupported)"),
    Rule(
        EXPORT,
        visible("shared"),
        "Tencent Cloud never exports images that others shared (SharedImageExportUnsupported);"
        " make an own copy of it in its region first",
    ),
    Rule(EXPORT, visible("market"), "Tencent Cloud never exports marketplace images (MarketImageExportUnsupported)"),
    Rule(EXPORT, _red_hat, "Tencent Cloud never exports Red Hat images (RedHatImageExportUnsupported)"),
    Rule(COPY, encrypted, "Tencent Cloud never copies encrypted images to other regions (EncryptedImagesNotSupported)"),
    Rule(
        COPY,
        visible("shared"),
        "Tencent Cloud copies an image that others shared only within its own region (SyncImages);"
        " make an own copy of it there first",
    ),
)

ROLE: Final = RoleFacts(
    word="role_arn",
    meaning="the role that the source's keys take, such as `qcs::cam::uin/100000000001:roleName/imageferry`",
    pattern=r"qcs::cam::uin/[0-9]+:role(Name)?/\S+",
    example="qcs::cam::uin/100000000001:roleName/imageferry",
    external_id=r"[\w+=,.@:/-]{2,128}",
    session_name=r"[\w+=,.@-]{2,128}",
    shortest=900.0,
    longest=43_200.0,
    usual=7200.0,
)

FACTS: Final = CloudFacts(
    name="tencent",
    title="Tencent Cloud",
    credential_words=("secret_id", "secret_key"),
    optional_credential_words=("token",),
    role=ROLE,
    endpoint="https://cvm.{region}.tencentcloudapi.com",
    identity_endpoint="https://sts.{region}.tencentcloudapi.com",
    storage_endpoint="https://{bucket}.cos.{region}.myqcloud.com",
    # How many ExportImages and SyncImages tasks may run at once is not published: learned from the refusals.
    limits={"export": KindLimit(20.0), "copy": KindLimit(10.0), "read": KindLimit(40.0)},
    counted_by="host",
    formats=("raw", "qcow2", "vhd", "vmdk"),
    prefix_pattern=r"[A-Za-z0-9._-]{1,64}",
    prefix_longest=64,
    prefix_joint="-",
    export_options=frozenset({"format", "prefix", "role", "disks"}),
    name_longest=60,
    preflight=judge(*_NEVER),
    notes={
        "role": "the role CVM uses to write to the bucket; CVM_QcsRole when none is given",
        "bucket": "the full name with its AppId suffix, in the image's own region",
    },
)
