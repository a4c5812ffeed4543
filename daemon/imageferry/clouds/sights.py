"""What was seen of an export's objects, and what that means at its end: the same twice, or not to be looked at.

The exports of each cloud call it. Pure: it asks nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from imageferry.clouds.following import said_well
from imageferry.clouds.objects import Present
from imageferry.core.answers import Answer
from imageferry.ports import Following, Progress

SEEN: Final = "seen"
"""In a job's memo: what its objects looked like at the last look."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One job's objects: by the key that each really has, or why nothing could be seen."""

    present: Mapping[str, Present] = field(default_factory=dict)
    expected: int = 0
    """How many there must be."""
    refusal: Answer | None = None
    """Why the storage did not let us look."""
    what: str = "the objects"
    """What of them it did not let us look at, in words."""

    @property
    def whole(self) -> bool:
        """Every object is there and holds something."""
        return len(self.present) == self.expected > 0 and all(each.size > 0 for each in self.present.values())

    @property
    def sizes(self) -> dict[str, list[int]]:
        """JSON to compare with the next look's."""
        return {key: [each.size, each.last_modified] for key, each in sorted(self.present.items())}

    @property
    def count(self) -> str:
        """How many are there, in words."""
        return f"{sum(each.size > 0 for each in self.present.values())} of {self.expected} objects are there"

    def written(self, bucket: str) -> str:
        """What was written, in words."""
        size = sum(each.size for each in self.present.values())
        return f"{len(self.present)} object{'' if len(self.present) == 1 else 's'} of {size} bytes in {bucket}"


def same_twice(asked: Following, sight: Sight, memo: Mapping[str, Any]) -> Progress:
    """The task is over and every object is there: they must be the same twice. ``memo`` keeps how they look now."""
    job, keys = asked.job, tuple(sight.present)
    if job.memo.get(SEEN) != sight.sizes:
        return Progress(job.id, "running", "every object is there; seen once", memo, keys, soon=True)
    reason = sight.written(job.destination)
    return Progress(job.id, "succeeded", reason, memo, keys, said_well(job, reason))


def objects_unseen(asked: Following, refusal: Answer, memo: Mapping[str, Any], what: str = "the objects") -> Progress:
    """The storage did not let us look: a person may put that right until the deadline."""
    ended = asked.overdue and refusal.klass == "permanent_config"
    reason = f"{what} cannot be looked at: {refusal}"
    return Progress(asked.job.id, "failed" if ended else "running", reason, memo, answer=refusal)
