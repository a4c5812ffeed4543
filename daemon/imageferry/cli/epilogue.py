"""What ``demo`` tells in the end: what was done, what was refused and why, and whether it all went as it should.

It reads the last moment of the ledger, the rehearsals' own journals and the completions; it prints nothing itself.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from imageferry.cli.show import Scenery, what_of
from imageferry.cli.stage import Stage
from imageferry.clouds.facts import FACTS
from imageferry.core.completion import completion_id
from imageferry.core.job import Job
from imageferry.ports import DeadLetter

_ELSEWHERE: Final = re.compile(r"cloud is \w+, wanted ")
"""What a policy for another cloud says of an image: nothing that is worth telling."""


@dataclass(frozen=True)
class Outcome:
    """What a demo came to."""

    stages: Sequence[Stage]
    last: Scenery
    announced: Sequence[str]
    """The ids of the completions that were published."""
    unread: Sequence[DeadLetter]
    events: Mapping[str, int]
    """How many deliveries became what, as the daemon counted them."""

    @cached_property
    def journals(self) -> list[Mapping[str, Any]]:
        """What each rehearsal was asked, as it wrote it down itself."""
        return [stage.rehearsal.state(["requests"])["requests"] for stage in self.stages]

    @cached_property
    def tasks(self) -> Counter[tuple[str, str]]:
        """(image id, destination) -> tasks that a rehearsal accepted."""
        rows = [row for journal in self.journals for row in journal["accepted"]]
        return Counter({(row["image_id"], row["destination"]): row["count"] for row in rows})

    @property
    def lost(self) -> int:
        """How many requests were carried out, and their answers lost on the way."""
        rows = [row for journal in self.journals for row in journal["outcomes"]]
        return sum(row["count"] for row in rows if row["outcome"].endswith("work done"))

    @property
    def throttled(self) -> int:
        """How many requests a rehearsal called too fast."""
        return sum(journal["throttled"] for journal in self.journals)

    def jobs(self, state: str) -> list[Job]:
        """The jobs in one state."""
        return [job for job in self.last.jobs if job.state == state]


def announced(path: Path) -> list[str]:
    """The ids of the completions in a file; none where there is no file."""
    if not path.exists():
        return []
    return [json.loads(line)["id"] for line in path.read_text(encoding="utf-8").splitlines()]


# --- did it go as it should? ---------------------------------------------------------------------------------------


def misses(outcome: Outcome) -> list[str]:
    """Everything that is not as the scenes say it ought to be; nothing when the demo did what it should."""
    return [*_wrong_ends(outcome), *_wrong_counts(outcome)]


def _wrong_ends(outcome: Outcome) -> Iterator[str]:
    ended = {(job.image_id, what_of(job)): job for job in outcome.last.jobs}
    wanted = {
        (part.image.image_id, what): state
        for stage in outcome.stages
        for part in stage.scene.parts
        for what, state in part.ends.items()
    }
    for key in sorted(wanted.keys() | ended.keys()):
        state = ended[key].state if key in ended else "not there"
        if state != wanted.get(key, "not there"):
            yield f"{' '.join(key)} is {state}; it should be {wanted.get(key, 'not there')}"


def _wrong_counts(outcome: Outcome) -> Iterator[str]:
    for (image_id, destination), count in sorted(outcome.tasks.items()):
        if count > 1:
            yield f"{image_id} has {count} tasks to {destination}; it should be one"
    done, started = len(outcome.jobs("succeeded")), sum(outcome.tasks.values())
    if done != started:
        yield f"{started} tasks were started for {done} jobs that succeeded; it should be as many"
    unheard = {completion_id(job) for job in outcome.last.jobs} - set(outcome.announced)
    if unheard:
        yield f"{len(unheard)} ends were not announced: {', '.join(sorted(unheard))}"
    for what in ("duplicate", "dead"):
        if outcome.events[what] != 1:
            yield f"{outcome.events[what]} events were {what}; it should be 1"


# --- telling it ----------------------------------------------------------------------------------------------------


def told(outcome: Outcome, width: int) -> Iterator[str]:
    """The story, line by line, none wider than ``width`` where it can be helped."""
    for title, rows in (
        ("Done", _done(outcome)),
        ("Refused by design, and why", _refused(outcome)),
        ("Nothing to do for these, and why", _untouched(outcome)),
    ):
        items = list(rows)
        if items:
            yield f"{title} ({len(items)})"
            for item in items:
                yield from _item(item, width)
            yield ""
    yield from _item(_not_protected(outcome), width, bullet="")
    yield from _item(_once(outcome), width, bullet="")


def _item(text: str, width: int, bullet: str = "  ") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=bullet,
        subsequent_indent=bullet + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _done(outcome: Outcome) -> Iterator[str]:
    for job in outcome.jobs("succeeded"):
        if job.action == "export":
            yield f"{job.image_name}: exported to {job.destination}: {', '.join(job.object_keys)}"
        else:
            yield f"{job.image_name}: copied to {job.destination}: {job.task_ref}, named {job.made_name}"


def _refused(outcome: Outcome) -> Iterator[str]:
    for job in outcome.jobs("failed"):
        who = "the cloud" if job.vendor_code else "known without asking"
        yield f"{job.image_name}: {what_of(job)}, wanted by {', '.join(job.policies)}. {who.capitalize()}: {job.reason}"


def _untouched(outcome: Outcome) -> Iterator[str]:
    busy = {job.image_id for job in outcome.last.jobs}
    for image_id, row in outcome.last.looks.items():
        if image_id in busy:
            continue
        name = (row.image.name if row.image else None) or image_id
        verdicts = (row.decision or {}).get("verdicts", [])
        about = [v for v in verdicts if _ELSEWHERE.match(v["reason"]) is None]
        why = "; ".join(f"{v['policy']}: {v['reason']}" for v in about or verdicts) or row.reason
        yield f"{name}: {why}"
    for letter in outcome.unread:
        yield f"{Path(letter.source.partition('#')[0]).name}: kept as a dead letter: {letter.reason}"


def _not_protected(outcome: Outcome) -> str:
    names = sorted({job.image_name for job in outcome.jobs("failed")})
    return f"Not protected as a policy wants it, for the reasons above: {', '.join(names) or 'nothing'}."


def _once(outcome: Outcome) -> str:
    clouds = [FACTS[stage.scene.cloud].title for stage in outcome.stages]
    played = "the rehearsal" if len(clouds) == 1 else "the rehearsals"
    trouble = (
        f"{_times(outcome.lost, 'answer was', 'answers were')} lost after the work was done",
        f"{_times(outcome.throttled, 'request was', 'requests were')} called too fast",
        f"{_times(outcome.events['duplicate'], 'event', 'events')} came twice",
    )
    doubted = {stage.scene.doubted for stage in outcome.stages}
    names = sorted({job.image_name for job in outcome.last.jobs if job.image_id in doubted})
    return (
        f"Exactly once: by what was written down there, {played} of {_listed(clouds)} started "
        f"{sum(outcome.tasks.values())} tasks for "
        f"{len(outcome.jobs('succeeded'))} wanted destinations, never more than "
        f"{max(outcome.tasks.values(), default=0)} for one, though {', '.join(trouble)}. Whose answer was "
        f"lost ({', '.join(names)}) stayed in doubt until its task was found, and was not sent again."
    )


def _listed(names: Sequence[str]) -> str:
    """``A``, ``A and B``, ``A, B and C``."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _times(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
