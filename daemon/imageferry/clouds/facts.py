"""The facts of every cloud, by name: what settings and policies know of it without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from imageferry.clouds.registry import ENTRIES
from imageferry.core.facts import CloudFacts

FACTS: Final[Mapping[str, CloudFacts]] = {each.facts.name: each.facts for each in ENTRIES}
"""Cloud name -> what is known about it."""
