"""Where Alibaba Cloud's users keep their keys: the environment, files, a pod's token, the machine, an address.

The adapter hands :data:`SOURCES` to the credentials that all clouds share. Profiles and sections are read by the mode
that they name (:data:`MODES`, :data:`TYPES`). No value of a key is in any error or log.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from imageferry.clouds.aliyun.answers import fault
from imageferry.clouds.aliyun.roles import ASSUME, STS_INNER, STS_REGION, STS_VERSION, at_its_own_sts, role_of, sts, yes
from imageferry.clouds.aliyun.sign import query_text, timestamp
from imageferry.clouds.credentials import Asked, Keys, NotHere, Silent, Source, Step, Unreachable, Wrong, table_of
from imageferry.clouds.places import from_config, from_environ, ini_words, json_object, keys_among, small_file
from imageferry.clouds.roles import MOST, send
from imageferry.clouds.wire import Reply, Request, foreign
from imageferry.core.times import parse_rfc3339

METADATA: Final = "http://100.100.100.200"
SESSION: Final = "/latest/api/token"
ROLES: Final = "/latest/meta-data/ram/security-credentials/"
QUICK: Final = 3.0
"""Seconds a metadata server has to answer; it is next door, or not there at all."""
LONG: Final = "21600"
"""Seconds that a metadata server's session is asked for."""
STS_SECONDS: Final = "3600"
SESSION_NAME: Final = "imageferry"

CHAINED: Final = "ChainableRamRoleArn"
"""The mode of a profile whose role is taken with the keys of another profile."""

_OK: Final = 200
_MISSING: Final = 404
_MULTIPLE: Final = 300
_NO_SESSIONS: Final = (403, 404, 405)
_OIDC: Final = ("ALIBABA_CLOUD_ROLE_ARN", "ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "ALIBABA_CLOUD_OIDC_TOKEN_FILE")
_OURS: Final = range(400, 500)
_PASSING: Final = (408, 429)

Words = Mapping[str, str]
"""A profile's or section's own words."""
Reader = Callable[[Asked, Words, str], Awaitable[Keys]]
"""Reads the keys that a profile leads to; the text says where it stands.

:raises NotHere: there are none.
:raises Unreachable: it cannot be told now.
"""

_environ: Final = from_environ(
    "ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", ("ALIBABA_CLOUD_SECURITY_TOKEN",)
)


# --- files ---------------------------------------------------------------------------------------------------------


async def _file(asked: Asked) -> Keys:
    """The command line's JSON file, else the SDK's INI file; a configured path may be either."""
    environ = asked.around.environ
    if asked.spec.path:
        return await _either(asked, Path(asked.spec.path))
    looked: list[str] = []
    if not yes(environ.get("ALIBABA_CLOUD_CLI_PROFILE_DISABLED")):
        try:
            return await _either(asked, asked.around.home / ".aliyun/config.json")
        except NotHere as error:
            looked.append(str(error))
    own = environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE")
    try:
        return await _either(asked, Path(own) if own else asked.around.home / ".alibabacloud/credentials.ini")
    except NotHere as error:
        raise NotHere("; ".join((*looked, str(error)))) from error


async def _either(asked: Asked, path: Path) -> Keys:
    text = await small_file(path)
    if text is None:
        raise NotHere(f"there is no file {path}")
    if text.lstrip().startswith("{"):
        return await _profile(asked, text, path)
    return await _section(asked, text, path)


async def _profile(asked: Asked, text: str, path: Path) -> Keys:
    """A profile of the command line's file: the configured one, the environment's, or the file's current one."""
    try:
        data = json.loads(text)
    except ValueError:
        raise Wrong(f"{path} is not JSON, though it begins like it") from None
    listed = data.get("profiles")
    profiles = [each for each in (listed if isinstance(listed, list) else ()) if isinstance(each, dict)]
    wanted = asked.spec.profile or asked.around.environ.get("ALIBABA_CLOUD_PROFILE") or str(data.get("current") or "")
    if not wanted:
        raise NotHere(f"{path} has no profile (and names no current one)")
    return await _named(asked, profiles, wanted, path)


async def _named(asked: Asked, profiles: Sequence[Mapping[str, Any]], wanted: str, path: Path, taken: int = 0) -> Keys:
    """The keys of a profile; ``taken``: how many roles will be taken with them, one after the other."""
    found = next((each for each in profiles if str(each.get("name")) == wanted), None)
    if found is None:
        raise Wrong(f"{path} has no profile {wanted}")
    words = {str(name): str(value) for name, value in found.items() if value is not None}
    where = f"profile {wanted} of {path}"
    if words.get("mode") != CHAINED:
        return await _by_mode(asked, MODES, words.get("mode") or "AK", words, where)
    if taken >= MOST:
        raise Wrong(f"{where} is the source of {taken} profiles, one behind the other; at most {MOST} may be")
    role = role_of(words, where)
    keys = await _named(asked, profiles, words.get("source_profile", ""), path, taken + 1)
    return await ASSUME(at_its_own_sts(asked, words), keys, role)


async def _section(asked: Asked, text: str, path: Path) -> Keys:
    """A section of the SDK's file: the configured one, the environment's, or ``default``."""
    wanted = asked.spec.profile or asked.around.environ.get("ALIBABA_CLOUD_PROFILE") or "default"
    words = ini_words(text, wanted, path)
    if not words:
        raise (NotHere if wanted == "default" else Wrong)(f"{path} has no section {wanted}")
    return await _by_mode(asked, TYPES, words.get("type", "access_key"), words, f"section {wanted} of {path}")


async def _by_mode(asked: Asked, known: Mapping[str, Reader], mode: str, words: Words, where: str) -> Keys:
    read = known.get(mode)
    if read is None:
        names = (*known, CHAINED) if known is MODES else tuple(known)
        raise Wrong(f"{where} is of the kind {foreign(mode)}; imageferry reads {', '.join(names)}")
    return await read(asked, words, where)


async def _plain(asked: Asked, words: Words, where: str) -> Keys:  # noqa: ARG001 - other kinds ask somebody
    token = "sts_token" if words.get("sts_token") else "security_token"
    return keys_among(words, ("access_key_id", "access_key_secret", token), where)


async def _of_role(asked: Asked, words: Words, where: str) -> Keys:
    """The keys of a role that is taken with the profile's own."""
    role = role_of(words, where)
    return await ASSUME(at_its_own_sts(asked, words), await _plain(asked, words, where), role)


async def _of_machine(asked: Asked, words: Words, where: str) -> Keys:  # noqa: ARG001 - the machine is where it is
    try:
        return await _role_keys(asked, words.get("ram_role_name") or words.get("role_name") or "")
    except Silent as error:  # the profile says that it is there
        raise Unreachable(str(error)) from error


async def _of_provider(asked: Asked, words: Words, where: str) -> Keys:
    path = words.get("oidc_token_file") or words.get("oidc_token_file_path") or ""
    role = words.get("ram_role_arn") or words.get("role_arn") or ""
    provider = words.get("oidc_provider_arn") or ""
    if not (role and provider and path):
        raise Wrong(f"{where} has no role, oidc_provider_arn and oidc_token_file")
    session = words.get("ram_session_name") or words.get("role_session_name") or SESSION_NAME
    return await _assume_with_oidc(asked, role, provider, Path(path), session)


MODES: Final[Mapping[str, Reader]] = {
    "AK": _plain,
    "StsToken": _plain,
    "RamRoleArn": _of_role,
    "EcsRamRole": _of_machine,
    "OIDC": _of_provider,
}
"""What a profile of ``config.json`` may be of -> how it is read; :data:`CHAINED` is the sixth."""

TYPES: Final[Mapping[str, Reader]] = {
    "access_key": _plain,
    "sts": _plain,
    "ram_role_arn": _of_role,
    "ecs_ram_role": _of_machine,
    "oidc_role_arn": _of_provider,
}
"""The same for a section of ``credentials.ini``."""


# --- the machine ---------------------------------------------------------------------------------------------------


async def _instance(asked: Asked) -> Keys:
    """The RAM role of the machine, by its metadata server."""
    environ = asked.around.environ
    if yes(environ.get("ALIBABA_CLOUD_ECS_METADATA_DISABLED")):
        raise NotHere("the metadata server is switched off (ALIBABA_CLOUD_ECS_METADATA_DISABLED)")
    return await _role_keys(asked, environ.get("ALIBABA_CLOUD_ECS_METADATA", ""))


async def _role_keys(asked: Asked, role: str) -> Keys:
    """A role's keys; without a name the machine says which it has. Older servers know no sessions."""
    base = asked.around.metadata or METADATA
    ttl = {"X-aliyun-ecs-metadata-token-ttl-seconds": LONG}
    try:
        opened = await _ask(asked, Request("metadata", "PUT", base + SESSION, ttl, deadline=QUICK))
    except Unreachable as error:
        raise Silent(str(error)) from error
    session = opened.body.decode(errors="replace").strip() if opened.status == _OK else ""
    if not session and (
        opened.status not in _NO_SESSIONS or yes(asked.around.environ.get("ALIBABA_CLOUD_IMDSV1_DISABLED"))
    ):
        raise Silent(f"the metadata server {base} gives no session: HTTP {opened.status}")
    usable = session.isascii() and session.isprintable() and session
    headers = {"X-aliyun-ecs-metadata-token": session} if usable else {}
    if not role:
        named = await _ask(asked, Request("metadata", "GET", base + ROLES, headers, deadline=QUICK))
        role = named.body.decode(errors="replace").strip() if named.status == _OK else ""
        if named.status == _MISSING or (named.status == _OK and not role):
            raise NotHere("this machine has no RAM role")
        if named.status != _OK:
            raise Silent(f"the metadata server {base} names no role: HTTP {named.status}")
    if "/" in role or not (role.isascii() and role.isprintable()):
        raise NotHere("the metadata server names no role of this machine")
    given = await _ask(asked, Request("metadata", "GET", base + ROLES + role, headers, deadline=QUICK))
    if given.status == _MISSING:
        raise NotHere(f"this machine does not have the RAM role {role}")
    return _with_code(given, f"the metadata server {base}")


async def _uri(asked: Asked) -> Keys:
    """An address that answers as the metadata server does."""
    url = asked.around.environ.get("ALIBABA_CLOUD_CREDENTIALS_URI", "")
    if not url.startswith(("http://", "https://")):
        raise NotHere("the environment has no ALIBABA_CLOUD_CREDENTIALS_URI")
    return _with_code(await _ask(asked, Request("CredentialsURI", "GET", url, {})), "ALIBABA_CLOUD_CREDENTIALS_URI")


def _with_code(reply: Reply, where: str) -> Keys:
    """Keys as the metadata server gives them: with a word of success beside them."""
    data = json_object(reply)
    if reply.status != _OK or str(data.get("Code") or "Success") != "Success":
        raise Unreachable(f"{where} gives no keys: HTTP {reply.status} {foreign(str(data.get('Code') or ''))}".rstrip())
    return _temporary(data, where)


# --- an identity provider ------------------------------------------------------------------------------------------


async def _oidc(asked: Asked) -> Keys:
    """The role of a pod's service account, by STS."""
    environ = asked.around.environ
    if not all(environ.get(name) for name in _OIDC):
        raise NotHere(f"the environment has no {', '.join(_OIDC)}")
    role, provider, path = (environ[name] for name in _OIDC)
    session = environ.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or SESSION_NAME
    return await _assume_with_oidc(asked, role, provider, Path(path), session)


async def _assume_with_oidc(asked: Asked, role: str, provider: str, path: Path, session: str) -> Keys:
    """Unsigned: the token proves who asks. Its file is read anew each time, since it rotates."""
    token = (await small_file(path) or "").strip()
    if not token:
        raise Wrong(f"there is no token in {path}")
    wanted = {
        "RoleArn": role,
        "OIDCProviderArn": provider,
        "OIDCToken": token,
        "RoleSessionName": session,
        "DurationSeconds": STS_SECONDS,
    }
    return _temporary(await ask_sts(asked, "AssumeRoleWithOIDC", wanted), "STS")


async def ask_sts(asked: Asked, action: str, wanted: Mapping[str, str]) -> Mapping[str, Any]:
    """The keys that an unsigned request to STS is answered with.

    :raises Wrong: it was refused for good.
    :raises Unreachable: it was not answered, or another try may help.
    """
    common = {"Action": action, "Version": STS_VERSION, "Format": "JSON", "Timestamp": timestamp(asked.clock.now())}
    url = f"{sts(asked)}/?{query_text({**common, **wanted})}"
    reply = await _ask(asked, Request(action, "GET", url, {"Accept": "application/json"}))
    if reply.status < _MULTIPLE:
        inner = json_object(reply).get("Credentials")
        return inner if isinstance(inner, Mapping) else {}
    reason = f"STS {action}: HTTP {reply.status} {foreign(fault(reply.body).code)}".rstrip()
    ours = reply.status in _OURS and reply.status not in _PASSING and "Throttling" not in reason
    raise Wrong(reason) if ours else Unreachable(reason)


# --- asking --------------------------------------------------------------------------------------------------------


async def _ask(asked: Asked, request: Request) -> Reply:
    """Whatever was answered, whatever its status.

    :raises Unreachable: nothing was.
    """
    host = request.url.partition("://")[2].partition("/")[0]
    headers = {"host": host, **request.headers}
    sent = Request(request.api, request.method, request.url, headers, request.body, request.deadline)
    return await send(asked, sent)


def _temporary(data: Mapping[str, Any], where: str) -> Keys:
    key_id, secret, token, ends = (
        str(data.get(name) or "") for name in ("AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration")
    )
    if not (key_id and secret and token):
        raise Unreachable(f"{where} answered without keys")
    try:
        return Keys(key_id, secret, token, parse_rfc3339(ends))
    except ValueError:
        raise Unreachable(f"{where} gave keys without a time at which they end") from None


# --- the order -----------------------------------------------------------------------------------------------------

CHAIN: Final = (
    Step(
        "env",
        "`ALIBABA_CLOUD_ACCESS_KEY_ID`, `ALIBABA_CLOUD_ACCESS_KEY_SECRET`, `ALIBABA_CLOUD_SECURITY_TOKEN`",
        _environ,
    ),
    Step(
        "oidc",
        f"a pod's service account, by STS `AssumeRoleWithOIDC`: `{_OIDC[0]}`, `{_OIDC[1]}`, `{_OIDC[2]}`;"
        " `ALIBABA_CLOUD_ROLE_SESSION_NAME`",
        _oidc,
    ),
    Step(
        "file",
        "`~/.aliyun/config.json` (the command line's JSON; profile `$ALIBABA_CLOUD_PROFILE`, else its `current`; not"
        " with `ALIBABA_CLOUD_CLI_PROFILE_DISABLED=true`); else the file that `$ALIBABA_CLOUD_CREDENTIALS_FILE` names,"
        " else `~/.alibabacloud/credentials.ini` (section `$ALIBABA_CLOUD_PROFILE`, else `default`)",
        _file,
    ),
    Step(
        "instance",
        f"the machine's RAM role, at `{METADATA}`, in a session where the server has any; `$ALIBABA_CLOUD_ECS_METADATA`"
        " names the role where the server is not to be asked for it; not with"
        " `ALIBABA_CLOUD_ECS_METADATA_DISABLED=true`",
        _instance,
    ),
    Step("", "`$ALIBABA_CLOUD_CREDENTIALS_URI`, which answers as the metadata server does", _uri),
)
"""Where the vendor's SDK looks, in its order."""

_KINDS: Final = ", ".join(f"`{kind}`" for kind in (*MODES, CHAINED)), ", ".join(f"`{kind}`" for kind in TYPES)

NOTES: Final = (
    f"Profiles of the command line may be of the modes {_KINDS[0]}, sections of the types {_KINDS[1]}.",
    f"At most {MOST} profiles of `{CHAINED}` may stand one behind the other.",
    f"`{STS_REGION}` and `{STS_INNER}=true` choose another host of STS; `sts_region` and `enable_vpc` of a profile do.",
)
"""What else is to be known about them, for people, in Markdown."""

SOURCES: Final[Mapping[str, Source]] = table_of(
    from_config("access_key_id", "access_key_secret", "security_token"), CHAIN
)
"""The sources that a configuration may name -> how each is read; the chain is the vendor's own."""
