"""The shape of the config file, as pydantic models with every default and description.

Read by the loader, by the table of settings and by the editors' schema. It knows nothing of files, variables or the
environment: what it validates has them filled in already. The shape of an account is in ``accounts``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, Field, SecretStr

from imageferry.publishers.specs import LogSpec
from imageferry.publishers.specs import Spec as PublisherSpec
from imageferry.settings.accounts import AccountShape, account_union
from imageferry.settings.credentials import STRICT
from imageferry.sources.specs import Spec as SourceSpec
from imageferry.wording import shown

_LAST_PORT: Final = 65_535


class Listen(NamedTuple):
    """An address to listen on; port 0 is any free one."""

    host: str
    port: int


def parse_listen(text: str) -> Listen:
    """The address of ``127.0.0.1:9464``, ``localhost:0`` or ``[::1]:9464``.

    :raises ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    fits = bare and not set(bare) & set(" /@[]") and (":" not in bare or bare != host)
    if not (fits and port.isascii() and port.isdecimal() and int(port) <= _LAST_PORT):
        raise ValueError(f'{shown(text)} is not an address to listen on; expected host:port, such as "127.0.0.1:9464"')
    return Listen(bare, int(port))


def _listen(text: str) -> str:
    parse_listen(text)
    return text


def _ledger_url(secret: SecretStr) -> SecretStr:
    url = secret.get_secret_value()
    expected = 'expected "sqlite:///path/to/ledger.db" or "postgresql://user@host/database"'
    scheme, slashes, rest = url.partition("://")
    if scheme == "sqlite" and slashes:
        if not rest.startswith("/") or rest.endswith("/"):
            raise ValueError(f"{shown(url)} does not name a file by its whole path; {expected}")
    elif scheme not in {"postgresql", "postgres"} or not _has_host(url):
        raise ValueError(f"{shown(url)} is not a ledger that imageferry knows; {expected}")
    return secret


def _has_host(url: str) -> bool:
    """Whether a URL can be taken apart; the parser's own complaint would quote it, password and all."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0) and len(parts.path) > 1
    except ValueError:
        return False


class Ledger(BaseModel):
    """Where the ledger is."""

    model_config = STRICT

    url: Annotated[SecretStr, AfterValidator(_ledger_url)] = Field(
        default=SecretStr("sqlite:///var/lib/imageferry/ledger.db"),
        description="`sqlite:///` and the whole path of a file, or `postgresql://user@host/database`",
    )


class Ops(BaseModel):
    """The operators' listener."""

    model_config = STRICT

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="127.0.0.1:9464",
        description="where `/metrics`, `/livez`, `/readyz` and `/api/v1/…` are served; port 0 is any free one, logged",
    )


class Logging(BaseModel):
    """The daemon's own log."""

    model_config = STRICT

    format: Literal["json", "console"] = Field(
        default="json", description="one JSON object a line, or lines for people"
    )
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="the least that is logged")


def _no_log() -> list[PublisherSpec]:
    return [LogSpec()]


def _account_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", name):
        expected = "expected up to 63 letters, digits, dots, hyphens and underscores, first a letter or digit"
        raise ValueError(f"{shown(name)} is not an account's name; {expected}")
    return name


AccountName = Annotated[str, AfterValidator(_account_name)]
"""What people call an account; it stands in metrics and event sources."""

if TYPE_CHECKING:
    AnyAccount = AccountShape
else:
    AnyAccount = account_union()


class Blueprint(BaseModel):
    """The whole config file."""

    model_config = STRICT

    ledger: Ledger = Ledger()
    policies: str = Field(
        default="policies/",
        min_length=1,
        description="a policy file, or a folder of `*.yaml`; relative to the config file",
    )
    ops: Ops = Ops()
    logging: Logging = Logging()
    accounts: dict[AccountName, AnyAccount] = Field(min_length=1, description="the accounts, by the name you give them")
    sources: list[SourceSpec] = Field(default=[], description="where events come from; without one nothing is heard")
    publishers: list[PublisherSpec] = Field(
        default_factory=_no_log, min_length=1, description="where completions go; `[{type: log}]` when left out"
    )
