"""One request to the webhook: who sent it, whether it may, its body within bounds, or the reason it is turned away.

The webhook source calls :func:`receive`. Nothing here reads an event, and nothing quotes a secret or a signature.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple
from urllib.parse import unquote_to_bytes

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from imageferry.ports import Headers
from imageferry.sources.cloudevents import LARGEST
from imageferry.sources.headers import CONTENT_TYPE

BODY_WITHIN: Final = 20.0
"""Seconds that a body may take to arrive."""
TOO_SLOW: Final = 408
RETRY_AFTER: Final = 5
"""Seconds after which a sender should try again that came while nothing could be taken."""

_DISCARD: Final = 8 * LARGEST
"""Bytes of a body nobody wants that are read nevertheless: a sender reads no answer before it has sent all."""
_DISCARD_WITHIN: Final = 5.0
_TYPES: Final = re.compile(rb"(application|text)/([a-z0-9.-]+\+)?json\s*(;(?P<parameters>.*))?", re.IGNORECASE)
_CHARSET: Final = re.compile(rb"(?:^|;)\s*charset\s*=\s*\"?([^\";\s]+)", re.IGNORECASE)
_SIGNATURE: Final = b"x-imageferry-signature"

_Raw = Mapping[bytes, bytes]


class Post(NamedTuple):
    """What a sender said, once it is known to be one."""

    body: bytes
    headers: Headers
    """Content type and ``ce_*``, as Kafka's binary mode has them."""


Body = Literal["read", "unread", "given up"]


class TurnedAway(Exception):
    """A request that is answered with its reason.

    :param body: what became of its body. ``read`` to its end, its connection can go on; ``unread``, a part of it may be
        read yet (see :func:`discard`); ``given up``, the connection is of no use any more.
    """

    def __init__(self, status: int, reason: str, body: Body = "unread", **headers: str) -> None:
        super().__init__(reason)
        self.status = status
        self.body = body
        self._headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(self) -> JSONResponse:
        """``{"error": reason}`` with its status."""
        closing = {} if self.body == "read" else {"connection": "close"}
        return JSONResponse({"error": str(self)}, self.status, headers={**self._headers, **closing})


def not_now(reason: str) -> TurnedAway:
    """Nothing is wrong with the request; it is to come again."""
    return TurnedAway(503, reason, "read", retry_after=str(RETRY_AFTER))


class Proof:
    """Knows the secret, and compares in a time that does not depend on what is compared."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._digest = hashlib.sha256(self._secret).digest()

    def bears(self, headers: _Raw) -> bool:
        """Whether a request bears the secret itself."""
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = hashlib.sha256(token.strip()).digest()  # of one length, whatever was given
        return hmac.compare_digest(given, self._digest) and scheme.lower() == b"bearer"

    def signs(self, headers: _Raw, body: bytes) -> bool:
        """Whether a request's signature is that of its body."""
        wanted = b"sha256=" + hmac.new(self._secret, body, hashlib.sha256).hexdigest().encode()
        return hmac.compare_digest(headers.get(_SIGNATURE, b"").strip().lower(), wanted)


async def receive(request: Request, path: str, proof: Proof) -> Post:
    """The body of a request that may be taken, with the headers that say how to read it.

    :raises TurnedAway: with the status and the reason.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in request.scope["headers"]:
        headers.setdefault(name, value)
    if request.scope["path"] != path:
        raise TurnedAway(404, f"there is nothing here; events are taken at {path}")
    if request.method != "POST":
        raise TurnedAway(405, "only POST is taken here", allow="POST")
    bears = proof.bears(headers)
    if not bears and _SIGNATURE not in headers:
        raise _stranger()
    _check_type(headers)
    body = await _body(request, headers)
    if not bears and not proof.signs(headers, body):
        raise _stranger("read")
    return Post(body, _as_kafka(headers))


async def discard(request: Request) -> None:
    """Read what is left of a body that nobody wants, within bounds, so that the answer can be read."""
    if b"100-continue" in dict(request.scope["headers"]).get(b"expect", b"").lower():
        return
    left = _DISCARD
    with anyio.move_on_after(_DISCARD_WITHIN):
        while left > 0:
            message = await request.receive()
            left -= len(message.get("body", b""))
            if not message.get("more_body"):
                return


def _stranger(body: Body = "unread") -> TurnedAway:
    reason = (
        'the sender is not known; expected "Authorization: Bearer <secret>" or '
        '"X-Imageferry-Signature: sha256=<hex HMAC-SHA256 of the body by the secret>"'
    )
    return TurnedAway(401, reason, body, www_authenticate="Bearer")


def _check_type(headers: _Raw) -> None:
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise TurnedAway(415, "the body is compressed; expected it plain")
    given = headers.get(b"content-type", b"").strip()
    if not given:
        return
    fits = _TYPES.fullmatch(given)
    if fits is None:
        shown = given[:60].decode(errors="replace")
        expected = "application/json, application/cloudevents+json or application/cloudevents-batch+json"
        raise TurnedAway(415, f"the body is {shown!r}; expected {expected}")
    charset = _CHARSET.search(fits["parameters"] or b"")
    if charset is not None and charset[1].lower() not in {b"utf-8", b"utf8", b"us-ascii"}:
        raise TurnedAway(415, "the body's charset is not UTF-8; expected UTF-8")


async def _body(request: Request, headers: _Raw) -> bytes:
    """The body; what it is said to be long is believed only where it is too long."""
    declared = headers.get(b"content-length", b"0")
    if int(declared if declared.isdigit() else b"0") > LARGEST:
        raise _too_large("unread")
    body, size = bytearray(), 0
    try:
        with anyio.fail_after(BODY_WITHIN):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= LARGEST:
                    body += chunk
                elif size > LARGEST + _DISCARD:
                    raise _too_large("given up")
    except TimeoutError:
        raise TurnedAway(TOO_SLOW, f"the body did not arrive within {BODY_WITHIN:g} seconds", "given up") from None
    except ClientDisconnect:
        raise TurnedAway(400, "the sender went away before its body was there", "given up") from None
    if size > LARGEST:
        raise _too_large("read")
    return bytes(body)


def _too_large(body: Body) -> TurnedAway:
    return TurnedAway(413, f"the body is too large; at most {LARGEST} bytes are taken", body)


def _as_kafka(headers: _Raw) -> Headers:
    found: list[tuple[str, bytes | None]] = []
    for name, value in headers.items():
        if name.startswith(b"ce-"):
            found.append(("ce_" + name[3:].decode("latin-1"), unquote_to_bytes(value)))
        elif name == CONTENT_TYPE.encode():
            found.append((CONTENT_TYPE, value))
    return found
