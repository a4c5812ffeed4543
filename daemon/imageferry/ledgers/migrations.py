"""The numbered schema files: forward only, each carried out once and whole.

Read by a database when it is opened. ``schema/*.sql`` is shared, ``schema/<dialect>/*.sql`` belongs to one database;
together they are numbered without a gap. A file that was released is never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import NamedTuple

from imageferry.errors import LedgerError, SchemaTooNew


class Migration(NamedTuple):
    """One file."""

    version: int
    name: str
    text: str


def migrations(dialect: str, words: Mapping[str, str]) -> list[Migration]:
    """All of a database's migrations in order, its own words put in for those between ``@``."""
    schema = files("imageferry.ledgers") / "schema"
    found = []
    for folder in (schema, schema / dialect):
        for file in folder.iterdir():
            if file.name.endswith(".sql"):
                text = file.read_text(encoding="utf-8")
                for word, own in words.items():
                    text = text.replace(f"@{word}@", own)
                found.append(Migration(int(file.name.split("_")[0]), file.name, text))
    return sorted(found)


def missing(known: list[Migration], version: int, where: str) -> list[Migration]:
    """The migrations that a ledger of this version still needs.

    :raises SchemaTooNew: it was written by a newer program.
    """
    newest = known[-1].version
    if version > newest:
        raise SchemaTooNew(
            f"the ledger {where} was written by a newer imageferry (its schema is {version}, this program knows "
            f"{newest}); run that version, or give this one another ledger"
        )
    return [one for one in known if one.version > version]


def up_to_date(known: list[Migration], version: int, where: str) -> None:
    """Refuse to read a ledger whose schema is not this program's.

    :raises LedgerError: it is older; only the daemon may bring it up to date.
    """
    if missing(known, version, where):
        raise LedgerError(
            f"the ledger {where} was written by an older imageferry; start the daemon once to bring it up to date"
        )
