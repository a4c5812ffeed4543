"""Places where every vendor's users keep keys: the configuration, the environment, small files, a metadata server.

The clouds' own ``credentials`` are made of it, each with its vendor's words. No value of a key is in any of its errors.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import anyio

from imageferry.clouds import reading
from imageferry.clouds.credentials import POOL, Asked, Keys, NotHere, Silent, Source, Wrong
from imageferry.clouds.wire import Reply, Request, Told
from imageferry.core.answers import Answer

_QUICK: Final = 3.0
"""Seconds a metadata server has to answer; it is next door, or not there at all."""
_LARGEST_FILE: Final = 64 << 10


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
        token = next((name for name in tokens if environ.get(name)), "")
        return keys_among(environ, (key_id, secret, token), "the environment")

    return read


def keys_among(words: Mapping[str, str], names: tuple[str, str, str], where: str, of: str = "") -> Keys:
    """The keys among the words that a place has; ``names``: of the id, the secret and the token.

    :raises NotHere: it has neither id nor secret.
    :raises Wrong: it has one of the two.
    """
    key_id, secret, token = names
    missing = [name for name in (key_id, secret) if not words.get(name)]
    if len(missing) == 1:
        raise Wrong(f"{where} has {key_id} and {secret}{of} by half: there is no {missing[0]}")
    if missing:
        raise NotHere(f"{where} has no {key_id} and {secret}{of}")
    return Keys(words[key_id], words[secret], words.get(token, ""))


async def small_file(path: Path) -> str | None:
    """A small text file; None where there is none.

    :raises Wrong: it is there, and cannot be read as text.
    :raises NotHere: nobody lets us see whether it is there.
    """
    try:
        async with await anyio.open_file(path, "rb") as file:
            return (await file.read(_LARGEST_FILE)).decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        kind = Wrong if await _is_there(path) else NotHere
        raise kind(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:  # its message quotes the file
        raise Wrong(f"{path} cannot be read: it is not UTF-8 text") from None


async def _is_there(path: Path) -> bool:
    try:
        await anyio.Path(path).stat()
    except OSError:
        return False
    return True


def json_object(reply: Reply) -> Mapping[str, Any]:
    """The JSON object of a reply's body; empty where it is none."""
    return reading.json_object(reply.body) or {}


def read_plain(reply: Reply) -> Told:
    """A reply of which the status says it all."""
    if reply.status == 200:  # noqa: PLR2004 - HTTP's own number
        return Told(Answer("ok", ""), json_object(reply), reply)
    return Told(Answer("retry", f"HTTP {reply.status}"), {}, reply)


def ini_words(text: str, profile: str, path: Path) -> dict[str, str]:
    """The words of one section of an INI file; empty where it has no such section.

    :raises Wrong: it is no INI file.
    """
    reader = configparser.ConfigParser(interpolation=None)
    try:
        reader.read_string(text)
    except configparser.Error:  # its message quotes the file
        raise Wrong(f"{path} is not an INI file") from None
    return dict(reader[profile]) if profile in reader else {}


async def metadata(asked: Asked, url: str) -> Reply:
    """What a metadata server says.

    :raises NotHere: it has nothing there.
    :raises Silent: it did not answer, or not with a success.
    """
    host = url.partition("://")[2].partition("/")[0]
    request = Request("metadata", "GET", url, {"Host": host}, deadline=_QUICK)
    told = await asked.wire.ask(POOL, request, read_plain)
    if told.reply is not None and told.reply.status == 404:  # noqa: PLR2004 - HTTP's own number
        raise NotHere("this machine has no role (the metadata server answered 404)")
    if told.reply is None or told.answer.klass != "ok":
        raise Silent(f"the metadata server {host}: {told.answer.message}")
    return told.reply
