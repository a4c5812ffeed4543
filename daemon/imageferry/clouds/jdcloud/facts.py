"""JD Cloud's words, rules and limits, as data.

Read by settings, policies and the adapter; asks nobody anything.
Facts that only this cloud's images have, in ``Image.extra``: ``root_device`` (``cloudDisk`` or ``localDisk``),
``imported`` (true or false; absent where the API is too old to say), ``data_disks`` (how many) and ``progress`` (of a
copy, in percent).
"""

from __future__ import annotations

import re
from typing import Final

from imageferry.clouds.preflight import BOTH, COPY, EXPORT, Rule, Wish, encrypted, extra, judge, visible, windows
from imageferry.core.facts import CloudFacts, KindLimit, RoleFacts, Switch


def _windows_not_imported(wish: Wish) -> bool:
    return windows(wish) and wish.image.extra.get("imported") is False


def _same_region(wish: Wish) -> bool:
    return wish.destination == wish.image.place.region


def _no_role_name(wish: Wish) -> bool:
    role = wish.options.get("role")
    return bool(role) and _ROLE.fullmatch(str(role)) is None


def _dotted(wish: Wish) -> bool:
    return "." in wish.destination


_ROLE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,63}")

_NEVER: Final = (
    Rule(
        BOTH,
        visible("public"),
        "JD Cloud exports and copies private images only, not public ones (Can't use this image)",
    ),
    Rule(
        BOTH,
        visible("shared"),
        "JD Cloud exports and copies private images only, not those that others shared (Can't use this image)",
    ),
    Rule(
        BOTH,
        visible("market"),
        "JD Cloud exports and copies private images only, not marketplace ones (Can't use this image)",
    ),
    Rule(
        BOTH,
        extra("root_device", "localDisk"),
        "JD Cloud exports and copies images with a cloud system disk only (Invalid image type);"
        " convert the image first",
    ),
    Rule(
        EXPORT,
        _windows_not_imported,
        "JD Cloud never exports Windows images that were not imported (Windows image can't export)",
    ),
    Rule(
        COPY,
        encrypted,
        "JD Cloud never copies images with encrypted snapshots (Copy encrypted snapshot is not support)",
    ),
    Rule(
        EXPORT,
        _no_role_name,
        "JD Cloud takes role names of 4 to 64 letters, digits, hyphens and underscores, a letter first; this is none",
        "permanent_config",
    ),
    Rule(
        EXPORT, _dotted, "JD Cloud's bucket names have no dots; {destination} cannot be one of them", "permanent_config"
    ),
    Rule(COPY, _same_region, "JD Cloud copies to another region only; {destination} is the image's own"),
)

ROLE: Final = RoleFacts(
    word="role_jrn",
    meaning="the role that the source's keys take, such as `jrn:iam::000000000001:role/imageferry`",
    pattern=r"jrn:iam::[^:\s]+:role/\S+",
    example="jrn:iam::000000000001:role/imageferry",
    session_name=r"[\w+=,.@-]{2,64}",
    shortest=3600.0,
    longest=43_200.0,
    usual=3600.0,
)

SIGNATURE: Final = "signature"
TOKEN_ENCODING: Final = "token_encoding"  # noqa: S105 - a setting

FACTS: Final = CloudFacts(
    name="jdcloud",
    title="JD Cloud",
    credential_words=("access_key", "secret_key"),
    optional_credential_words=("session_token",),
    role=ROLE,
    switches={
        SIGNATURE: Switch(
            ("jdcloud2", "jdcloud3"),
            "the scheme of signatures: the documents say JDCLOUD2, the vendor's Python SDK signs JDCLOUD3",
        ),
        TOKEN_ENCODING: Switch(
            ("base64", "raw"),
            "how the token of temporary keys is written first; the other way is tried where that is refused",
        ),
    },
    endpoint="https://vm.jdcloud-api.com",
    identity_endpoint="https://iam.jdcloud-api.com",
    storage_endpoint="https://{bucket}.s3.{region}.jdcloud-oss.com",
    # The budget is five requests a second, account and region together. How many tasks may run is not published.
    limits={"export": KindLimit(1.0), "copy": KindLimit(1.0), "read": KindLimit(3.0)},
    formats=(),
    prefix_pattern=r"[A-Za-z0-9]{1,32}",
    prefix_longest=32,
    prefix_joint="",
    export_options=frozenset({"prefix", "role", "disks"}),
    # Servers of an older version refuse to be asked for more.
    disks_default="system",
    export_required=frozenset({"role"}),
    name_longest=32,
    name_pattern=r"[A-Za-z0-9\u3400-\u9fff_.-]{1,32}",
    preflight=judge(*_NEVER),
    notes={
        "credentials.oidc": "JD Cloud has no sign-in by OIDC",
        "disks": "default: system; with all, data disks are asked for only where the image has any",
        "format": "always qcow2",
        "role": "the service role that may write to the bucket",
    },
)
