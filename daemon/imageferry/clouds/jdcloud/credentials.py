"""Where JD Cloud's users keep their keys: in the configuration, the environment, the command line's file, the machine.

The adapter hands the table to ``Credentials``. The vendor has no sign-in by OIDC, and its SDKs read explicit keys only;
the machine's role is asked only where the configuration names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from imageferry.clouds.credentials import (
    MARGIN,
    Asked,
    Keys,
    NotHere,
    Source,
    from_config,
    from_environ,
    ini_words,
    json_object,
    metadata,
    small_file,
)
from imageferry.clouds.wire import foreign
from imageferry.core.times import SECOND, parse_rfc3339

METADATA: Final = "http://169.254.169.254"
ROLE: Final = "/metadata/latest/iam/instance-role-security-credentials"
USED_FOR: Final = 900 * SECOND
"""How long a machine's keys are used where nothing says when they end."""

_named = from_environ("JDCLOUD_ACCESS_KEY", "JDCLOUD_SECRET_KEY", ("JDCLOUD_SESSION_TOKEN",))
_named_otherwise = from_environ("JDCLOUD_ACCESS_KEY_ID", "JDCLOUD_SECRET_ACCESS_KEY", ("JDCLOUD_SESSION_TOKEN",))


def _first(*sources: Source) -> Source:
    """The first source that has keys; what the others say is told when none has."""

    async def read(asked: Asked) -> Keys:
        looked: list[str] = []
        for source in sources:
            try:
                return await source(asked)
            except NotHere as error:
                looked.append(str(error))
        raise NotHere("; ".join(looked))

    return read


async def _file(asked: Asked) -> Keys:
    """The command line's INI file; its current profile stands in a file beside it."""
    folder = asked.around.home / ".jdc"
    path = Path(asked.spec.path) if asked.spec.path else folder / "config"
    text = await small_file(path)
    if text is None:
        raise NotHere(f"there is no file {path}")
    profile = asked.spec.profile or (await small_file(folder / "current") or "").strip() or "default"
    words = ini_words(text, profile, path)
    if not (words.get("access_key") and words.get("secret_key")):
        raise NotHere(f"{path} has no access_key and secret_key for profile {profile}")
    return Keys(words["access_key"], words["secret_key"], words.get("session_token", ""))


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
    try:
        return parse_rfc3339(str(text))
    except ValueError:
        return None


_environ: Final = _first(_named, _named_otherwise)

SOURCES: Final[Mapping[str, Source]] = {
    "static": from_config("access_key", "secret_key", "session_token"),
    "env": _environ,
    "file": _file,
    "instance": _instance,
    "chain": _first(_environ, _file),
}
"""The sources that a configuration may name -> how each is read."""
