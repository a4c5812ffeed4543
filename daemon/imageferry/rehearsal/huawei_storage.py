"""The HEAD of Huawei Cloud's object storage, as far as an image daemon asks for it: status and headers without body.

The rehearsal serves it for every HEAD. A bucket stands in the host, as the vendor wants it, or in the path, as a
single address needs it. It writes nothing and lists nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.responses import Response

from imageferry.rehearsal.huawei_calls import World
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.huawei_signatures import check_obs
from imageferry.rehearsal.objects import object_headers
from imageferry.rehearsal.signatures import SignatureRefused, Signed, check_sigv4

_V4: Final = "AWS4-"
_DOCUMENTED: Final = ("UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")


class Place(NamedTuple):
    """What a storage request is about."""

    bucket: str
    key: str
    """As it is encoded; empty: the bucket itself."""
    home: str
    """The region that the host names; empty where it names none."""
    in_path: bool


def place_of(signed: Signed, options: HuaweiOptions) -> Place:
    """Find the bucket in the host, else in the path."""
    labels = signed.headers.get("host", "").partition(":")[0].split(".")
    home = next((label for label in labels if label in options.regions), "")
    bucket, dot, service = signed.headers.get("host", "").partition(":")[0].partition(".")
    if dot and (bucket in options.buckets or service.startswith("obs.")):
        return Place(bucket, signed.path.removeprefix("/"), home, in_path=False)
    bucket, _, key = signed.path.removeprefix("/").partition("/")
    return Place(bucket, key, home, in_path=True)


def head(world: World, signed: Signed, place: Place, key: str, now: int) -> Response:
    """The answer to HEAD of an object, or of the bucket for an empty ``key``, which is decoded."""
    refused = _refused(world, signed, place, now)
    if refused is not None:
        return _bare(world, refused)
    if key:
        return _object(world, place.bucket, key, now)
    v4 = signed.headers["authorization"].startswith(_V4)
    return _bare(world, 200, _bucket_facts(place.bucket, world.options, v4=v4))


def _refused(world: World, signed: Signed, place: Place, now: int) -> int | None:
    """The HTTP status of a request that is not let in."""
    options = world.options
    try:
        signed_for = _prove(world, signed, place, now)
    except SignatureRefused:
        return 403
    home = options.buckets.get(place.bucket)
    if home is None:
        return 404
    if place.home and place.home != home:
        return options.storage_elsewhere_status
    wrong_scope = options.storage_checks_region and signed_for not in ("", home)
    return 403 if wrong_scope or place.bucket in options.unreadable_buckets else None


def _prove(world: World, signed: Signed, place: Place, now: int) -> str:
    """The region that a request is signed for; empty by the scheme that has none.

    :raises SignatureRefused: it proves no key, or not in a way that is taken.
    """
    options = world.options
    if place.in_path and not options.path_style:
        raise SignatureRefused("VirtualHostDomainRequired", "The bucket must stand in the host.")
    scheme = "v4" if signed.headers.get("authorization", "").startswith(_V4) else "obs"
    if scheme not in options.storage_schemes:
        raise SignatureRefused("AccessDenied", "This scheme is not taken.")
    if scheme == "obs":
        check_obs(signed, f"/{place.bucket}/{place.key}", world.keys, now)
        return ""
    if options.storage_v4_hash == "documented" and signed.headers.get("x-amz-content-sha256") not in _DOCUMENTED:
        raise SignatureRefused("SignatureDoesNotMatch", "This hash of the payload is not taken.")
    return check_sigv4(signed, world.keys, now)[1]


def _bucket_facts(bucket: str, options: HuaweiOptions, *, v4: bool) -> dict[str, str]:
    home = options.buckets[bucket]
    storage_class = options.bucket_classes.get(bucket, "STANDARD")
    if v4:
        return {"x-amz-bucket-region": home, "x-default-storage-class": storage_class}
    facts = {"x-obs-bucket-location": home, "x-obs-storage-class": storage_class, "x-obs-version": "3.0"}
    return {**facts, "x-obs-fs-file-interface": "Enabled"} if bucket in options.parallel_buckets else facts


def _object(world: World, bucket: str, key: str, now: int) -> Response:
    seen = world.store.head(bucket, key, now)
    if seen is None:
        return _bare(world, 404)
    return _bare(world, 200, object_headers(seen, now))


def _bare(world: World, status: int, more: Mapping[str, str] | None = None) -> Response:
    request_id = {"x-obs-request-id": world.new_hex().upper()}
    return Response(status_code=status, headers={**request_id, **(more or {})})
