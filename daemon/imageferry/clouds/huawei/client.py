"""Signed requests to Huawei Cloud: one at a time, each with its own permit, its answer classified.

Used by the images, jobs, exports, copies and projects of this cloud. It sends nothing twice, but for one case each: a
request that was refused because of our clock is signed again by the vendor's, and one refused because of its keys with
newer ones. A key that the vendor has locked is not used again before others are there: every use would lock it anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, Literal

import structlog

from imageferry.clouds.copying import unsent
from imageferry.clouds.credentials import Credentials, Keys
from imageferry.clouds.huawei.answers import read
from imageferry.clouds.huawei.codes import not_proven
from imageferry.clouds.huawei.endpoints import identity, tokens
from imageferry.clouds.huawei.projects import ACTION, Projects
from imageferry.clouds.huawei.sign import Signable, authorization, date_text, path_text, query_text
from imageferry.clouds.sending import Attempt, Sending, succeeded
from imageferry.clouds.wire import Reply, Request, Told, Wire
from imageferry.core.account import Account
from imageferry.core.answers import Answer
from imageferry.core.facts import LaneKind
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Clock, Gate, Permit

CLOCK_OFF: Final = 60 * SECOND
"""A clock that is off by more than this may be why a signature was refused."""
LOCKED: Final = "reach the limit"
"""In the message of a refusal: the key is locked for some minutes after bad signatures."""


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One API request: GET without a body, POST with one."""

    api: str
    """The vendor's name of the operation."""
    region: str
    kind: LaneKind
    path: str
    """What follows the endpoint, without the slash before it; not encoded."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    submits: bool = False
    """It starts a task: an answer that cannot be read leaves open whether it did."""
    project: str = ""
    """The project's name; empty: the region's own."""
    service: Literal["image", "identity", "tokens"] = "image"
    advice: str = ""
    """What a person may do about a refusal."""


class Client:
    """One account's way to the image API, and to the identity service beside it."""

    def __init__(self, account: Account, gate: Gate, clock: Clock, wire: Wire, credentials: Credentials) -> None:
        self._account = account
        self._gate = gate
        self._sending = Sending(gate, clock, wire, credentials)
        self.time = self._sending.time
        self.projects = Projects(account, self._list_projects)

    def vendor_now(self) -> int:
        """The time by the vendor's clock."""
        return self._sending.vendor_now()

    async def ask(self, asked: Call) -> Told:
        """Send a call with a permit of its own.

        :raises Refused: the id of its project could not be found out.
        :raises CircuitOpen: the account is closed off.
        """
        project = await self._project(asked)
        async with self._gate.enter(asked.region, asked.kind) as permit:
            return await self._send(asked, project, permit)

    async def read(self, asked: Call) -> Told:
        """The same, where only a success is of use.

        :raises Refused: it was not answered, or not with a success.
        """
        return succeeded(await self.ask(asked))

    async def submit(self, asked: Call, permit: Permit) -> Told:
        """Send a call with the permit that the caller has; never raises but for cancellation."""
        project = self.projects.known(asked.region, asked.project)
        if project is not None:
            return await self._send(asked, project, permit)
        permit.judged(Answer("never_sent", "the project's id is not known yet"))
        return await self.submit_anew(asked)

    async def submit_anew(self, asked: Call) -> Told:
        """The same with a permit of its own, where the caller's was spent on something else."""
        try:
            return await self.ask(asked)
        except Refused as refused:
            return Told(unsent(refused.answer))
        except CircuitOpen as error:
            return Told(Answer("never_sent", str(error)))

    async def _project(self, asked: Call) -> str:
        return "" if asked.service != "image" else await self.projects.find(asked.region, asked.project)

    async def _list_projects(self, region: str, name: str) -> Told:
        advice = f'grant iam:projects:listProjects, or write the project\'s id: credentials.projects: {{{region}: "…"}}'
        query = (("name", name),)
        call = Call(ACTION, region, "read", "v3/projects", query=query, service="identity", advice=advice)
        return await self.read(call)

    async def _send(self, asked: Call, project: str, permit: Permit) -> Told:
        return await self._sending.submit(asked.region, asked.kind, permit, partial(self._attempt, asked, project))

    def _attempt(self, asked: Call, project: str, keys: Keys) -> Attempt:
        def unproven(told: Told) -> bool:
            return told.reply is not None and not_proven(told.answer.vendor_code, told.reply.status)

        async def corrected(told: Told, moved: int) -> bool:
            return unproven(told) and await self._corrected(told.answer, keys, moved)

        pool = f"{self._account.lane(asked.region)}/{asked.kind if asked.service == 'image' else asked.service}"
        return Attempt(pool, self._signed(asked, project, keys), partial(_read, asked), unproven, corrected)

    async def _corrected(self, answer: Answer, keys: Keys, moved: int) -> bool:
        """Whether something that the refusal may be about is different now."""
        if LOCKED not in answer.message:
            if abs(moved) > CLOCK_OFF:
                log.warning("the clock is off; the vendor's is used", seconds=round(moved / SECOND))
                return True
            return await self._sending.renewed(keys)
        try:
            return (await self._sending.credentials.refresh(keys)).id != keys.id
        except Refused:
            return False

    def _endpoint(self, asked: Call) -> str:
        if asked.service == "identity":
            return identity(self._account, asked.region)
        if asked.service == "tokens":
            return tokens(self._account, asked.region, {})
        return self._account.endpoint.replace("{region}", asked.region)

    def _signed(self, asked: Call, project: str, keys: Keys) -> Request:
        scheme, _, rest = self._endpoint(asked).partition("://")
        host, _, prefix = rest.partition("/")
        path = f"/{prefix}/{asked.path}".replace("//", "/")
        given = {"x-project-id": project, "x-security-token": keys.token}
        headers = {
            "content-type": "application/json",
            "host": host,
            "x-sdk-date": date_text(self.vendor_now()),
            **{name: value for name, value in given.items() if value},
        }
        method = "POST" if asked.body else "GET"
        proof = authorization(Signable(method, path, asked.query, headers, asked.body), keys.id, keys.secret)
        query = f"?{query_text(asked.query)}" if asked.query else ""
        url = f"{scheme}://{host}{path_text(path)}{query}"
        return Request(asked.api, method, url, {**headers, "authorization": proof}, asked.body)


def _read(asked: Call, reply: Reply) -> Told:
    told = read(reply, submits=asked.submits, advice=asked.advice)
    if asked.service != "image" and told.answer.klass == "permanent_image":
        # Nothing that the identity service lacks is an image.
        return told._replace(answer=replace(told.answer, klass="permanent_config"))
    return told


def body_of(params: Mapping[str, Any]) -> str:
    """A request's body as text, to be frozen."""
    return json.dumps(params)
