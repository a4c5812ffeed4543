"""Alibaba Cloud's words, rules and limits, as data.

Read by settings, policies and the adapter; asks nobody anything.
Facts that only this cloud's images have, in ``Image.extra``: ``product_code`` (text; not empty for what was made from
a marketplace image) and ``data_disks_gib`` (list of whole GiB, one a data disk).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from imageferry.clouds.preflight import BOTH, COPY, EXPORT, Rule, Wish, encrypted, extra, judge, visible, windows
from imageferry.core.facts import CloudFacts, KindLimit, RoleFacts, Switch

FORMATS: Final = ("raw", "vhd", "qcow2", "vmdk", "vdi")

_ROLE: Final = "AliyunECSImageExportDefaultRole"
_MOST_DATA_DISKS: Final = 4
_LARGEST_DATA_DISK_GIB: Final = 500


def _data_disks(wish: Wish) -> Sequence[int]:
    return wish.image.extra.get("data_disks_gib") or ()


def _too_many_disks(wish: Wish) -> bool:
    return len(_data_disks(wish)) > _MOST_DATA_DISKS


def _disk_too_large(wish: Wish) -> bool:
    return any(gib > _LARGEST_DATA_DISK_GIB for gib in _data_disks(wish))


def _format_in_china(wish: Wish) -> bool:
    return (wish.options.get("format") or FORMATS[0]) != FORMATS[0] and wish.image.place.region.startswith("cn-")


def _own_region(wish: Wish) -> bool:
    return wish.destination == wish.image.place.region


def _other_role(wish: Wish) -> bool:
    role: str = wish.options.get("role") or _ROLE
    return role != _ROLE


_NEVER: Final = (
    Rule(EXPORT, visible("public"), "Alibaba Cloud exports custom images only, not public ones (ImageNotSupported)"),
    Rule(
        EXPORT,
        visible("shared"),
        "Alibaba Cloud exports own images only, not those that others shared (ImageNotSupported)",
    ),
    Rule(BOTH, visible("market"), "Alibaba Cloud never exports or copies marketplace images (ImageNotSupported)"),
    Rule(
        BOTH,
        extra("product_code"),
        "Alibaba Cloud never exports or copies images made from a marketplace image (ImageNotSupported)",
    ),
    Rule(EXPORT, windows, "Alibaba Cloud never exports images that hold Windows (InvalidImageLicense.NotSupported)"),
    Rule(EXPORT, encrypted, "Alibaba Cloud never exports encrypted images (ImageNotSupported)"),
    Rule(
        EXPORT,
        _too_many_disks,
        f"Alibaba Cloud never exports images with more than {_MOST_DATA_DISKS} data disks"
        " (InvalidImage.DiskAmountOrSize)",
    ),
    Rule(
        EXPORT,
        _disk_too_large,
        f"Alibaba Cloud never exports images with a data disk over {_LARGEST_DATA_DISK_GIB} GiB"
        " (InvalidImage.DiskAmountOrSize)",
    ),
    Rule(
        EXPORT,
        _format_in_china,
        "Alibaba Cloud exports as raw only in the regions of China (InvalidImageFormat.RegionNotSupported);"
        " leave format out",
        "permanent_config",
    ),
    Rule(
        EXPORT,
        _other_role,
        f"Alibaba Cloud exports with the role {_ROLE} only; name that or leave role out",
        "permanent_config",
    ),
    Rule(COPY, visible("public"), "Alibaba Cloud copies custom images only, not public ones (OperationDenied)"),
    Rule(
        COPY,
        visible("shared"),
        "Alibaba Cloud copies an image that others shared only within its own region (OperationDenied.SameRegionOnly)",
    ),
    Rule(COPY, _own_region, "Alibaba Cloud copies to another region only; {destination} is the image's own"),
)

ROLE: Final = RoleFacts(
    word="role_arn",
    meaning="the RAM role that the source's keys take, such as `acs:ram::1000000000000001:role/imageferry`",
    pattern=r"acs:ram::[0-9]+:role/\S+",
    example="acs:ram::1000000000000001:role/imageferry",
    external_id=r"[\w+=,.@:/-]{2,1224}",
    session_name=r"[A-Za-z0-9.@_-]{2,64}",
    shortest=900.0,
    longest=43_200.0,
    usual=3600.0,
)

SIGNATURE: Final = "signature"

FACTS: Final = CloudFacts(
    name="aliyun",
    title="Alibaba Cloud",
    credential_words=("access_key_id", "access_key_secret"),
    optional_credential_words=("security_token",),
    role=ROLE,
    switches={
        SIGNATURE: Switch(
            ("acs3", "rpc_v1"),
            "the scheme of signatures: the vendor's own, or the one before it, which old gateways and proxies want",
        ),
    },
    endpoint="https://ecs.{region}.aliyuncs.com",
    identity_endpoint="https://sts.{region}.aliyuncs.com",
    storage_endpoint="https://{bucket}.oss-{region}.aliyuncs.com",
    # Rates are not published; the vendor asks for a request a second. CopyImage runs five a region and queues the rest.
    limits={"export": KindLimit(1.0), "copy": KindLimit(1.0, running=5), "read": KindLimit(1.0)},
    formats=FORMATS,
    prefix_pattern=r"[A-Za-z0-9]{1,30}",
    # OSSPrefix takes 30 characters; a policy's part is kept to 14, so that 16 can be the job's own.
    prefix_longest=26,
    prefix_joint="",
    export_options=frozenset({"format", "prefix", "role"}),
    name_longest=128,
    name_pattern=r"(?!aliyun|acs:)(?!.*https?://)[A-Za-z\u3400-\u9fff][A-Za-z0-9\u3400-\u9fff.:_-]{1,127}",
    preflight=judge(*_NEVER),
    notes={
        "format": "formats other than raw are offered in some regions outside mainland China only",
        "role": f"only {_ROLE} is valid",
    },
)
