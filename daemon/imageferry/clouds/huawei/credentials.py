"""Where an account's keys for Huawei Cloud come from: every source that the vendor's own tools know, in their order.

The adapter hands :data:`SOURCES` and :data:`ASSUME` to the credentials that all clouds share. No value of a key is in
any error or log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from imageferry.clouds.credentials import Asked, Keys, NotHere, Silent, Source, Step, Unreachable, Wrong, table_of
from imageferry.clouds.huawei.answers import fault
from imageferry.clouds.huawei.codes import not_proven
from imageferry.clouds.huawei.endpoints import identity, tokens
from imageferry.clouds.huawei.sign import Signable, authorization, date_text
from imageferry.clouds.places import from_config, from_environ, ini_words, json_object, keys_among, small_file
from imageferry.clouds.reading import whole
from imageferry.clouds.roles import Fault, clock_is_off, send, taking
from imageferry.clouds.wire import Reply, Request, foreign
from imageferry.core.account import Role
from imageferry.core.times import parse_rfc3339
from imageferry.telemetry.secrets import forget_secret, register_secret

METADATA: Final = "http://169.254.169.254"
SESSION_TOKEN: Final = "/meta-data/latest/api/token"  # noqa: S105 - a path
SECURITY_KEY: Final = "/openstack/latest/securitykey"
NO_AGENCY: Final = "Please configure Cloud Service Agency first"
"""In the metadata server's answer: the machine has no agency."""
QUICK: Final = 3.0
"""Seconds a metadata server has to answer."""
LONG: Final = 21600
"""Seconds that keys and tokens are asked for, where their length is ours to say."""
IAM_VARIABLE: Final = "HUAWEICLOUD_SDK_IAM_ENDPOINT"
SECURITY_TOKENS: Final = "/v3.0/OS-CREDENTIAL/securitytokens"
FILE_VARIABLE: Final = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
SECTION: Final = "basic"

_OK: Final = 200
_MULTIPLE: Final = 300
_ERROR: Final = 400
_NO_SESSIONS: Final = (404, 405, 503)
_JSON: Final = {"content-type": "application/json;charset=UTF-8"}
_OIDC: Final = ("HUAWEICLOUD_OIDC_PROVIDER_URN", "HUAWEICLOUD_OIDC_AGENCY_URN")
_OIDC_TOKEN: Final = ("HUAWEICLOUD_OIDC_ID_TOKEN", "HUAWEICLOUD_OIDC_TOKEN_FILE")
_POD: Final = ("HC_CONTAINER_CREDENTIALS_FULL_URI", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE")
_FEDERATED: Final = ("HUAWEICLOUD_SDK_IDP_ID", "HUAWEICLOUD_SDK_ID_TOKEN_FILE")

_plain: Final = from_environ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", ("HUAWEICLOUD_SDK_SECURITY_TOKEN",))


# --- environment and file ------------------------------------------------------------------------------------------


async def _environ(asked: Asked) -> Keys:
    """An identity provider's token stands before plain keys."""
    provider, path = (asked.around.environ.get(name, "") for name in _FEDERATED)
    if provider and path:
        return await _federated(asked, provider, Path(path))
    return await _plain(asked)


async def _file(asked: Asked) -> Keys:
    """The SDK's INI file."""
    own = asked.spec.path or asked.around.environ.get(FILE_VARIABLE)
    path = Path(own) if own else asked.around.home / ".huaweicloud/credentials"
    text = await small_file(path)
    if text is None:
        raise NotHere(f"there is no file {path}")
    profile = asked.spec.profile or SECTION
    words = ini_words(text, profile, path)
    if words.get("idp_id") and words.get("id_token_file"):
        return await _federated(asked, words["idp_id"], Path(words["id_token_file"]), words.get("iam_endpoint", ""))
    return keys_among(words, ("ak", "sk", "security_token"), str(path), f" for profile {profile}")


# --- the machine and the pod ---------------------------------------------------------------------------------------


async def _instance(asked: Asked) -> Keys:
    """The agency of the machine, by its metadata server; older servers know no sessions."""
    base = asked.around.metadata or METADATA
    ttl = {"x-metadata-token-ttl-seconds": str(LONG)}
    try:
        opened = await _ask(asked, Request("metadata", "PUT", base + SESSION_TOKEN, ttl, deadline=QUICK))
    except Unreachable as error:
        raise Silent(str(error)) from error
    if opened.status != _OK and opened.status not in _NO_SESSIONS:
        raise Silent(f"the metadata server {base} answered HTTP {opened.status}")
    session = opened.body.decode(errors="replace").strip() if opened.status == _OK else ""
    headers = {"x-metadata-token": session} if session.isascii() and session.isprintable() and session else {}
    given = await _ask(asked, Request("metadata", "GET", base + SECURITY_KEY, headers, deadline=QUICK))
    if NO_AGENCY in given.body.decode(errors="replace"):
        raise NotHere(f"this machine has no agency (the metadata server says: {NO_AGENCY})")
    if given.status == 404:  # noqa: PLR2004 - HTTP's own number
        raise NotHere("this machine has no agency (the metadata server answered 404)")
    return _temporary(given, f"the metadata server {base}")


async def _pod(asked: Asked) -> Keys:
    """The identity of a pod, by the agent beside it."""
    url, path = (asked.around.environ.get(name, "") for name in _POD)
    if not (url and path):
        raise NotHere(f"the environment has no {' and '.join(_POD)}")
    token = await _token(Path(path), _POD[1])
    headers = {**_JSON, "authorization": token}
    return _temporary(await _ask(asked, Request("PodIdentity", "POST", url, headers, b"{}")), "the pod's agent")


# --- identity providers --------------------------------------------------------------------------------------------


async def _sts(asked: Asked) -> Keys:
    """An agency that is assumed with an identity token, by STS."""
    environ = asked.around.environ
    if not all(environ.get(name) for name in _OIDC):
        raise NotHere(f"the environment has no {' and '.join(_OIDC)}")
    inline, path = (environ.get(name, "") for name in _OIDC_TOKEN)
    if not (inline or path):
        raise Wrong(f"the environment has no {' or '.join(_OIDC_TOKEN)}, though it has {_OIDC[0]}")
    wanted: dict[str, Any] = {
        "provider_urn": environ[_OIDC[0]],
        "agency_urn": environ[_OIDC[1]],
        "agency_session_name": environ.get("HUAWEICLOUD_OIDC_SESSION_NAME") or "imageferry",
        "id_token": inline or await _token(Path(path), _OIDC_TOKEN[1]),
        "duration_seconds": _seconds(environ.get("HUAWEICLOUD_OIDC_DURATION_SECONDS", "")),
    }
    if policy := environ.get("HUAWEICLOUD_OIDC_POLICY"):
        wanted["policy"] = policy
    if policies := [each.strip() for each in environ.get("HUAWEICLOUD_OIDC_POLICY_IDS", "").split(",") if each.strip()]:
        wanted["policy_ids"] = policies
    url = f"{tokens(asked.account, asked.account.regions[0], environ)}/v5/agencies/assume-with-oidc"
    return _temporary(await _post(asked, "AssumeAgencyWithOIDC", url, wanted), "STS")


async def _federated(asked: Asked, provider: str, path: Path, endpoint: str = "") -> Keys:
    """An identity token becomes a token of IAM's own, and that one keys; both are read anew each time."""
    id_token = await _token(path, _FEDERATED[1])
    environ = asked.around.environ
    own = endpoint or environ.get(IAM_VARIABLE) or identity(asked.account, asked.account.regions[0])
    base = own.rstrip("/")
    body = {"auth": {"id_token": {"id": id_token}}}
    url = f"{base}/v3.0/OS-AUTH/id-token/tokens"
    answered = await _post(asked, "CreateUnscopedTokenWithIdToken", url, body, {"x-idp-id": provider})
    token = answered.headers.get("x-subject-token", "")
    if answered.status >= _MULTIPLE or not token:
        raise _no_keys(answered, "IAM")
    register_secret(token)
    try:
        auth = {"identity": {"methods": ["token"], "token": {"id": token, "duration_seconds": LONG}}}
        url = f"{base}{SECURITY_TOKENS}"
        return _temporary(await _post(asked, "CreateTemporaryAccessKey", url, {"auth": auth}), "IAM")
    finally:
        forget_secret(token)


async def _token(path: Path, name: str) -> str:
    text = (await small_file(path) or "").strip()
    if not text:
        raise Wrong(f"there is no token in {path} ({name})")
    return text


def _seconds(text: str) -> int:
    seconds = whole(text)
    return 3600 if seconds is None else seconds


# --- asking --------------------------------------------------------------------------------------------------------


async def _post(
    asked: Asked, api: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> Reply:
    return await _ask(asked, Request(api, "POST", url, {**_JSON, **(headers or {})}, json.dumps(body).encode()))


async def _ask(asked: Asked, request: Request) -> Reply:
    """Whatever was answered, whatever its status.

    :raises Unreachable: nothing was.
    """
    host = request.url.partition("://")[2].partition("/")[0]
    sent = Request(
        request.api, request.method, request.url, {"host": host, **request.headers}, request.body, request.deadline
    )
    return await send(asked, sent)


def _temporary(reply: Reply, where: str) -> Keys:
    """Temporary keys under any of the names that the vendor's services give their parts."""
    data = json_object(reply)
    inner = data.get("credential") or data.get("credentials") or data
    if reply.status >= _MULTIPLE or not isinstance(inner, Mapping):
        raise _no_keys(reply, where)

    def named(*names: str) -> str:
        return next((str(inner[name]) for name in names if inner.get(name)), "")

    key, secret = (
        named("access", "accessKeyId", "access_key_id"),
        named("secret", "secretAccessKey", "secret_access_key"),
    )
    token, ends = named("securitytoken", "securityToken", "security_token"), named("expires_at", "expiration")
    if not (key and secret and token and ends):
        raise Unreachable(f"{where} answered without keys")
    try:
        return Keys(key, secret, token, parse_rfc3339(ends))
    except ValueError:
        raise Unreachable(f"{where} gave keys without a time at which they end") from None


def _no_keys(reply: Reply, where: str) -> Wrong | Unreachable:
    """What asking for keys was refused with: another try helps unless the fault is on our side."""
    code = fault(json_object(reply)).code
    reason = f"{where} gives no keys: HTTP {reply.status}{f' {foreign(code)}' if code else ''}"
    ours = _ERROR <= reply.status < 500 and reply.status not in (408, 429)  # noqa: PLR2004 - HTTP's own numbers
    return Wrong(reason) if ours else Unreachable(reason)


# --- agencies ------------------------------------------------------------------------------------------------------


def _sign(asked: Asked, keys: Keys, role: Role, now: int) -> Request:
    wanted = {"agency_name": role.name, "domain_name": role.owner, "duration_seconds": int(role.duration)}
    auth = {"identity": {"methods": ["assume_role"], "assume_role": wanted}}
    body = json.dumps({"auth": auth}).encode()
    base = asked.around.environ.get(IAM_VARIABLE) or identity(asked.account, asked.account.regions[0])
    host, _, prefix = base.rstrip("/").partition("://")[2].partition("/")
    path = f"/{prefix}{SECURITY_TOKENS}".replace("//", "/")
    headers = {"content-type": _JSON["content-type"], "host": host, "x-sdk-date": date_text(now)}
    if keys.token:
        headers["x-security-token"] = keys.token
    proof = authorization(Signable("POST", path, (), headers, body), keys.id, keys.secret)
    url = f"{base.partition('://')[0]}://{host}{path}"
    return Request("CreateTemporaryAccessKeyByAgency", "POST", url, {**headers, "authorization": proof}, body)


def _read(reply: Reply, _role: Role) -> Keys | Fault:
    if reply.status < _MULTIPLE:
        return _temporary(reply, "IAM")
    code = fault(json_object(reply)).code
    told = f"HTTP {reply.status}{f' {code}' if code else ''}"
    if isinstance(_no_keys(reply, "IAM"), Unreachable):
        return Fault(told, "later")
    # The gateway has one code for all that it cannot prove, a time that is off among it.
    return Fault(told, "clock" if clock_is_off(reply) and not_proven(code, reply.status) else "wrong")


ASSUME: Final = taking(_sign, _read)
"""Takes an agency."""

# --- the order -----------------------------------------------------------------------------------------------------

CHAIN: Final = (
    Step(
        "oidc",
        f"an identity token, by STS: `{_OIDC[0]}`, `{_OIDC[1]}`, `{'` or `'.join(_OIDC_TOKEN)}`;"
        " `HUAWEICLOUD_OIDC_SESSION_NAME`, `…_DURATION_SECONDS`, `…_POLICY`, `…_POLICY_IDS`",
        _sts,
    ),
    Step(
        "env",
        f"`{_FEDERATED[0]}` and `{_FEDERATED[1]}` (an identity token, by IAM); else `HUAWEICLOUD_SDK_AK`,"
        " `HUAWEICLOUD_SDK_SK`, `HUAWEICLOUD_SDK_SECURITY_TOKEN`",
        _environ,
    ),
    Step(
        "file",
        f"the file that `${FILE_VARIABLE}` names; else `~/.huaweicloud/credentials` (INI: `idp_id id_token_file`, else"
        f" `ak sk security_token`); profile `{SECTION}`",
        _file,
    ),
    Step("instance", f"the machine's agency, at `{METADATA}`, in a session where the server has any", _instance),
    Step("oidc", f"a pod's identity: `{_POD[0]}`, `{_POD[1]}`", _pod),
)
"""Where the vendor's SDK looks, in its order."""

NOTES: Final = (
    f"`{IAM_VARIABLE}` and `HUAWEICLOUD_SDK_STS_ENDPOINT` are other addresses of IAM and STS.",
    "`oidc` without a chain asks STS first, then the pod's agent.",
)
"""What else is to be known about them, for people, in Markdown."""

SOURCES: Final[Mapping[str, Source]] = table_of(from_config("ak", "sk", "security_token"), CHAIN)
"""The sources that a configuration may name -> how each is read; the chain is the vendor's own."""
