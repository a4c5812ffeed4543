"""What of a signed request JD Cloud's own tools do not agree on, as an account's settings choose it.

The client of the image API and the credentials sign by it. Pure.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from typing import Final, Literal

from imageferry.clouds.jdcloud.facts import FACTS, SIGNATURE, TOKEN_ENCODING
from imageferry.clouds.jdcloud.sign import V2, V3, Scheme
from imageferry.core.account import Account

TokenForm = Literal["base64", "raw"]
OTHER_FORM: Final[dict[TokenForm, TokenForm]] = {"base64": "raw", "raw": "base64"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How requests are signed."""

    scheme: Scheme = V2
    token: TokenForm = "base64"  # noqa: S105 - how one is written
    """How the header of a temporary key's token is tried first; the other way is tried where it is refused."""


def dialect(account: Account) -> Dialect:
    """What an account's settings say."""
    scheme = V3 if FACTS.choice(account.switches, SIGNATURE) == "jdcloud3" else V2
    return Dialect(scheme, "raw" if FACTS.choice(account.switches, TOKEN_ENCODING) == "raw" else "base64")


def token_text(token: str, form: TokenForm) -> str:
    """A token as its header has it."""
    return b64encode(token.encode()).decode() if form == "base64" else token
