from __future__ import annotations

import sys
from pathlib import Path

import pytest

from imageferry.cli.closing import program


def script(folder: Path) -> Path:
    path = folder / "imageferry"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_program_on_the_path_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(script(tmp_path))])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == "imageferry"


def test_a_program_elsewhere_is_called_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called = str(script(tmp_path))
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == called


def test_another_program_of_that_name_is_not_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other").mkdir()
    called = str(script(tmp_path))
    script(tmp_path / "other")
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert program() == called


def test_a_module_is_called_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/imageferry/__main__.py"])
    assert program() == f"{sys.executable} -m imageferry"
