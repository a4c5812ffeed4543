"""Where an account's keys for Tencent Cloud come from: every source that the vendor's own tools know, in their order.

The adapter hands :data:`SOURCES` and :data:`ASSUME` to the credentials that all clouds share. No value of a key is in
any error or log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imageferry.clouds.credentials import Asked, Keys, NotHere, Source, Step, Unreachable, Wrong, table_of
from imageferry.clouds.places import from_config, from_environ, ini_words, json_object, keys_among, metadata, small_file
from imageferry.clouds.roles import Fault, given, send, taking
from imageferry.clouds.tencent.codes import CLOCK_OFF, classify
from imageferry.clouds.tencent.facts import ROLE
from imageferry.clouds.tencent.sign import CONTENT_TYPE, Signable, authorization
from imageferry.clouds.wire import Reply, Request, foreign
from imageferry.core.account import Role
from imageferry.core.times import SECOND

METADATA: Final = "http://metadata.tencentyun.com"
ROLES: Final = "/latest/meta-data/cam/security-credentials/"
OIDC: Final = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")
FILE_VARIABLE: Final = "TENCENTCLOUD_CREDENTIALS_FILE"
MACHINES_ROLE: Final = "TENCENTCLOUD_CAM_ROLE_NAME"
ROLE_ARN: Final = ("TENCENTCLOUD_ROLE_ARN", "TENCENTCLOUD_ASSUME_ROLE_ARN")
"""The command line's name of the variable, and Terraform's."""
SESSION_NAME: Final = ("TENCENTCLOUD_ROLE_SESSION_NAME", "TENCENTCLOUD_ASSUME_ROLE_SESSION_NAME")
DURATION: Final = "TENCENTCLOUD_ASSUME_ROLE_SESSION_DURATION"
EXTERNAL_ID: Final = "TENCENTCLOUD_ASSUME_ROLE_EXTERNAL_ID"
STS_VERSION: Final = "2018-08-13"

_LATER: Final = frozenset({"throttled", "retry", "unanswered"})
"""Classes of codes after which the same request may succeed."""

_plain: Final = from_environ(
    "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY", ("TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN")
)


# --- files ---------------------------------------------------------------------------------------------------------


async def _file(asked: Asked) -> Keys:
    """The SDK's INI file, or the command line's JSON file."""
    spec, around = asked.spec, asked.around
    own = spec.path or around.environ.get(FILE_VARIABLE)
    profile = spec.profile or "default"
    paths = (
        [Path(own)]
        if own
        else [
            around.home / ".tencentcloud/credentials",
            around.etc / "tencentcloud/credentials",
            around.home / f".tccli/{profile}.credential",
        ]
    )
    for path in paths:
        text = await small_file(path)
        if text is not None:
            return _words(text, profile, path)
    raise NotHere(f"there is no file {' or '.join(map(str, paths))}")


def _words(text: str, profile: str, path: Path) -> Keys:
    if text.lstrip().startswith("{"):
        words, names = _json_words(text, path), ("secretId", "secretKey", "token")
    else:
        words, names = ini_words(text, profile, path), ("secret_id", "secret_key", "token")
    return keys_among(words, names, str(path), f" for profile {profile}")


def _json_words(text: str, path: Path) -> dict[str, str]:
    try:
        data = json.loads(text)
    except ValueError:  # its message quotes the file
        raise Wrong(f"{path} is not JSON, though it begins like it") from None
    return {name: value for name, value in data.items() if isinstance(value, str)}


# --- the machine ---------------------------------------------------------------------------------------------------


async def _instance(asked: Asked) -> Keys:
    """The role of the machine, by its metadata server."""
    base = (asked.around.metadata or METADATA) + ROLES
    role = asked.around.environ.get(MACHINES_ROLE) or await _machines_role(asked, base)
    reply = await metadata(asked, base + role)
    data = json_object(reply)
    if data.get("Code") != "Success":
        raise Unreachable(f"the metadata server says of role {role}: {foreign(str(data.get('Code')))}")
    return _temporary(data, "the metadata server")


async def _machines_role(asked: Asked, base: str) -> str:
    named = await metadata(asked, base)
    role = named.body.decode(errors="replace").strip()
    if not role or "/" in role or not role.isascii():
        raise NotHere("the metadata server names no role of this machine")
    return role


# --- roles and identity providers, by STS --------------------------------------------------------------------------


async def _oidc(asked: Asked) -> Keys:
    """A pod's service account; the token file is read anew each time, since it rotates."""
    environ = asked.around.environ
    if not all(environ.get(name) for name in OIDC):
        raise NotHere(f"the environment has no {', '.join(OIDC)}")
    region, provider, path, arn = (environ[name] for name in OIDC)
    token = await small_file(Path(path))
    if token is None:
        raise Wrong(f"there is no file {path} ({OIDC[2]})")
    role = Role(name=arn, duration=ROLE.usual)
    body = {"ProviderId": provider, "WebIdentityToken": token.strip(), **_wanted(role)}
    request = _request(asked, "AssumeRoleWithWebIdentity", region, body, asked.clock.now())
    headers = {**request.headers, "Authorization": "SKIP"}
    reply = await send(asked, Request(request.api, request.method, request.url, headers, request.body))
    return given(_read(reply, role), role, reply)


def _sign(asked: Asked, keys: Keys, role: Role, now: int) -> Request:
    external = {"ExternalId": role.external_id} if role.external_id else {}
    request = _request(asked, "AssumeRole", asked.account.regions[0], {**_wanted(role), **external}, now)
    signable = Signable("sts", request.headers["Host"], request.body)
    proof = authorization(signable, now // SECOND, keys.id, keys.secret)
    headers = {**request.headers, "Authorization": proof, **({"X-TC-Token": keys.token} if keys.token else {})}
    return Request(request.api, request.method, request.url, headers, request.body)


def _wanted(role: Role) -> dict[str, Any]:
    return {"RoleArn": role.name, "RoleSessionName": role.session_name, "DurationSeconds": int(role.duration)}


def _request(asked: Asked, action: str, region: str, body: Mapping[str, Any], now: int) -> Request:
    """A request that does not prove yet who sends it."""
    origin = asked.account.identity_endpoint.replace("{region}", region).rstrip("/")
    headers = {
        "Host": origin.partition("://")[2].partition("/")[0],
        "Content-Type": CONTENT_TYPE,
        "X-TC-Action": action,
        "X-TC-Version": STS_VERSION,
        "X-TC-Timestamp": str(now // SECOND),
        "X-TC-Region": region,
    }
    return Request(action, "POST", f"{origin}/", headers, json.dumps(body).encode())


def _read(reply: Reply, _role: Role) -> Keys | Fault:
    """API errors come with HTTP 200; every other status is from something that stands before the API."""
    response = _part(json_object(reply), "Response")
    if reply.status != 200 or not response:  # noqa: PLR2004 - HTTP's own number
        raise Unreachable(f"STS answered HTTP {reply.status} without a response of its own")
    if "Error" not in response:
        return _temporary({**_part(response, "Credentials"), "ExpiredTime": response.get("ExpiredTime")}, "STS")
    code = str(_part(response, "Error").get("Code"))
    if code in CLOCK_OFF:
        return Fault(code, "clock")
    return Fault(code, "later" if classify("", code) in _LATER else "wrong")


def _temporary(data: Mapping[str, Any], where: str) -> Keys:
    """Temporary keys as the metadata server and STS both name them."""
    key_id, secret, token = (str(data.get(name) or "") for name in ("TmpSecretId", "TmpSecretKey", "Token"))
    expires = data.get("ExpiredTime")
    if not (key_id and secret and token and isinstance(expires, int)):
        raise Unreachable(f"{where} answered without keys")
    return Keys(key_id, secret, token, expires * SECOND)


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


ASSUME: Final = taking(_sign, _read)
"""Takes a role."""


def _in_the_environments_role(source: Source) -> Source:
    """The keys of a source, or those of the role that the environment names; the configuration's role goes first."""

    async def read(asked: Asked) -> Keys:
        keys = await source(asked)
        role = None if asked.spec.role else _environs_role(asked.around.environ)
        return keys if role is None else await ASSUME(asked, keys, role)

    return read


def _environs_role(environ: Mapping[str, str]) -> Role | None:
    def named(*names: str) -> str:
        return next((environ[name] for name in names if environ.get(name)), "")

    arn, seconds = named(*ROLE_ARN), named(DURATION)
    if not arn:
        return None
    if seconds and not (seconds.isascii() and seconds.isdecimal() and 0 < int(seconds) <= ROLE.longest):
        raise Wrong(f"{DURATION} is no number of seconds up to {ROLE.longest:.0f}")
    return Role(
        name=arn,
        external_id=named(EXTERNAL_ID),
        session_name=named(*SESSION_NAME) or "imageferry",
        duration=float(seconds or ROLE.usual),
    )


# --- the order -----------------------------------------------------------------------------------------------------

CHAIN: Final = (
    Step(
        "env",
        "`TENCENTCLOUD_SECRET_ID`, `TENCENTCLOUD_SECRET_KEY`, and `TENCENTCLOUD_TOKEN` or"
        " `TENCENTCLOUD_SECURITY_TOKEN`",
        _in_the_environments_role(_plain),
    ),
    Step(
        "file",
        f"the file that `${FILE_VARIABLE}` names; else `~/.tencentcloud/credentials`, `/etc/tencentcloud/credentials`"
        " (INI: `secret_id secret_key token`), `~/.tccli/<profile>.credential` (the command line's JSON);"
        " profile `default`",
        _in_the_environments_role(_file),
    ),
    Step(
        "instance",
        f"the machine's CAM role, at `{METADATA}`; `${MACHINES_ROLE}` names the role where the server is not to be"
        " asked for it",
        _in_the_environments_role(_instance),
    ),
    Step(
        "oidc",
        f"a pod's service account: `{OIDC[0]}`, `{OIDC[1]}`, `{OIDC[2]}`, `{OIDC[3]}`; by STS"
        " `AssumeRoleWithWebIdentity`",
        _oidc,
    ),
)
"""Where the vendor's SDK looks, in its order."""

NOTES: Final = (
    (
        f"`{'` or `'.join(ROLE_ARN)}` names a role that is taken with the keys of `env`, `file` or `instance` by STS"
        f" `AssumeRole`, with `{'` or `'.join(SESSION_NAME)}`, `{DURATION}` (seconds) and `{EXTERNAL_ID}`."
        " A `role_arn` in the configuration is taken instead of it."
    ),
)
"""What else is to be known about them, for people, in Markdown."""

SOURCES: Final[Mapping[str, Source]] = table_of(from_config("secret_id", "secret_key", "token"), CHAIN)
"""The sources that a configuration may name -> how each is read; the chain is the vendor's own."""
