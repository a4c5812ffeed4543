from __future__ import annotations

from pathlib import Path

import pytest

from support import programs


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(programs, "FOLDERS", (tmp_path / "built",))


def test_a_missing_program_skips_the_test_and_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="NOT TESTED: promtool is missing: install prometheus"):
        programs.need("promtool")


def test_a_missing_program_fails_the_test_under_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="promtool is missing: install prometheus"):
        programs.need("promtool")


def test_a_program_that_was_built_here_is_found(tmp_path: Path) -> None:
    built = tmp_path / "built" / "helm"
    built.parent.mkdir()
    built.write_text("#!/bin/sh\n")
    built.chmod(0o755)
    assert programs.need("helm") == str(built)
