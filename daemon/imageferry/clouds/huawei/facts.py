"""Huawei Cloud's words, rules and limits, as data.

Read by settings, policies and the adapter; asks nobody anything.
Facts that only this cloud's images have, in ``Image.extra``: ``kind`` (``system data baremetal iso``), ``whole_image``
(true for a full-ECS image), ``backup_id`` and ``product_code`` (texts, empty or absent for an ordinary image),
``origin`` (what it was made from, in the vendor's words) and ``bytes`` (its exact size; 0 or absent where not known).
"""

from __future__ import annotations

from typing import Final

from imageferry.clouds.preflight import BOTH, COPY, EXPORT, Rule, Wish, encrypted, extra, judge, visible
from imageferry.core.facts import CloudFacts, KindLimit, RoleFacts, Switch

_TOO_LARGE_TO_EXPORT_GIB: Final = 1024
LARGEST_NORMAL_GIB: Final = 128
"""What is larger is exported quickly or not at all."""
_LARGEST_COPY_GIB: Final = 300
_LARGE_COPY_REGIONS: Final = frozenset({"cn-south-1", "cn-east-3", "cn-east-2", "cn-north-4"})


def _at_least_1_tib(wish: Wish) -> bool:
    exact = int(wish.image.extra.get("bytes") or 0)
    return exact >= _TOO_LARGE_TO_EXPORT_GIB << 30 if exact else (wish.image.size_gib or 0) >= _TOO_LARGE_TO_EXPORT_GIB


def _encrypted_and_large(wish: Wish) -> bool:
    return wish.image.encrypted is True and (wish.image.size_gib or 0) > LARGEST_NORMAL_GIB


def _encrypted_and_quick(wish: Wish) -> bool:
    return wish.image.encrypted is True and wish.options.get("quick") is True


def _too_large_to_copy(wish: Wish) -> bool:
    regions = {wish.image.place.region, wish.destination}
    limit = _LARGEST_COPY_GIB if regions & _LARGE_COPY_REGIONS else LARGEST_NORMAL_GIB
    return (wish.image.size_gib or 0) > limit


def _ended(wish: Wish) -> bool:
    return wish.image.state in {"failed", "gone"}


_NEVER: Final = (
    Rule(BOTH, _ended, "the image is {image.state} at Huawei Cloud (IMG.0046)"),
    Rule(BOTH, visible("public"), "Huawei Cloud never exports or copies public images (IMG.0077)"),
    Rule(BOTH, visible("market"), "Huawei Cloud never exports or copies marketplace images (IMG.0078)"),
    Rule(
        BOTH,
        visible("shared"),
        "Huawei Cloud never exports or copies images that others shared (IMG.0047);"
        " make an own copy in its region first",
    ),
    Rule(BOTH, extra("kind", "iso"), "Huawei Cloud never exports or copies ISO images (IMG.0167)"),
    Rule(BOTH, extra("whole_image"), "Huawei Cloud never exports or copies full-ECS images this way (IMG.0128)"),
    Rule(EXPORT, extra("backup_id"), "Huawei Cloud never exports images made from a backup (IMG.0080)"),
    Rule(EXPORT, extra("product_code"), "Huawei Cloud never exports images made from a marketplace image (IMG.0078)"),
    Rule(
        EXPORT, _at_least_1_tib, "Huawei Cloud never exports images of 1 TiB or more; this one has {image.size_gib} GiB"
    ),
    Rule(
        EXPORT,
        _encrypted_and_large,
        f"Huawei Cloud exports images over {LARGEST_NORMAL_GIB} GiB by quick export only,"
        " which takes no encrypted image; this one has {image.size_gib} GiB and is encrypted (IMG.0160)",
    ),
    Rule(
        EXPORT,
        _encrypted_and_quick,
        "Huawei Cloud has no quick export of encrypted images; leave quick out for this one",
    ),
    Rule(COPY, encrypted, "Huawei Cloud never copies encrypted images to other regions (IMG.0143)"),
    Rule(
        COPY,
        _too_large_to_copy,
        "Huawei Cloud does not copy an image of {image.size_gib} GiB from {image.place.region} to {destination}:"
        f" {LARGEST_NORMAL_GIB} GiB is the limit, {_LARGEST_COPY_GIB} with some mainland regions (IMG.0146)",
    ),
)

ROLE: Final = RoleFacts(
    word="agency",
    meaning="the name of the IAM agency that the source's keys take; needs `domain` beside it",
    pattern=r"[^\s:/]{1,64}",
    example="imageferry",
    owner="domain",
    owner_meaning="the name of the account whose `agency` it is",
    shortest=900.0,
    longest=86_400.0,
    usual=3600.0,
)

EXPORT_VERSION: Final = "export_version"

FACTS: Final = CloudFacts(
    name="huawei",
    title="Huawei Cloud",
    credential_words=("ak", "sk"),
    optional_credential_words=("security_token",),
    role=ROLE,
    switches={
        EXPORT_VERSION: Switch(
            ("v1", "v2.1"), "the path of exports, `/v1/cloudimages/…` or `/v2.1/cloudimages/…`; both do the same"
        ),
    },
    endpoint="https://ims.{region}.myhuaweicloud.com",
    identity_endpoint="https://iam.{region}.myhuaweicloud.com",
    storage_endpoint="https://{bucket}.obs.{region}.myhuaweicloud.com",
    # Rates are not published: five requests a second and region together. Five cross_region_copy run in an account.
    limits={
        "export": KindLimit(1.0, running=2),
        "copy": KindLimit(1.0, running=5, scope="account"),
        "read": KindLimit(3.0),
    },
    formats=("qcow2", "vhd", "zvhd", "vmdk"),
    # The prefix begins an object key, which may have 128 characters with its extension.
    prefix_pattern=r"(?!/)(?!.*//)[A-Za-z0-9._/-]{1,121}",
    prefix_longest=121,
    prefix_joint="-",
    export_options=frozenset({"format", "prefix", "quick"}),
    copy_options=frozenset({"name", "agency", "project"}),
    copy_required=frozenset({"agency"}),
    name_longest=128,
    name_pattern=r"(?! )[A-Za-z0-9\u3400-\u9fff ._-]{1,128}(?<! )",
    preflight=judge(*_NEVER),
    notes={
        "projects": "region: project id; found through IAM when not given",
        "project": "the name of the project in the target region; the region's own when not given",
        "quick": "the only way for images over 128 GiB; its format is always zvhd2, so format does not apply",
    },
)
