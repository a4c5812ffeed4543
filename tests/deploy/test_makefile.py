from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.programs import ROOT, need

Make = Callable[..., subprocess.CompletedProcess[str]]
SHELL = ("bash", "id", "rm", "test", "touch", "dirname", "env")


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """A machine that has a shell and nothing else; ``python3`` answers as it is told."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in SHELL:
        folder.joinpath(name).symlink_to(f"/usr/bin/{name}")
    return {"PATH": str(folder), "HOME": str(tmp_path)}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Runs the Makefile in an empty folder, so that nothing of this tree is touched."""
    program = need("make")
    (tmp_path / "tree" / "tests" / "kafka").mkdir(parents=True)
    for name in ("requirements.txt", "pyproject.toml", "tests/kafka/pom.xml"):
        (tmp_path / "tree" / name).touch()

    def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        command = [program, "--no-print-directory", "-f", str(ROOT / "Makefile"), "-C", str(tmp_path / "tree")]
        return subprocess.run([*command, *arguments], check=False, capture_output=True, text=True, timeout=60, env=env)

    return run


def install(folder: str, name: str, script: str) -> None:
    path = Path(folder) / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("target", ["system", "kafka", "helm"])
def test_a_missing_part_is_said_loudly_and_skipped_at_home(make: Make, bare: dict[str, str], target: str) -> None:
    done = make(target, env=bare)
    assert done.returncode == 0
    assert "!!! The tests that need it are skipped; with CI=true this is a failure." in done.stderr


@pytest.mark.parametrize("target", ["system", "kafka", "helm"])
def test_a_missing_part_is_a_failure_under_ci(make: Make, bare: dict[str, str], target: str) -> None:
    assert make(target, env={**bare, "CI": "true"}).returncode != 0


def test_missing_programs_are_named_with_their_packages(make: Make, bare: dict[str, str]) -> None:
    said = make("system", env=bare).stderr
    assert "missing: java mvn openssl promtool systemd-analyze kill setpriv" in said
    assert "install --no-install-recommends default-jre-headless maven openssl prometheus systemd procps" in said


def test_helm_is_not_built_where_it_is_installed(make: Make, bare: dict[str, str]) -> None:
    install(bare["PATH"], "helm", "exit 9")
    done = make("helm", env={**bare, "CI": "true"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_python_that_is_too_old_is_named(make: Make, bare: dict[str, str]) -> None:
    install(bare["PATH"], "python3", "exit 1")
    done = make("venv", env=bare)
    assert done.returncode != 0
    assert "imageferry needs Python 3.11 or newer" in done.stderr


def test_a_python_without_venv_says_what_to_install(make: Make, bare: dict[str, str]) -> None:
    install(bare["PATH"], "python3", 'case "$*" in *ensurepip*) exit 1;; esac')
    done = make("venv", env=bare)
    assert done.returncode != 0
    assert "apt-get install python3-venv" in done.stderr


def in_this_tree(*arguments: str) -> list[str]:
    """The lines make prints here; a make around these tests is not heard."""
    command = [need("make"), "--no-print-directory", "-C", str(ROOT), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    return done.stdout.splitlines()


def test_bare_make_lists_the_commands() -> None:
    listed = [line.split()[:2] for line in in_this_tree()]
    assert listed == [["make", name] for name in ("demo", "quick", "test", "bench", "lock", "venv", "clean")]


def test_the_whole_test_ends_with_pytest_and_leaves_nothing_out() -> None:
    alone = "tests/e2e/test_limits.py"
    assert in_this_tree("--dry-run", "test")[-2:] == [
        f".venv/bin/pytest -n 4 --dist worksteal --ignore {alone}",
        f".venv/bin/pytest {alone}",
    ]


def test_continuous_integration_runs_the_whole_test_and_is_strict(bare: dict[str, str]) -> None:
    install(bare["PATH"], "make", 'echo "$CI: $*"')
    done = subprocess.run([str(ROOT / ".ci" / "run")], check=True, capture_output=True, text=True, env=bare)
    assert done.stdout == "true: --no-print-directory test\n"
