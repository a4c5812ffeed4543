"""Where JD Cloud's users keep their keys: in the configuration, the environment, the command line's file, the machine.

The adapter hands :data:`SOURCES` and :data:`ASSUME` to ``Credentials``. The vendor has no sign-in by OIDC, and its SDKs
read explicit keys only; the machine's role is asked only where the configuration names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from imageferry.clouds.credentials import MARGIN, Asked, FirstOf, Keys, NotHere, Source, Step, Unreachable, table_of
from imageferry.clouds.jdcloud.codes import NOT_PROVEN, classify
from imageferry.clouds.jdcloud.dialect import dialect, token_text
from imageferry.clouds.jdcloud.facts import FACTS
from imageferry.clouds.jdcloud.sign import NO_REGION, Scope, Signable, authorization, path_text
from imageferry.clouds.places import from_config, from_environ, ini_words, json_object, keys_among, metadata, small_file
from imageferry.clouds.reading import moment
from imageferry.clouds.roles import Fault, clock_is_off, taking
from imageferry.clouds.wire import Reply, Request, foreign, http_date
from imageferry.core.account import Account, Role
from imageferry.core.times import SECOND

METADATA: Final = "http://169.254.169.254"
ROLE: Final = "/metadata/latest/iam/instance-role-security-credentials"
STS: Final = "https://sts.jdcloud-api.com"
ASSUME_ROLE: Final = "/v1/sessionToken:assumeRole"
USED_FOR: Final = 900 * SECOND
"""How long a machine's keys are used where nothing says when they end."""

_LATER: Final = frozenset({"throttled", "retry"})
"""Classes of codes after which the same request may succeed."""

_named = from_environ("JDCLOUD_ACCESS_KEY", "JDCLOUD_SECRET_KEY", ("JDCLOUD_SESSION_TOKEN",))
_named_otherwise = from_environ("JDCLOUD_ACCESS_KEY_ID", "JDCLOUD_SECRET_ACCESS_KEY", ("JDCLOUD_SESSION_TOKEN",))


async def _file(asked: Asked) -> Keys:
    """The command line's INI file; its current profile stands in a file beside it."""
    folder = asked.around.home / ".jdc"
    path = Path(asked.spec.path) if asked.spec.path else folder / "config"
    text = await small_file(path)
    if text is None:
        raise NotHere(f"there is no file {path}")
    profile = asked.spec.profile or (await small_file(folder / "current") or "").strip() or "default"
    words = ini_words(text, profile, path)
    return keys_among(words, ("access_key", "secret_key", "session_token"), str(path), f" for profile {profile}")


async def _instance(asked: Asked) -> Keys:
    """The role of the machine, by its metadata server."""
    reply = await metadata(asked, (asked.around.metadata or METADATA) + ROLE)
    data = json_object(reply)
    key, secret, token = (str(data.get(name) or "") for name in ("accessKey", "secretKey", "sessionToken"))
    if str(data.get("Code", "")).lower() != "success" or not (key and secret and token):
        raise NotHere(f"the metadata server gives no keys: {foreign(str(data.get('Code')))}")
    return Keys(key, secret, token, _end(data.get("expiration")) or reply.received_at + MARGIN + USED_FOR)


def _end(text: object) -> int | None:
    """When keys end, where the metadata server says so with a zone: the vendor's zoneless times are not sure."""
    return moment(text)


# --- roles ---------------------------------------------------------------------------------------------------------


def _sign(asked: Asked, keys: Keys, role: Role, now: int) -> Request:
    info = {"roleJrn": role.name, "roleSessionName": role.session_name, "durationSeconds": int(role.duration)}
    body = json.dumps({"assumeRoleInfo": info}).encode()
    speech, base = dialect(asked.account), _sts(asked.account)
    host, _, prefix = base.partition("://")[2].partition("/")
    path = f"/{prefix}{ASSUME_ROLE}".replace("//", "/")
    headers = {
        "content-type": "application/json",
        "host": host.removesuffix(":80").removesuffix(":443"),
        "x-jdcloud-date": datetime.fromtimestamp(now // SECOND, UTC).strftime("%Y%m%dT%H%M%SZ"),
        "x-jdcloud-nonce": str(asked.nonce()),
    }
    if keys.token:
        headers["x-jdcloud-security-token"] = token_text(keys.token, speech.token)
    signable = Signable("POST", path, (), headers, body)
    proof = authorization(signable, Scope(NO_REGION, "sts"), keys.id, keys.secret, speech.scheme)
    url = f"{base.partition('://')[0]}://{host}{path_text(path)}"
    return Request("assumeRole", "POST", url, {**headers, "authorization": proof}, body)


def _sts(account: Account) -> str:
    """Where the token service is: beside the vendor's identity service, or at the configured one."""
    if account.identity_endpoint == FACTS.identity_endpoint:
        return STS
    return account.identity_endpoint.replace("{region}", account.regions[0]).rstrip("/")


def _read(reply: Reply, role: Role) -> Keys | Fault:
    """The time at which the keys end is written without a zone, so it is counted from the length that was asked for."""
    data = json_object(reply)
    error = _part(data, "error")
    if error or reply.status >= 400:  # noqa: PLR2004 - HTTP's own bound of an error
        return _fault(reply, error)
    inner = _part(_part(data, "result"), "credentials")
    key, secret, token = (str(inner.get(name) or "") for name in ("accessKey", "secretKey", "sessionToken"))
    if not (key and secret and token):
        raise Unreachable("STS answered without keys")
    begun = http_date(reply.headers.get("date", ""))
    return Keys(key, secret, token, (reply.sent_at if begun is None else begun) + int(role.duration) * SECOND)


def _fault(reply: Reply, error: Mapping[str, Any]) -> Fault:
    status = str(error.get("status") or "")
    told = f"HTTP {reply.status}{f' {status}' if status else ''}"
    if classify(status, str(error.get("message") or ""), reply.status) in _LATER:
        return Fault(told, "later")
    # A time that is off has no code of its own.
    return Fault(told, "clock" if clock_is_off(reply) and status in NOT_PROVEN else "wrong")


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


ASSUME: Final = taking(_sign, _read)
"""Takes a role."""

# --- the order -----------------------------------------------------------------------------------------------------

CHAIN: Final = (
    Step(
        "env",
        "`JDCLOUD_ACCESS_KEY`, `JDCLOUD_SECRET_KEY`; else `JDCLOUD_ACCESS_KEY_ID`, `JDCLOUD_SECRET_ACCESS_KEY`;"
        " `JDCLOUD_SESSION_TOKEN`",
        FirstOf(_named, _named_otherwise),
    ),
    Step(
        "file",
        "`~/.jdc/config` (the command line's INI: `access_key secret_key session_token`); the profile that"
        " `~/.jdc/current` names, else `default`",
        _file,
    ),
)
BESIDE: Final = (Step("instance", f"the machine's role, at `{METADATA}`", _instance),)
"""Asked only where a configuration names it."""

NOTES: Final = (
    "There is no `oidc`: the vendor has no sign-in by an identity token.",
    (
        "The object storage is said not to know tokens. Keys of a role or of the machine can start exports and copies,"
        " but an export is only done when its object was seen: use long-lived keys where the storage refuses others."
    ),
)
"""What else is to be known about them, for people, in Markdown."""

SOURCES: Final[Mapping[str, Source]] = table_of(from_config("access_key", "secret_key", "session_token"), CHAIN, BESIDE)
"""The sources that a configuration may name -> how each is read."""
