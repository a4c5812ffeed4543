"""Telling systemd how the daemon is (sd_notify); app calls it, and nothing happens where systemd does not listen.

It never waits and never fails its caller: a message that cannot be delivered is logged and given up.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Final

import structlog

_MICRO: Final = 1_000_000
_log = structlog.get_logger(__name__)


class Notifier:
    """Sends state changes to the socket that systemd named; ``None`` for none."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """The notifier that ``NOTIFY_SOCKET`` asks for."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str = "") -> bool:
        """Start-up, or a reload, is complete."""
        return self._send("READY=1", status)

    def reloading(self, monotonic: float, status: str = "") -> bool:
        """A reload begins; ``monotonic`` is CLOCK_MONOTONIC in seconds, which ``Type=notify-reload`` compares."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={round(monotonic * _MICRO)}", status)

    def stopping(self, status: str = "") -> bool:
        """The ordered stop begins."""
        return self._send("STOPPING=1", status)

    def watchdog(self) -> bool:
        """The loops move."""
        return self._send("WATCHDOG=1")

    def status(self, text: str) -> bool:
        """One line for ``systemctl status``."""
        return self._send("", text)

    def _send(self, state: str, status: str = "") -> bool:
        """Whether systemd has it. A line break in a status would be read as another assignment."""
        if self._address is None:
            return False
        parts = [state] if state else []
        if status:
            parts.append("STATUS=" + " ".join(status.split()))
        try:
            _deliver(self._address, "\n".join(parts).encode())
        except (OSError, ValueError) as error:
            _log.warning("systemd was not told", state=parts, error=str(error))
            return False
        return True


def _deliver(address: str, message: bytes) -> None:
    if address[:1] not in {"/", "@"}:
        raise ValueError(f"NOTIFY_SOCKET is {address!r}; expected a path from / or an abstract name from @")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(message, socket.MSG_DONTWAIT, "\0" + address[1:] if address[0] == "@" else address)


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """Within how many seconds systemd wants a sign of life from process ``pid``; None: it does not watch it.

    Callers beat at half of it.

    :raises ValueError: systemd's variable is not a whole number of microseconds from 1.
    """
    text = environ.get("WATCHDOG_USEC")
    if not text or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"WATCHDOG_USEC is {text!r}; expected a whole number of microseconds from 1")
    return int(text) / _MICRO
