"""A vendor's words for how an image is; one that nobody knows is said once, and taken as not ready yet.

The images of each cloud call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog

from imageferry.core.image import ImageState

LONGEST: Final = 64

log = structlog.get_logger(__name__)


class States:
    """One account's images' states."""

    def __init__(self, known: Mapping[str, ImageState]) -> None:
        self._known = known
        self._strange: set[str] = set()

    def note(self, word: str) -> None:
        """Warn of a word that is not known, the first time it comes."""
        if word not in self._known and word not in self._strange:
            self._strange.add(word)
            log.warning("image state is not known; taken as not ready yet", state=word[:LONGEST])
