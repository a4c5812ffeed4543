"""Signed requests to JD Cloud's image API: one at a time, each with its own permit, its answer classified.

Used by the images, exports and copies of this cloud. It sends nothing twice, but for one case each: a request that was
refused because of its nonce, of our clock, of its keys or of how its token was written is signed anew, once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import unquote

import structlog

from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.jdcloud.codes import NONCE_USED, NOT_PROVEN, about_running, classify
from imageferry.clouds.jdcloud.dialect import OTHER_FORM, Dialect, TokenForm, token_text
from imageferry.clouds.jdcloud.sign import Scope, Signable, authorization, path_text, query_text
from imageferry.clouds.reading import json_object, retry_after, whole
from imageferry.clouds.sending import Attempt, Sending, succeeded
from imageferry.clouds.wire import Reply, Request, Told, Wire, foreign
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.times import SECOND
from imageferry.ports import Clock, Gate, Permit

VERSION: Final = "v1"
Service = Literal["vm", "disk", "iam"]
_DISKS: Final = "https://disk.jdcloud-api.com"
WHOLE_ACCOUNT: Final = "*"
CLOCK_OFF: Final = 60 * SECOND
"""A clock that is off by more than this may be why a signature was refused."""

_ERROR: Final = 400
_SERVER: Final = 500
_UNPROVEN: Final = 401

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One API request: GET without a body, POST with one."""

    api: str
    """The vendor's name of the operation."""
    region: str
    kind: LaneKind
    path: str
    """What follows the region, not encoded."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    submits: bool = False
    """It starts a task: an answer that cannot be read leaves open whether it did."""
    service: Service = "vm"


class Client:
    """One account's way to the image API."""

    def __init__(
        self,
        account: Account,
        gate: Gate,
        clock: Clock,
        wire: Wire,
        credentials: Credentials,
        *,
        dialect: Dialect,
        nonce: Callable[[], object],
    ) -> None:
        """``nonce``: something new at every call."""
        self._endpoint = account.endpoint
        self._neighbours: dict[Service, str] = {
            "disk": account.endpoint if account.endpoint_set else _DISKS,
            "iam": account.identity_endpoint,
        }
        self._sending = Sending(gate, clock, wire, credentials)
        self._scheme = dialect.scheme
        self._form = dialect.token
        self._form_proven = False
        self._refused_keys: Keys | None = None
        self._refused_forms: set[TokenForm] = set()
        self._nonce = nonce
        self.time = self._sending.time

    def scope(self, region: str) -> str:
        """One host serves all regions, unless the endpoint names the region."""
        return region if "{region}" in self._endpoint else WHOLE_ACCOUNT

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self._sending.vendor_now()

    async def ask(self, asked: Call) -> Told:
        """Send a call with a permit of its own.

        :raises CircuitOpen: the account is closed off.
        """
        return await self._sending.ask(asked.region, asked.kind, partial(self._attempt, asked))

    async def read(self, asked: Call) -> Told:
        """The same, where only a success is of use.

        :raises Refused: it was not answered, or not with a success.
        """
        return succeeded(await self.ask(asked))

    async def submit(self, asked: Call, permit: Permit) -> Told:
        """Send a call with the permit that the caller has."""
        return await self._sending.submit(asked.region, asked.kind, permit, partial(self._attempt, asked))

    def _attempt(self, asked: Call, keys: Keys) -> Attempt:
        form = self._form

        def read(reply: Reply) -> Told:
            told = _read(asked, reply)
            if told.answer.klass == "ok" and keys.token:
                self._form, self._form_proven = form, True
            return told

        async def corrected(told: Told, moved: int) -> bool:
            return await self._corrected(told, keys, moved, form)

        pool = f"{self.scope(asked.region)}/{asked.kind if asked.service == 'vm' else asked.service}"
        return Attempt(pool, self._signed(asked, keys, form), read, lambda told: told.answer.klass == "auth", corrected)

    async def _corrected(self, told: Told, keys: Keys, moved: int, form: TokenForm) -> bool:
        """Whether something that the refusal may be about is different now."""
        if told.answer.vendor_code == NONCE_USED:
            return True
        if not _unproven(told):
            return False
        if abs(moved) > CLOCK_OFF:
            log.warning("the clock is off; the vendor's is used", seconds=round(moved / SECOND))
            return True
        if keys.token and not self._form_proven and self._other_form(keys, form):
            return True
        return await self._sending.renewed(keys)

    def _other_form(self, keys: Keys, form: TokenForm) -> bool:
        """Turn to the other way of writing a token; whether that is still untried with these keys.

        Newer keys would tell nothing before it: a source that gives out others each time always has some.
        """
        if self._refused_keys != keys:
            self._refused_keys, self._refused_forms = keys, set()
        self._refused_forms.add(form)
        self._form = OTHER_FORM[form]
        return self._form not in self._refused_forms

    def _base(self, asked: Call) -> str:
        return self._neighbours.get(asked.service, self._endpoint).replace("{region}", asked.region)

    def _signed(self, asked: Call, keys: Keys, form: TokenForm) -> Request:
        scheme, _, rest = self._base(asked).partition("://")
        netloc, _, prefix = rest.partition("/")
        path = f"/{unquote(prefix)}/{VERSION}/regions/{asked.region}/{asked.path}".replace("//", "/")
        headers = {
            "content-type": "application/json",
            "host": netloc.removesuffix(":80").removesuffix(":443"),
            "x-jdcloud-date": datetime.fromtimestamp(self.vendor_now() // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ"),
            "x-jdcloud-nonce": str(self._nonce()),
        }
        if keys.token:
            headers["x-jdcloud-security-token"] = token_text(keys.token, form)
        method = "POST" if asked.body else "GET"
        signable = Signable(method, path, asked.query, headers, asked.body)
        proof = authorization(signable, Scope(asked.region, asked.service), keys.id, keys.secret, self._scheme)
        query = f"?{query_text(asked.query)}" if asked.query else ""
        url = f"{scheme}://{netloc}{path_text(path)}{query}"
        return Request(asked.api, method, url, {**headers, "authorization": proof}, asked.body)


def _unproven(told: Told) -> bool:
    """Whether the vendor does not believe who asks; what a proven asker may not do is another matter."""
    if told.reply is None or told.answer.klass != "auth":
        return False
    return told.answer.vendor_code in NOT_PROVEN or told.reply.status == _UNPROVEN


def _read(asked: Call, reply: Reply) -> Told:
    """A body with an error in it is a refusal, whatever the HTTP status; so is an HTTP status from 400 on."""
    data = json_object(reply.body)
    given = data.get("error") if data is not None else None
    error = given if isinstance(given, Mapping) else {}
    request_id = str((data or {}).get("requestId") or reply.headers.get("x-jdcloud-request-id", ""))
    if _number(error.get("code")) or error.get("status") or reply.status >= _ERROR:
        return Told(_refusal(asked, reply, error, request_id), {}, reply)
    if data is None or "result" not in data:
        what = "an unreadable body" if data is None else "no result"
        reason = f"the API answered HTTP {reply.status} with {what}"
        return Told(Answer("unanswered" if asked.submits else "retry", reason, request_id=request_id), {}, reply)
    result = data["result"]
    return Told(Answer("ok", "", request_id=request_id), result if isinstance(result, Mapping) else {}, reply)


def _refusal(asked: Call, reply: Reply, error: Mapping[str, Any], request_id: str) -> Answer:
    status, message = str(error.get("status") or ""), str(error.get("message") or "")
    number = _number(error.get("code")) or reply.status
    klass = classify(status, message, number)
    if not error and asked.submits and reply.status >= _SERVER:
        klass = "unanswered"
    return Answer(
        klass,
        foreign(message) or f"the API answered with HTTP {reply.status}",
        vendor_code=foreign(status),
        request_id=request_id,
        retry_after=retry_after(reply),
        about_running=about_running(status, message),
    )


def _number(value: object) -> int:
    """An error's number; 0 where it has none."""
    return whole(value) or 0
