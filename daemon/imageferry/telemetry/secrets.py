"""Keeping secrets out of texts: what credentials code registers, and what looks like a secret, becomes a mark.

The log configuration runs every line through it; whoever writes foreign text into an error, an event or the ledger
calls :func:`scrub`. It hides; it does not store, fetch or judge secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, quote_plus

MARK: Final = "[redacted]"

_SHORTEST: Final = 4
"""Shorter values are not registered: hiding them would blank out every text and protect nothing."""
_DEEPEST: Final = 8

_SECRET_KEY: Final = re.compile(
    r"secret|token|passw|passphrase|authorization|signature|credential|cookie|(api|access|private|signing)[_-]?key"
    r"|^(ak|sk)$",
    re.IGNORECASE,
)
_WORD: Final = r"(?:secret|token|password|passwd|signature|credential|api_?key|access_?key)[\w.-]*"
_LOOKS: Final = (
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"), rf"\1{MARK}"),
    (re.compile(r"\b((?:proxy-)?authorization[\"']?\s*[:=]\s*)[^\r\n]+", re.IGNORECASE), rf"\1{MARK}"),
    (re.compile(rf"({_WORD}\s*=\s*[\"']?)(?!\[redacted\])[^\s&,;\"']+", re.IGNORECASE), rf"\1{MARK}"),
    (re.compile(rf"([\"'][\w.-]*{_WORD}[\"']\s*:\s*)(\"[^\"]*\"|'[^']*')", re.IGNORECASE), rf"\1{MARK}"),
    (re.compile(r"\b(Bearer\s+)[\w.~+/=-]+"), rf"\1{MARK}"),
)


class Vault:
    """Values that must not be seen, as one pattern over all the ways in which they get written."""

    def __init__(self) -> None:
        self._values: dict[str, frozenset[str]] = {}
        self._pattern: re.Pattern[str] | None = None

    def register(self, value: str) -> None:
        """Hide ``value`` from now on, also where it is quoted for JSON, Python or a URL."""
        if len(value) >= _SHORTEST and value not in self._values:
            self._values[value] = _spellings(value)
            self._compile()

    def forget(self, value: str) -> None:
        """Stop hiding a value that opens nothing any more; else rotated tokens pile up."""
        if self._values.pop(value, None) is not None:
            self._compile()

    def scrub(self, text: str) -> str:
        """``text`` without registered values and without what looks like a secret."""
        if self._pattern is not None:
            text = self._pattern.sub(MARK, text)
        for pattern, mark in _LOOKS:
            text = pattern.sub(mark, text)
        return text

    def clean(self, value: object, depth: int = 0) -> object:
        """A copy of ``value`` for a log line: secrets hidden at any depth, unknown objects as their scrubbed text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, bytes):
            return self.scrub(value.decode(errors="backslashreplace"))
        if depth < _DEEPEST:
            if isinstance(value, Mapping):
                return self.clean_mapping(value, depth + 1)
            if isinstance(value, list | tuple | set | frozenset):
                return [self.clean(item, depth + 1) for item in value]
        return self.scrub(str(value))

    def clean_mapping(self, entries: Mapping[Any, object], depth: int = 0) -> dict[str, object]:
        """The same for a mapping: what stands under a key that sounds secret is hidden whatever it is."""
        return {
            self.scrub(str(key)): MARK if _SECRET_KEY.search(str(key)) else self.clean(value, depth)
            for key, value in entries.items()
        }

    def _compile(self) -> None:
        longest_first = sorted({s for spellings in self._values.values() for s in spellings}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def _spellings(value: str) -> frozenset[str]:
    in_urls = (quote(value, safe, errors="surrogatepass") for safe in ("/", ""))
    in_forms = quote_plus(value, errors="surrogatepass")
    return frozenset({value, repr(value)[1:-1], json.dumps(value)[1:-1], *in_urls, in_forms})


_vault: Final = Vault()
register_secret = _vault.register
forget_secret = _vault.forget
scrub = _vault.scrub
clean_mapping = _vault.clean_mapping
