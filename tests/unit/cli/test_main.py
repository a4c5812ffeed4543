from __future__ import annotations

import errno
import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from imageferry.cli.main import COMMANDS, main, module_of
from imageferry.errors import BadFile, Complaint, ImageferryError, LedgerLocked
from support.commands import environment, invoke, program, run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_a_first_sentence(name: str) -> None:
    result = invoke(name, "--help")
    assert (result.exit_code, result.output.split("\n")[0].startswith("Usage:")) == (0, True)
    assert importlib.import_module(module_of(name)).command.help


def test_the_list_of_commands_loads_none_of_them() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from imageferry.cli.main import main;"
        "r = CliRunner().invoke(main, ['--help']); assert r.exit_code == 0;"
        "print(sorted(m for m in sys.modules if m.startswith('imageferry.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == "['imageferry.cli.main', 'imageferry.cli.tables']"


def test_the_help_names_every_command() -> None:
    output = invoke("--help").output
    assert [name for name in COMMANDS if f"  {name} " not in output] == []


def test_an_unknown_command_is_a_usage_error() -> None:
    result = invoke("rnu")
    assert (result.exit_code, "No such command" in result.stderr) == (2, True)


def test_the_version_is_told() -> None:
    result = invoke("--version")
    assert (result.exit_code, "0.1.0" in result.output) == (0, True)


def failing(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def command() -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("imageferry.cli.check"), "command", command)


def test_an_error_of_ours_is_one_line_and_exit_1(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(LedgerLocked("the ledger is in use"), monkeypatch)
    result = invoke("check")
    assert (result.exit_code, result.stderr, result.stdout) == (1, "imageferry: the ledger is in use\n", "")


def test_a_bad_file_is_a_line_for_every_complaint_and_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(BadFile([Complaint("a.yaml", 1, 2, "wrong"), Complaint("b.yaml", 3, 4, "wrong too")]), monkeypatch)
    result = invoke("check")
    assert (result.exit_code, result.stderr) == (2, "a.yaml:1:2: wrong\nb.yaml:3:4: wrong too\n")


def test_errors_that_a_task_group_raised_together_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    nested = BaseExceptionGroup("", [ImageferryError("one"), BaseExceptionGroup("", [ImageferryError("two")])])
    failing(nested, monkeypatch)
    result = invoke("check")
    assert (result.exit_code, result.stderr) == (1, "imageferry: one\nimageferry: two\n")


def test_a_reader_that_goes_away_in_a_task_group_causes_no_traceback(tmp_path: Path) -> None:
    code = (
        "import importlib, sys, click; from imageferry.cli.main import main;"
        "check = importlib.import_module('imageferry.cli.check');"
        "check.command = click.command()(lambda: (_ for _ in ()).throw(BaseExceptionGroup('', [BrokenPipeError()])));"
        "sys.argv = ['imageferry', 'check']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), ExceptionGroup("", [OSError(errno.ENOSPC, "full")])])
def test_a_full_disk_under_the_output_is_one_line(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(error, monkeypatch)
    result = invoke("check")
    said = "imageferry: cannot write: No space left on device; make room and try again\n"
    assert (result.exit_code, result.stderr) == (1, said)


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), ExceptionGroup("", [OSError(errno.EIO, "broken")])])
def test_another_fault_of_the_system_keeps_its_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(error, monkeypatch)
    with pytest.raises(type(error)):
        invoke("check")


def test_a_fault_of_our_own_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(ZeroDivisionError("a bug"), monkeypatch)
    with pytest.raises(ZeroDivisionError):
        invoke("check")


def test_a_reader_that_goes_away_causes_no_traceback(tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    line = '{"cloud": "tencent", "region": "ap-guangzhou", "image_id": "img-%08d"}\n'
    events.write_text("".join(line % number for number in range(3000)))
    (tmp_path / "imageferry.yaml").write_text(
        f"ledger: {{url: 'sqlite://{tmp_path}/ledger.db'}}\npolicies: p.yaml\n"
        "accounts: {prod: {cloud: tencent, regions: [ap-guangzhou]}}\n"
    )
    (tmp_path / "p.yaml").write_text("policies: [{name: p, match: {os: linux}, actions: [{copy: {regions: a-b}}]}]\n")
    with subprocess.Popen(
        program("plan", "events.ndjson"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert (first[:12], said) == ("img-00000000", "")


def test_the_program_can_be_run_as_a_module(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_group_is_the_script_that_is_installed() -> None:
    assert main.name == "main"
