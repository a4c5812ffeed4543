"""The external programs that tests run: found, or the test is skipped loudly; under CI=true a missing one is a failure.

``make test`` installs or builds what is missing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]

PACKAGES: Final = {
    "helm": "helm 3, or Go for `make test` to build it",
    "java": "default-jre-headless",
    "kill": "procps",
    "make": "make",
    "mvn": "maven",
    "openssl": "openssl",
    "promtool": "prometheus",
    "setpriv": "util-linux",
    "systemd-analyze": "systemd",
}
"""Program -> the Debian package it comes from."""

FOLDERS: Final = (ROOT / "build" / "bin", Path.home() / "go" / "bin")
"""Where programs that were built, not installed, are looked for."""


def find(name: str) -> str | None:
    """The path of a program, or None."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, FOLDERS)))


def need(name: str) -> str:
    """The path of a program; without it the test ends here."""
    return find(name) or missing(name, f"install {PACKAGES[name]}")


def missing(what: str, remedy: str) -> NoReturn:
    """End the test: as failed under CI=true, elsewhere as skipped with a reason nobody overlooks."""
    reason = f"{what} is missing: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(f"with CI=true every part must be there: {reason}")
    pytest.skip(f"NOT TESTED: {reason}")
