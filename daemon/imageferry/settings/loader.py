"""Finds the config file, reads it, and turns it into settings; every complaint about it comes at once.

The commands call it through the package. It opens the config file and the secret files it names, nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import BaseModel, SecretStr, ValidationError

from imageferry import yamlmap
from imageferry.core.account import Account
from imageferry.errors import BadFile, Complaint
from imageferry.publishers.specs import Spec as PublisherSpec
from imageferry.settings.accounts import account
from imageferry.settings.blueprint import Blueprint, Listen, Logging, parse_listen
from imageferry.settings.consistency import misfits
from imageferry.settings.placeholders import Filler
from imageferry.sources.specs import Spec as SourceSpec

VARIABLE: Final = "IMAGEFERRY_CONFIG"
"""Names the config file where ``--config`` does not."""
USUAL: Final = (Path("imageferry.yaml"), Path("/etc/imageferry/imageferry.yaml"))
"""Where the config file is looked for otherwise, in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the config file says, checked and with every default filled in."""

    path: Path
    ledger_url: str = field(repr=False)
    """``sqlite:///…`` or ``postgresql://…``; may hold a password."""
    policies: Path
    """A file or a folder."""
    ops: Listen
    logging: Logging
    accounts: tuple[Account, ...]
    sources: tuple[SourceSpec, ...]
    publishers: tuple[PublisherSpec, ...]
    secrets: tuple[str, ...] = field(repr=False)
    """Every secret the file gave, for the log to hide."""

    def warnings(self) -> list[str]:
        """What is allowed, but hardly meant."""
        return list(_warnings(self))


def find_config(explicit: str | None, environ: Mapping[str, str]) -> Path:
    """The config file: the one named by ``--config``, by the environment, or the first usual one that is there.

    :raises BadFile: none is named and none of the usual ones is there.
    """
    if named := explicit or environ.get(VARIABLE):
        return Path(named)
    for path in USUAL:
        if path.exists():
            return path
    places = " or ".join(str(path) for path in USUAL)
    message = f"there is no config file; expected {places}; name one with --config or {VARIABLE}"
    raise BadFile([Complaint(str(USUAL[0]), 1, 1, message)])


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """Read the config file with its variables and secret files.

    :raises BadFile: it is wrong; with all complaints, in the order of the file.
    """
    document = yamlmap.read(path, keep=True)
    filler = Filler(document, environ, Blueprint)
    data = filler.filled()
    said = [*document.faults, *filler.complaints]
    later = misfits(document, data)
    try:
        blueprint = Blueprint.model_validate(data)
    except ValidationError as error:
        later += document.complaints(error, Blueprint)
        blueprint = None
    complaints = {*said, *_unsaid(later, said)}
    if blueprint is None or complaints:
        raise BadFile(sorted(complaints))
    return _settings(path, blueprint)


def _unsaid(later: Iterable[Complaint], said: Iterable[Complaint]) -> list[Complaint]:
    """What does not merely follow from something that was said of the same place."""
    places = {(complaint.line, complaint.column) for complaint in said}
    return [complaint for complaint in later if (complaint.line, complaint.column) not in places]


def _settings(path: Path, blueprint: Blueprint) -> Settings:
    return Settings(
        path=path,
        ledger_url=blueprint.ledger.url.get_secret_value(),
        policies=path.parent / blueprint.policies,
        ops=parse_listen(blueprint.ops.listen),
        logging=blueprint.logging,
        accounts=tuple(account(name, shape) for name, shape in blueprint.accounts.items()),
        sources=tuple(blueprint.sources),
        publishers=tuple(blueprint.publishers),
        secrets=tuple(dict.fromkeys(_secrets(blueprint))),
    )


def _secrets(value: object) -> Iterator[str]:
    """Every secret inside a model; the ledger's address is one as a whole only where it holds a password."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        if "://" not in text:
            yield text
        elif ":" in (user := text.partition("://")[2].rpartition("@")[0]):
            yield user.partition(":")[2]
    elif isinstance(value, BaseModel):
        yield from _secrets([inner for _, inner in value])
    elif isinstance(value, Mapping):
        yield from _secrets(list(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets(inner)


def _warnings(settings: Settings) -> Iterator[str]:
    if not settings.sources:
        yield f"{settings.path}: no sources are configured; the daemon will hear of no image"
    for one in settings.accounts:
        if "{bucket}" not in one.storage_endpoint:
            yield (
                f"{settings.path}: accounts.{one.name}.storage_endpoint has no {{bucket}};"
                " objects of all buckets will be looked for at one address"
            )
