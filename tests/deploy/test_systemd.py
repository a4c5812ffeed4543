from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from support.programs import ROOT, need

UNIT = ROOT / "systemd" / "imageferry.service"
INSTALLED = "/opt/imageferry/bin/imageferry"


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit as it would be installed here: verify wants the program to exist."""
    text = UNIT.read_text()
    assert text.count(INSTALLED) == 1
    need("kill")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace(INSTALLED, str(Path(sys.executable).with_name("imageferry"))))
    return copy


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("systemd-analyze"), *arguments],
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
    )


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for key, value in re.findall(r"^([A-Z]\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found[key].append(value)
    return found


def test_systemd_has_nothing_to_say_against_the_unit(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert (done.returncode, done.stdout) == (0, "")


def test_systemd_would_speak_of_a_misspelt_key(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSek="))
    assert "WatchdogSek" in analyze("verify", "--man=no", str(unit)).stdout


def test_the_sandbox_is_tight(unit: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", str(unit))
    assert done.returncode == 0, done.stdout


def test_an_open_unit_would_fail_the_sandbox_test(unit: Path) -> None:
    unit.write_text(f"[Service]\nExecStart={sys.executable}\n")
    assert analyze("security", "--offline=true", "--threshold=20", str(unit)).returncode == 1


def test_the_unit_speaks_the_daemons_protocol() -> None:
    wanted = {
        "Type": ["notify"],
        "NotifyAccess": ["main"],
        "ExecReload": ["/bin/kill -HUP $MAINPID"],
        "Restart": ["on-failure"],
        "RestartPreventExitStatus": ["2"],
        "DynamicUser": ["yes"],
        "StateDirectory": ["imageferry"],
        "ConfigurationDirectory": ["imageferry"],
    }
    found = settings()
    assert {key: found[key] for key in wanted} == wanted


def test_the_watchdog_is_slower_than_the_loops_beat_and_quicker_than_a_person() -> None:
    (watchdog,) = settings()["WatchdogSec"]
    assert 10 <= int(watchdog.removesuffix("s")) <= 180


def test_no_secret_is_loaded_unless_the_operator_says_so() -> None:
    found = settings()
    assert found["LoadCredential"] == []
    assert all(path.startswith("-") for path in found["EnvironmentFile"])
