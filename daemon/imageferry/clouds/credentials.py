"""Keys for signing: where they come from, kept until they run out, read anew when they must be.

The clients of the clouds call :meth:`Credentials.get` for every request. What differs between vendors (words, files,
metadata servers) stands in :data:`SOURCES`, or in a table that a cloud's own adapter hands over. No value of a key is
in any error or log.
"""

from __future__ import annotations

import configparser
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import structlog

from imageferry.clouds.wire import Reply, Request, Told, Wire, foreign
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.errors import ImageferryError, Refused
from imageferry.ports import Clock
from imageferry.telemetry.secrets import forget_secret, register_secret

MARGIN: Final = 300 * SECOND
"""Keys with no more time left than this are read anew."""
PAUSE: Final = 5.0
"""Seconds between two failed tries to renew keys that still hold."""
POOL: Final = "credentials"
_QUICK: Final = 3.0
"""Seconds a metadata server has to answer; it is next door, or not there at all."""
_LARGEST_FILE: Final = 64 << 10

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with. Its repr shows nothing that opens anything."""

    id: str = field(repr=False)
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: int | None = None
    """Microseconds UTC; None: never, as far as is known."""


class NotHere(ImageferryError):
    """A source has no keys; the message says where it looked. A chain goes on with the next."""


class Unreachable(ImageferryError):
    """A source that may have keys could not be asked just now; trying again may help."""


@dataclass(frozen=True, slots=True)
class Around:
    """What the sources of keys look into; given, so that nothing is taken from the process by itself."""

    environ: Mapping[str, str]
    home: Path
    etc: Path = Path("/etc")
    metadata: str | None = None
    """Base URL of the machine's metadata server; None: the vendor's own."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything a source may use."""

    account: Account
    around: Around
    wire: Wire
    clock: Clock

    @property
    def spec(self) -> CredentialSpec:
        """What the configuration says about the account's keys."""
        return self.account.credentials


Source = Callable[[Asked], Awaitable[Keys]]
"""Reads keys.

:raises NotHere: there are none.
:raises Unreachable: it cannot be told now.
"""


class Credentials:
    """One account's keys, shared by everything that signs for it."""

    def __init__(
        self,
        account: Account,
        around: Around,
        wire: Wire,
        clock: Clock,
        sources: Mapping[str, Source] | None = None,
    ) -> None:
        """``sources``: the cloud's own, where it has no row in :data:`SOURCES`."""
        self._asked = Asked(account, around, wire, clock)
        self._clock = clock
        self._sources = SOURCES[account.cloud] if sources is None else sources
        self._keys: Keys | None = None
        self._winner: Source | None = None
        self._lock = anyio.Lock()
        self._not_before = 0.0

    async def get(self) -> Keys:
        """Keys that hold for a while; one read at a time, however many ask.

        :raises Refused: there are none (``auth``), or they cannot be read now (``never_sent``).
        """
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._lock:
            return self._fresh() or await self._renew()

    async def refresh(self, stale: Keys) -> Keys:
        """Keys read anew because the vendor refused ``stale``; the same again where the source has no others.

        :raises Refused: as for :meth:`get`.
        """
        async with self._lock:
            if self._keys is not None and self._keys != stale:
                return self._keys
            return await self._renew(stale)

    def _fresh(self) -> Keys | None:
        keys = self._keys
        if keys is None or keys.expires_at is None or keys.expires_at - self._clock.now() > MARGIN:
            return keys
        return keys if self._holds(keys) and self._clock.monotonic() < self._not_before else None

    def _holds(self, keys: Keys) -> bool:
        return keys.expires_at is None or keys.expires_at > self._clock.now()

    async def _renew(self, stale: Keys | None = None) -> Keys:
        try:
            keys = await self._read()
        except Refused as refused:
            if self._keys is None or self._keys == stale or not self._holds(self._keys):
                raise
            self._not_before = self._clock.monotonic() + PAUSE
            log.warning("keys not renewed", account=self._asked.account.name, reason=str(refused))
            return self._keys
        self._replace(keys)
        return keys

    async def _read(self) -> Keys:
        """From the source that had them last, else from the configured ones in their order."""
        name = self._asked.spec.source
        chain = chain_of(self._sources) if name == "chain" else [self._sources[name]]
        looked: list[str] = []
        for source in [self._winner] if self._winner else chain:
            try:
                keys = await source(self._asked)
            except Unreachable as error:
                if self._winner is not None or name != "chain":
                    raise Refused(Answer("never_sent", f"the keys cannot be read now: {error}")) from error
                looked.append(str(error))
            except NotHere as error:
                looked.append(str(error))
            else:
                self._winner = source
                return keys
        self._winner = None
        raise Refused(Answer("auth", f"no keys for account {self._asked.account.name}: {'; '.join(looked)}"))

    def _replace(self, keys: Keys) -> None:
        old, self._keys = self._keys, keys
        for value in {keys.secret, keys.token} - {""}:
            register_secret(value)
        if old is not None and old.token not in ("", keys.token):
            forget_secret(old.token)


# --- what every vendor has -----------------------------------------------------------------------------------------


def from_config(key_id: str, secret: str, token: str) -> Source:
    """Static keys, under the vendor's own words."""

    async def read(asked: Asked) -> Keys:
        values = asked.spec.values
        if not (values.get(key_id) and values.get(secret)):
            raise NotHere(f"the configuration gives no {key_id} and {secret}")
        return Keys(values[key_id], values[secret], values.get(token, ""))

    return read


def from_environ(key_id: str, secret: str, tokens: tuple[str, ...]) -> Source:
    """Environment variables; an empty one counts as unset."""

    async def read(asked: Asked) -> Keys:
        environ = asked.around.environ
        if not (environ.get(key_id) and environ.get(secret)):
            raise NotHere(f"the environment has no {key_id} and {secret}")
        token = next((environ[name] for name in tokens if environ.get(name)), "")
        return Keys(environ[key_id], environ[secret], token)

    return read


async def small_file(path: Path) -> str | None:
    """A small text file; None where there is none.

    :raises NotHere: it is there, and cannot be read as text.
    """
    try:
        async with await anyio.open_file(path, "rb") as file:
            return (await file.read(_LARGEST_FILE)).decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise NotHere(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8 text'}") from error


def json_object(reply: Reply) -> Mapping[str, Any]:
    """The JSON object of a reply's body; empty where it is none."""
    try:
        data = json.loads(reply.body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def _read_plain(reply: Reply) -> Told:
    """A metadata server's reply: its status says it all."""
    if reply.status == 200:  # noqa: PLR2004 - HTTP's own number
        return Told(Answer("ok", ""), json_object(reply), reply)
    return Told(Answer("retry", f"HTTP {reply.status}"), {}, reply)


def _part(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def _temporary(data: Mapping[str, Any], where: str) -> Keys:
    """Temporary keys as Tencent Cloud's metadata server and STS both name them."""
    key_id, secret, token = (str(data.get(name) or "") for name in ("TmpSecretId", "TmpSecretKey", "Token"))
    expires = data.get("ExpiredTime")
    if not (key_id and secret and token and isinstance(expires, int)):
        raise Unreachable(f"{where} answered without keys")
    return Keys(key_id, secret, token, expires * SECOND)


# --- Tencent Cloud -------------------------------------------------------------------------------------------------

_TENCENT_METADATA: Final = "http://metadata.tencentyun.com"
_TENCENT_ROLES: Final = "/latest/meta-data/cam/security-credentials/"
_TENCENT_OIDC: Final = ("TKE_REGION", "TKE_PROVIDER_ID", "TKE_WEB_IDENTITY_TOKEN_FILE", "TKE_ROLE_ARN")


async def _tencent_file(asked: Asked) -> Keys:
    """The SDK's INI file, or the command line's JSON file."""
    spec, around = asked.spec, asked.around
    own = spec.path or around.environ.get("TENCENTCLOUD_CREDENTIALS_FILE")
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
            return _tencent_words(text, profile, path)
    raise NotHere(f"there is no file {' or '.join(map(str, paths))}")


def _tencent_words(text: str, profile: str, path: Path) -> Keys:
    if text.lstrip().startswith("{"):
        words, names = _json_words(text, path), ("secretId", "secretKey", "token")
    else:
        words, names = ini_words(text, profile, path), ("secret_id", "secret_key", "token")
    key_id, secret, token = (words.get(name, "") for name in names)
    if not (key_id and secret):
        raise NotHere(f"{path} has no {names[0]} and {names[1]} for profile {profile}")
    return Keys(key_id, secret, token)


def _json_words(text: str, path: Path) -> dict[str, str]:
    try:
        data = json.loads(text)
    except ValueError:
        raise NotHere(f"{path} is not JSON, though it begins like it") from None
    return {name: value for name, value in data.items() if isinstance(value, str)}


def ini_words(text: str, profile: str, path: Path) -> dict[str, str]:
    """The words of one section of an INI file; empty where it has no such section.

    :raises NotHere: it is no INI file.
    """
    reader = configparser.ConfigParser(interpolation=None)
    try:
        reader.read_string(text)
    except configparser.Error:  # its message quotes the file
        raise NotHere(f"{path} is not an INI file") from None
    return dict(reader[profile]) if profile in reader else {}


async def _tencent_instance(asked: Asked) -> Keys:
    """The role of the machine, by its metadata server."""
    base = (asked.around.metadata or _TENCENT_METADATA) + _TENCENT_ROLES
    named = await metadata(asked, base)
    role = named.body.decode(errors="replace").strip()
    if not role or "/" in role or not role.isascii():
        raise NotHere("the metadata server names no role of this machine")
    reply = await metadata(asked, base + role)
    data = json_object(reply)
    if data.get("Code") != "Success":
        raise Unreachable(f"the metadata server says of role {role}: {foreign(str(data.get('Code')))}")
    return _temporary(data, "the metadata server")


async def metadata(asked: Asked, url: str) -> Reply:
    """What a metadata server says.

    :raises NotHere: it has nothing there.
    :raises Unreachable: it did not answer, or not with a success.
    """
    host = url.partition("://")[2].partition("/")[0]
    request = Request("metadata", "GET", url, {"Host": host}, deadline=_QUICK)
    told = await asked.wire.ask(POOL, request, _read_plain)
    if told.reply is not None and told.reply.status == 404:  # noqa: PLR2004 - HTTP's own number
        raise NotHere("this machine has no role (the metadata server answered 404)")
    if told.reply is None or told.answer.klass != "ok":
        raise Unreachable(f"the metadata server {host}: {told.answer.message}")
    return told.reply


async def _tencent_oidc(asked: Asked) -> Keys:
    """A pod's service account, by STS; the token file is read anew each time, since it rotates."""
    environ = asked.around.environ
    if not all(environ.get(name) for name in _TENCENT_OIDC):
        raise NotHere(f"the environment has no {', '.join(_TENCENT_OIDC)}")
    region, provider, path, role = (environ[name] for name in _TENCENT_OIDC)
    token = await small_file(Path(path))
    if token is None:
        raise NotHere(f"there is no file {path} (TKE_WEB_IDENTITY_TOKEN_FILE)")
    wanted = {"ProviderId": provider, "WebIdentityToken": token.strip(), "RoleArn": role}
    body = json.dumps({**wanted, "RoleSessionName": "imageferry", "DurationSeconds": 7200}).encode()
    told = await asked.wire.ask(POOL, _assume(asked.account.identity_endpoint, region, body), _read_plain)
    if told.answer.klass != "ok":
        raise Unreachable(f"STS AssumeRoleWithWebIdentity: {told.answer.message}")
    response = _part(told.content, "Response")
    if "Error" in response:
        raise NotHere(f"STS AssumeRoleWithWebIdentity: {foreign(str(_part(response, 'Error').get('Code')))}")
    return _temporary({**_part(response, "Credentials"), "ExpiredTime": response.get("ExpiredTime")}, "STS")


def _assume(endpoint: str, region: str, body: bytes) -> Request:
    origin = endpoint.replace("{region}", region).rstrip("/")
    headers = {
        "Host": origin.partition("://")[2],
        "Content-Type": "application/json",
        "Authorization": "SKIP",
        "X-TC-Action": "AssumeRoleWithWebIdentity",
        "X-TC-Version": "2018-08-13",
        "X-TC-Region": region,
    }
    return Request("AssumeRoleWithWebIdentity", "POST", f"{origin}/", headers, body)


CHAIN: Final = ("env", "file", "instance", "oidc")
"""The order in which the vendors' own SDKs look."""


def chain_of(sources: Mapping[str, Source]) -> Sequence[Source]:
    """A cloud's sources in the order of a chain: its own ``chain`` where it has one, else those it has of the usual."""
    return [sources["chain"]] if "chain" in sources else [sources[each] for each in CHAIN if each in sources]


SOURCES: Final[dict[str, Mapping[str, Source]]] = {
    "tencent": {
        "static": from_config("secret_id", "secret_key", "token"),
        "env": from_environ(
            "TENCENTCLOUD_SECRET_ID",
            "TENCENTCLOUD_SECRET_KEY",
            ("TENCENTCLOUD_TOKEN", "TENCENTCLOUD_SECURITY_TOKEN"),
        ),
        "file": _tencent_file,
        "instance": _tencent_instance,
        "oidc": _tencent_oidc,
    },
}
"""Cloud -> the sources that a configuration may name -> how each is read."""
