"""An account's circuit: closed off after a bad signature, and tried again by one request at a time.

Used by the lanes only. A vendor may lock a key after a handful of bad signatures, so until one request of an
account has been judged, the others wait for it.
"""

from __future__ import annotations

from typing import Final, Literal

import anyio
import structlog

from imageferry.core.answers import Answer
from imageferry.errors import CircuitOpen
from imageferry.flow.drive import heard
from imageferry.ports import Clock

FIRST_HOLD: Final = 300.0
LONGEST_HOLD: Final = 3600.0
"""Seconds a circuit stays open: the first time, doubling up to the longest."""

NEXT_PROVER: Final = 10.0
"""Seconds after which another request may try to prove the account, though the first is not judged yet:
one region that hangs must not hold up the others for ever."""

_PROVES: Final = frozenset({"ok", "wait_quota", "wait_image", "permanent_image", "permanent_config"})
"""Answers that a vendor gives only after it has checked the signature."""

log = structlog.get_logger(__name__)


class Circuit:
    """Whether an account may send. ``reason`` is None while it may."""

    def __init__(self, account: str, clock: Clock) -> None:
        self.account = account
        self.reason: str | None = None
        self._clock = clock
        self._state: Literal["unproven", "closed", "open"] = "unproven"
        self._prover = 0
        self._provers = 0
        self._proving_since: float | None = None
        self._hold = FIRST_HOLD
        self._retry_at = 0.0
        self._changed = anyio.Event()

    def reopens_in(self) -> float:
        """Seconds until one request may try again; zero while the account may send."""
        if self._state != "open":
            return 0.0
        return max(0.0, self._retry_at - self._clock.monotonic())

    def check(self) -> None:
        """Refuse while the circuit is open.

        :raises CircuitOpen: the account is closed off.
        """
        if self._state == "open" and self.reopens_in() > 0:
            raise CircuitOpen(self.account, self.reason or "its keys were refused")

    async def enter(self) -> int:
        """Wait until this request may go; not 0: it proves the account under this number, and the others wait for it.

        :raises CircuitOpen: the account is, or was meanwhile, closed off.
        """
        while True:
            self.check()
            if self._state == "closed":
                return 0
            now = self._clock.monotonic()
            since = self._proving_since
            if since is None or now - since >= NEXT_PROVER:
                self._proving_since = now
                self._provers += 1
                self._prover = self._provers
                return self._prover
            await heard(self._changed, NEXT_PROVER - (now - since), self._clock)

    def leave(self, prover: int) -> None:
        """A request is over, or judged; a prover that proved nothing makes way for the next."""
        if prover and prover == self._prover and self._state != "closed":
            self._proving_since = None
            self._tell()

    def judge(self, answer: Answer) -> None:
        """Learn from a vendor's answer."""
        if answer.klass == "auth":
            self._open(answer)
        elif self.reopens_in() > 0:
            return  # it was sent before the refusal, and proves nothing of what comes after it
        elif answer.klass in _PROVES and self._state != "closed":
            if self._state == "open":
                log.info("account works again", account=self.account)
            self._state = "closed"
            self.reason = None
            self._hold = FIRST_HOLD
            self._tell()

    def try_again(self) -> None:
        """Let one request try at once: the keys may have been changed."""
        if self._state == "open":
            self._retry_at = self._clock.monotonic()
            self._tell()

    def _open(self, answer: Answer) -> None:
        now = self._clock.monotonic()
        if self._state == "open" and now < self._retry_at:
            return
        self._hold = min(self._hold * 2, LONGEST_HOLD) if self._state == "open" else FIRST_HOLD
        self._state = "open"
        self.reason = str(answer)
        self._retry_at = now + self._hold
        self._proving_since = None
        log.error(
            "account closed off: the cloud refused its keys; correct them and restart, "
            "or reload (SIGHUP) where they are right again",
            account=self.account,
            vendor_code=answer.vendor_code,
            request_id=answer.request_id,
            reason=answer.message,
            next_try_seconds=self._hold,
        )
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
