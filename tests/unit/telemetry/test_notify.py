from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from imageferry.telemetry.notify import Notifier, watchdog_seconds


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(10)
        yield sock


@pytest.fixture
def notifier(systemd: socket.socket) -> Notifier:
    return Notifier.from_environ({"NOTIFY_SOCKET": systemd.getsockname()})


def heard(systemd: socket.socket) -> str:
    return systemd.recv(4096).decode()


def test_ready_is_told_with_a_status(systemd: socket.socket, notifier: Notifier) -> None:
    assert (notifier.ready("3 policies"), heard(systemd)) == (True, "READY=1\nSTATUS=3 policies")


def test_a_reload_is_told_with_its_time_in_microseconds(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.reloading(12.5)
    assert heard(systemd) == "RELOADING=1\nMONOTONIC_USEC=12500000"


def test_stopping_is_told(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.stopping()
    assert heard(systemd) == "STOPPING=1"


def test_a_sign_of_life_is_told(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.watchdog()
    assert heard(systemd) == "WATCHDOG=1"


def test_a_status_stays_on_one_line(systemd: socket.socket, notifier: Notifier) -> None:
    notifier.status("ledger locked\nWATCHDOG=1")
    assert heard(systemd) == "STATUS=ledger locked WATCHDOG=1"


def test_an_abstract_socket_is_reached() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("")  # the kernel picks a free abstract name
        sock.settimeout(10)
        name = "@" + sock.getsockname()[1:].decode()
        assert (Notifier(name).ready(), heard(sock)) == (True, "READY=1")


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_nothing_happens_where_systemd_does_not_listen(environ: dict[str, str]) -> None:
    with capture_logs() as lines:
        told = Notifier.from_environ(environ).ready()
    assert (told, lines) == (False, [])


@pytest.mark.parametrize(
    ("address", "reason"),
    [("relative/path", "expected a path from / or an abstract name from @"), ("/nowhere/at/all", "No such file")],
)
def test_a_socket_that_cannot_be_reached_is_logged_and_given_up(address: str, reason: str) -> None:
    with capture_logs() as lines:
        told = Notifier(address).ready()
    assert (told, [line["event"] for line in lines]) == (False, ["systemd was not told"])
    assert reason in lines[0]["error"]


def test_a_full_socket_does_not_hold_the_daemon_up(systemd: socket.socket, notifier: Notifier) -> None:
    with capture_logs() as lines:
        told = [notifier.watchdog() for _ in range(10_000)]
    assert (told[0], told[-1], lines[-1]["event"]) == (True, False, "systemd was not told")
    assert heard(systemd) == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "7"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "8"}, None),
    ],
)
def test_the_watchdog_is_read_for_this_process_only(environ: dict[str, str], seconds: float | None) -> None:
    assert watchdog_seconds(environ, pid=7) == seconds


@pytest.mark.parametrize("text", ["soon", "0", "-5", "1.5"])
def test_a_watchdog_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"WATCHDOG_USEC is '{text}'; expected a whole number of microseconds"):
        watchdog_seconds({"WATCHDOG_USEC": text}, pid=7)
