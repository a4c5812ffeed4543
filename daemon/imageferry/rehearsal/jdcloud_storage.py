"""The HEAD of JD Cloud's object storage, as far as an image daemon asks for it: signed as S3 is, status without body.

The rehearsal serves it at ``/{bucket}/{key}``. It writes nothing and lists nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from imageferry.rehearsal.jdcloud_calls import World
from imageferry.rehearsal.objects import object_headers
from imageferry.rehearsal.signatures import SignatureRefused, Signed, check_sigv4


def head(world: World, signed: Signed, bucket: str, key: str, now: int) -> Response:
    """The answer to HEAD of an object, or of the bucket for an empty key."""
    options = world.options
    unwanted = {"either": None, "required": False, "refused": True}[options.storage_content_hash]
    if ("x-amz-content-sha256" in signed.headers) is unwanted:
        return _bare(world, 400)
    try:
        accepted, region = check_sigv4(signed, world.keys, now)
    except SignatureRefused as refused:
        return _bare(world, 400 if refused.code == "RequestTimeTooSkewed" else 403)
    if accepted.token and not options.storage_takes_tokens:
        return _bare(world, 403)
    home = options.buckets.get(bucket)
    if home is None or (options.storage_checks_region and region != home):
        return _bare(world, 404)
    if bucket in options.unreadable_buckets:
        return _bare(world, 403)
    return _bare(world, 200) if not key else _object(world, bucket, key, now)


def _object(world: World, bucket: str, key: str, now: int) -> Response:
    seen = world.store.head(bucket, key, now)
    if seen is None:
        return _bare(world, 404)
    return _bare(world, 200, object_headers(seen, now))


def _bare(world: World, status: int, more: Mapping[str, str] | None = None) -> Response:
    request_id = {"x-amz-request-id": f"{world.chance.getrandbits(64):016X}"}
    return Response(status_code=status, headers={**request_id, **(more or {})})
