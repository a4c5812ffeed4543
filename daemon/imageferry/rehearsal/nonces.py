"""The nonces of signed requests, each of which may be used once within its time.

The gateways of rehearsal clouds whose signatures have one ask it, after the signature is proved.
"""

from __future__ import annotations


class UsedNonces:
    """Nonces that were used, for as long as that counts."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, str], int] = {}

    def use(self, key_id: str, nonce: str, now: int, kept: int) -> bool:
        """Use a nonce; whether nobody with this key used it within the last ``kept`` microseconds."""
        while self._used and now - next(iter(self._used.values())) >= kept:
            del self._used[next(iter(self._used))]
        if (key_id, nonce) in self._used:
            return False
        if kept:
            self._used[key_id, nonce] = now
        return True
