"""The schema files: numbered without a gap, and the same in what they forbid as the code."""

from __future__ import annotations

import pytest

from imageferry.errors import LedgerError, SchemaTooNew
from imageferry.ledgers.migrations import Migration, missing, up_to_date
from imageferry.ledgers.sqlite import known_migrations

KNOWN = [Migration(n, f"000{n}_x.sql", "") for n in (1, 2, 3)]


def test_files_are_numbered_from_one_without_a_gap() -> None:
    assert [one.version for one in known_migrations()] == list(range(1, len(known_migrations()) + 1))


def test_every_word_of_the_dialect_is_put_in() -> None:
    assert [one.name for one in known_migrations() if "@" in one.text] == []


@pytest.mark.parametrize(("version", "needed"), [(0, [1, 2, 3]), (2, [3]), (3, [])])
def test_what_a_ledger_lacks_is_known_by_its_version(version: int, needed: list[int]) -> None:
    assert [one.version for one in missing(KNOWN, version, "here")] == needed


def test_a_newer_ledger_is_not_touched() -> None:
    with pytest.raises(SchemaTooNew, match=r"ledger here .*its schema is 4, this program knows 3"):
        missing(KNOWN, 4, "here")


def test_an_older_ledger_is_not_read() -> None:
    with pytest.raises(LedgerError, match="start the daemon once"):
        up_to_date(KNOWN, 2, "here")
    up_to_date(KNOWN, 3, "here")
