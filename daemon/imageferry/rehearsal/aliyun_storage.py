"""Alibaba Cloud's object storage (OSS), as far as an image daemon asks for it: HEAD, bucketInfo, a list by prefix.

The rehearsal serves it for every request that is signed for it. A bucket stands in the host, as the vendor wants it, or
in the path, as a single address needs it. It writes nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote
from xml.sax.saxutils import escape

from starlette.responses import Response

from imageferry.rehearsal.aliyun_calls import World
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.aliyun_signatures import check_oss4
from imageferry.rehearsal.objects import object_headers
from imageferry.rehearsal.signatures import SignatureRefused, Signed

MOST_KEYS: Final = 1_000
USUAL_KEYS: Final = 100

_HOST: Final = re.compile(
    r"(?:(?P<bucket>[a-z0-9-]+)\.)?oss-(?P<region>[a-z0-9-]+?)(?P<inside>-internal)?\.aliyuncs\.com"
)
_STATUSES: Final[Mapping[str, int]] = {
    "NoSuchKey": 404,
    "NoSuchBucket": 404,
    "InvalidArgument": 400,
    "PublicEndpointForbidden": 400,
    "SecondLevelDomainForbidden": 403,
}
_DETAILS: Final[Mapping[str, str]] = {
    "AccessDenied": "0003-00000001",
    "InvalidAccessKeyId": "0002-00000902",
    "InvalidArgument": "0002-00000226",
    "NoSuchBucket": "0015-00000101",
    "NoSuchKey": "0026-00000001",
    "PublicEndpointForbidden": "0048-00000401",
    "RequestTimeTooSkewed": "0002-00000504",
    "SecondLevelDomainForbidden": "0048-00000101",
    "SignatureDoesNotMatch": "0002-00000040",
}
_REFUSED: Final = 403


class Place(NamedTuple):
    """What a storage request is about."""

    bucket: str
    key: str
    """As it is encoded; empty: the bucket itself."""
    home: str
    """The region that the host names; empty where it names none."""
    inside: bool
    """Whether the host is one for requests from inside the region."""
    in_path: bool


def place_of(signed: Signed) -> Place:
    """Find the bucket in the host, else in the path."""
    found = _HOST.fullmatch(signed.headers.get("host", "").partition(":")[0])
    home, inside = (found["region"], found["inside"] is not None) if found else ("", True)
    if found is not None and found["bucket"]:
        return Place(found["bucket"], signed.path.removeprefix("/"), home, inside, in_path=False)
    bucket, _, key = signed.path.removeprefix("/").partition("/")
    return Place(bucket, key, home, inside, in_path=True)


def serve(world: World, signed: Signed, place: Place, now: int) -> tuple[str, Response]:
    """(what is written down, the answer) for a request of the storage."""
    request_id = f"{world.chance.getrandbits(96):024X}"
    try:
        response = _answer(world, signed, place, now)
        outcome = f"http {response.status_code}"
    except SignatureRefused as refused:
        response = _refusal(refused, signed.method, request_id, world.options)
        outcome = f"http {response.status_code}"
    response.headers["x-oss-request-id"] = request_id
    return outcome, response


def _answer(world: World, signed: Signed, place: Place, now: int) -> Response:
    _check(world, signed, place, now)
    query = parse_qs(signed.query, keep_blank_values=True)
    if signed.method == "HEAD":
        return _object(world, place, now) if place.key else Response(headers=_bucket_headers(place, world.options))
    if "bucketInfo" in query:
        return _xml(_bucket_info(place, world.options))
    if query.get("list-type") == ["2"] and not place.key:
        if not world.options.storage_lists:
            raise SignatureRefused("AccessDenied", "You have no right to list this bucket.")
        return _xml(_list(world, place, query, now))
    raise SignatureRefused("NotImplemented", "This rehearsal has HEAD, bucketInfo and list-type=2 only.")


def _check(world: World, signed: Signed, place: Place, now: int) -> None:
    """Check who asks, and whether the bucket is theirs to look into.

    :raises SignatureRefused: with the storage's code.
    """
    options = world.options
    if place.in_path and not options.path_style:
        raise SignatureRefused("SecondLevelDomainForbidden", "Please use virtual hosted style to access.")
    region = check_oss4(signed, f"/{place.bucket}/{place.key}", world.keys, now, options)
    home = options.buckets.get(place.bucket)
    if home is None:
        raise SignatureRefused("NoSuchBucket", "The specified bucket does not exist.")
    if place.home not in ("", home):
        raise SignatureRefused("AccessDenied", "The bucket must be addressed using its own endpoint.")
    if options.storage_checks_region and region != home:
        raise SignatureRefused("InvalidArgument", f"Invalid signing region in Authorization header; it is {home}.")
    if not place.inside and home.startswith("cn-") and not options.public_hosts:
        raise SignatureRefused("PublicEndpointForbidden", "Public endpoints are closed to this account.")
    if place.bucket in options.unreadable_buckets:
        raise SignatureRefused("AccessDenied", "You have no right to access this object.")


def _object(world: World, place: Place, now: int) -> Response:
    seen = world.store.head(place.bucket, unquote(place.key), now)
    if seen is None:
        raise SignatureRefused("NoSuchKey", "The specified key does not exist.")
    facts = {
        **object_headers(seen, now),
        "x-oss-object-type": "Multipart",
        "x-oss-hash-crc64ecma": str(int(seen.etag[:16], 16)),
        "x-oss-storage-class": "Standard",
    }
    return Response(headers=facts)


def _bucket_headers(place: Place, options: AliyunOptions) -> dict[str, str]:
    return {"x-oss-bucket-region": options.buckets[place.bucket]}


def _bucket_info(place: Place, options: AliyunOptions) -> str:
    home, name = options.buckets[place.bucket], escape(place.bucket)
    return (
        f"<BucketInfo><Bucket><Name>{name}</Name><Location>oss-{home}</Location><Region>{home}</Region>"
        f"<ExtranetEndpoint>oss-{home}.aliyuncs.com</ExtranetEndpoint>"
        f"<IntranetEndpoint>oss-{home}-internal.aliyuncs.com</IntranetEndpoint>"
        f"<StorageClass>Standard</StorageClass></Bucket></BucketInfo>"
    )


def _list(world: World, place: Place, query: Mapping[str, list[str]], now: int) -> str:
    prefix, wanted = query.get("prefix", [""])[0], query.get("max-keys", [str(USUAL_KEYS)])[0]
    if not wanted.isdecimal() or not 1 <= int(wanted) <= MOST_KEYS:
        raise SignatureRefused("InvalidArgument", f"max-keys must be 1 to {MOST_KEYS}.")
    most = int(wanted)
    begin = query.get("continuation-token", query.get("start-after", [""]))[0]
    every = sorted((each["key"], each) for each in world.store.objects(now) if each["bucket"] == place.bucket)
    found = [each for key, each in every if key.startswith(prefix) and key > begin]
    more = len(found) > most
    token = f"<NextContinuationToken>{escape(found[most - 1]['key'])}</NextContinuationToken>" if more else ""
    rows = "".join(
        f"<Contents><Key>{escape(each['key'])}</Key><LastModified>{_list_time(each['last_modified'])}</LastModified>"
        f"<Size>{each['size']}</Size><StorageClass>Standard</StorageClass><Type>Multipart</Type></Contents>"
        for each in found[:most]
    )
    return (
        f"<ListBucketResult><Name>{escape(place.bucket)}</Name><Prefix>{escape(prefix)}</Prefix>"
        f"<MaxKeys>{most}</MaxKeys><KeyCount>{len(found[:most])}</KeyCount>"
        f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>"
    )


def _list_time(text: str) -> str:
    """``2026-01-02T03:04:05.000Z``."""
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%dT%H:%M:%S}.000Z"


def _xml(body: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', media_type="application/xml")


def _refusal(refused: SignatureRefused, method: str, request_id: str, options: AliyunOptions) -> Response:
    """An error: without a body for HEAD, which has it in a header instead."""
    detail = _DETAILS.get(refused.code, "0003-00000000")
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{refused.code}</Code>'
        f"<Message>{escape(refused.message)}</Message><RequestId>{request_id}</RequestId><EC>{detail}</EC></Error>"
    )
    status = _STATUSES.get(refused.code, _REFUSED)
    if method != "HEAD":
        return Response(body, status, {"x-oss-ec": detail}, "application/xml")
    told = {"x-oss-err": base64.b64encode(body.encode()).decode(), "x-oss-ec": detail}
    return Response(status_code=status, headers=told if options.storage_error_header else {})
