"""Roles at Alibaba Cloud: those of a configuration, and those that a profile of the vendor's own files names.

The adapter hands :data:`ASSUME` to the credentials that all clouds share; ``credentials`` reads profiles of roles with
it. No value of a key is in any error or log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from imageferry.clouds.aliyun import endpoints
from imageferry.clouds.aliyun.answers import fault
from imageferry.clouds.aliyun.codes import CLOCK, classify
from imageferry.clouds.aliyun.facts import FACTS, ROLE, SIGNATURE
from imageferry.clouds.aliyun.requests import Proof, Signature, signed
from imageferry.clouds.credentials import Asked, Keys, Unreachable, Wrong
from imageferry.clouds.places import json_object
from imageferry.clouds.roles import Fault, taking
from imageferry.clouds.wire import Reply, Request
from imageferry.core.account import Account, Role
from imageferry.core.times import parse_rfc3339

ACTION: Final = "AssumeRole"
STS_VERSION: Final = "2015-04-01"
STS_REGION: Final = "ALIBABA_CLOUD_STS_REGION"
STS_INNER: Final = "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED"

_ERROR: Final = 300
_LATER: Final = frozenset({"throttled", "retry"})
"""Classes of codes after which the same request may succeed."""


def signature(account: Account) -> Signature:
    """How an account's requests are signed."""
    return "rpc_v1" if FACTS.choice(account.switches, SIGNATURE) == "rpc_v1" else "acs3"


def sts(asked: Asked) -> str:
    """The base URL of the token service, as the environment chooses it."""
    environ = asked.around.environ
    region = environ.get(STS_REGION) or asked.account.regions[0]
    return endpoints.tokens(asked.account, region, inner=yes(environ.get(STS_INNER)))


def yes(text: str | None) -> bool:
    """Whether a variable or a word switches something on."""
    return (text or "").lower() in ("true", "1", "yes", "on")


def _sign(asked: Asked, keys: Keys, role: Role, now: int) -> Request:
    wanted = {
        "RoleArn": role.name,
        "RoleSessionName": role.session_name,
        "DurationSeconds": str(int(role.duration)),
        **({"ExternalId": role.external_id} if role.external_id else {}),
        **({"Policy": role.policy} if role.policy else {}),
    }
    proof = Proof(keys, now, str(asked.nonce()), signature(asked.account))
    return signed(sts(asked), STS_VERSION, ACTION, wanted, proof)


def _read(reply: Reply, _role: Role) -> Keys | Fault:
    if reply.status >= _ERROR:
        return _fault(reply)
    inner = json_object(reply).get("Credentials")
    data = inner if isinstance(inner, Mapping) else {}
    key_id, secret, token, ends = (
        str(data.get(name) or "") for name in ("AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration")
    )
    if not (key_id and secret and token):
        raise Unreachable("STS answered without keys")
    try:
        return Keys(key_id, secret, token, parse_rfc3339(ends))
    except ValueError:
        raise Unreachable("STS gave keys without a time at which they end") from None


def _fault(reply: Reply) -> Fault:
    code = fault(reply.body).code
    told = f"HTTP {reply.status}{f' {code}' if code else ''}"
    if code in CLOCK:
        return Fault(told, "clock")
    return Fault(told, "later" if classify(code, reply.status, ACTION) in _LATER else "wrong")


ASSUME: Final = taking(_sign, _read)
"""Takes a role."""


def role_of(words: Mapping[str, str], where: str) -> Role:
    """The role that a profile or section names.

    :raises Wrong: it names none, or for a length that is none.
    """
    arn = words.get("ram_role_arn") or words.get("role_arn") or ""
    seconds = words.get("expired_seconds") or words.get("duration_seconds") or "0"
    if not arn:
        raise Wrong(f"{where} has no ram_role_arn")
    if not (seconds.isascii() and seconds.isdecimal() and int(seconds) <= ROLE.longest):
        raise Wrong(f"{where}: expired_seconds is no number of seconds up to {ROLE.longest:.0f}")
    return Role(
        name=arn,
        external_id=words.get("external_id") or "",
        session_name=words.get("ram_session_name") or words.get("role_session_name") or "imageferry",
        duration=float(seconds) or ROLE.usual,
        policy=words.get("policy") or "",
    )


def at_its_own_sts(asked: Asked, words: Mapping[str, str]) -> Asked:
    """The same, where a profile names the token service that it is to be asked for."""
    given = {STS_REGION: words.get("sts_region") or "", STS_INNER: words.get("enable_vpc") or ""}
    environ = {**asked.around.environ, **{name: value for name, value in given.items() if value}}
    return replace(asked, around=replace(asked.around, environ=environ))
