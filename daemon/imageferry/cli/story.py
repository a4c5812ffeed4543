"""Tells what the ledger knows of one image: a conclusion for each place, and everything that happened, in its order.

``why`` reads the ledger and calls :func:`tell`; nothing here reads or prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from imageferry.core.completion import job_json
from imageferry.core.image import Image, Place
from imageferry.core.job import Job
from imageferry.core.machine import OPEN_STATES
from imageferry.core.times import rfc3339, rfc3339_or_none
from imageferry.ports import DeadLetter, EventRow, HistoryRow, ImageRow

Status = Literal["protected", "on_the_way", "not_protected", "undecided", "not_wanted", "ignored"]
_HEADINGS: Final[Mapping[Status, str]] = {
    "protected": "PROTECTED",
    "on_the_way": "ON THE WAY",
    "not_protected": "NOT PROTECTED",
    "undecided": "NOT DECIDED",
    "not_wanted": "NOT WANTED",
    "ignored": "IGNORED",
}
_TOLD: Final = ("name", "state", "os", "os_name", "arch", "size_gib", "visibility", "encrypted", "is_copy", "tags")


class Known(NamedTuple):
    """Everything that the ledger has about one image id."""

    image_id: str
    events: Sequence[EventRow]
    rows: Sequence[ImageRow]
    jobs: Sequence[tuple[Job, Sequence[HistoryRow]]]
    """Oldest first, each with its moves."""
    letters: Sequence[DeadLetter]
    """Dead letters that mention the id."""

    def __bool__(self) -> bool:
        return bool(self.events or self.rows or self.jobs or self.letters)


class Entry(NamedTuple):
    """One thing that happened."""

    at: int
    what: Literal["event", "look", "verdict", "job", "dead letter"]
    where: str
    text: str


class Conclusion(NamedTuple):
    """How it stands at one place."""

    place: Place
    status: Status
    text: str

    @property
    def line(self) -> str:
        """For people: the place, how it stands in capitals, and why."""
        return f"{_where(self.place)}: {_HEADINGS[self.status]}: {self.text}"


class Story(NamedTuple):
    """What is told."""

    conclusions: Sequence[Conclusion]
    entries: Sequence[Entry]


def tell(known: Known) -> Story:
    """The conclusions by place, and the entries in the order of time."""
    places = {row.place for row in known.rows} | {job.place for job, _ in known.jobs}
    places |= {event.place for event in known.events if event.ignored is not None}
    conclusions = [_conclusion(known, place) for place in sorted(places)]
    entries = [*_events(known.events), *_letters(known.letters), *_looks(known.rows), *_jobs(known.jobs)]
    return Story(conclusions, sorted(entries, key=lambda entry: entry.at))


def story_json(known: Known, story: Story) -> dict[str, Any]:
    """The same for programs, with the verdicts and jobs as other commands print them."""
    rows = {row.place: row for row in known.rows}
    return {
        "image_id": known.image_id,
        "places": [
            {
                **one.place._asdict(),
                "status": one.status,
                "conclusion": one.text,
                **_row_json(rows.get(one.place)),
                "jobs": [job_json(job) for job, _ in known.jobs if job.place == one.place],
            }
            for one in story.conclusions
        ],
        "entries": [{**entry._asdict(), "at": rfc3339(entry.at)} for entry in story.entries],
    }


def _row_json(row: ImageRow | None) -> dict[str, Any]:
    decision = (row.decision if row is not None else None) or {}
    return {
        "looked_at": rfc3339_or_none(row.looked_at if row is not None else None),
        "look_due_at": rfc3339_or_none(row.due_at if row is not None else None),
        "digest": decision.get("digest"),
        "verdicts": decision.get("verdicts", []),
    }


# --- conclusions ---------------------------------------------------------------------------------------------------


def _conclusion(known: Known, place: Place) -> Conclusion:
    jobs = [job for job, _ in known.jobs if job.place == place]
    row = next((row for row in known.rows if row.place == place), None)
    if jobs:
        return Conclusion(place, *_of_jobs(jobs, row))
    if row is not None:
        return Conclusion(place, *_of_look(row))
    reasons = [event.ignored for event in known.events if event.place == place and event.ignored is not None]
    return Conclusion(place, "ignored", f"nothing is done about events from there: {reasons[-1]}")


def _of_jobs(jobs: Sequence[Job], row: ImageRow | None) -> tuple[Status, str]:
    """The worst of them is what counts; what no policy could decide counts before success."""
    failed = [job for job in jobs if job.state == "failed"]
    if failed:
        said = "; ".join(f"the {_what(job)} failed: {job.reason}{_vendor(job)}" for job in failed)
        return "not_protected", said + _rest(jobs, failed)
    open_jobs = [job for job in jobs if job.state in OPEN_STATES]
    if open_jobs:
        said = "; ".join(f"the {_what(job)} is {job.state}: {job.reason}" for job in open_jobs)
        return "on_the_way", said + _rest(jobs, open_jobs)
    unknown = _unknown(row)
    if unknown:
        return "undecided", unknown
    cancelled = [job for job in jobs if job.state == "cancelled"]
    if cancelled:
        return "not_protected", "; ".join(f"the {_what(job)} was cancelled: {job.reason}" for job in cancelled)
    return "protected", "; ".join(f"{_what(job)} ({job.reason})" for job in jobs)


def _rest(jobs: Sequence[Job], told: Sequence[Job]) -> str:
    """What became of the other jobs, in a few words."""
    return "".join(f"; {_what(job)}: {job.state}" for job in jobs if job not in told)


def _of_look(row: ImageRow) -> tuple[Status, str]:
    if row.outcome == "due":
        when = "" if row.due_at is None else f", the next look is due {rfc3339(row.due_at)}"
        return "undecided", f"it waits to be looked at{when}: {row.reason}"
    if row.outcome != "decided":
        return "not_protected", f"the look ended as {row.outcome}: {row.reason}"
    unknown = _unknown(row)
    if unknown:
        return "undecided", unknown
    verdicts = (row.decision or {}).get("verdicts", [])
    said = "; ".join(f"{one['policy']}: {one['reason']}" for one in verdicts if one["verdict"] == "no_match")
    matched = [one["policy"] for one in verdicts if one["verdict"] == "match"]
    if matched:
        return "not_wanted", f"policy {', '.join(matched)} matches, but leaves nothing to do: {_reasons(verdicts)}"
    return "not_wanted", f"no policy wants it: {said or 'there was none'}"


def _reasons(verdicts: Sequence[Mapping[str, Any]]) -> str:
    return "; ".join(str(one["reason"]) for one in verdicts if one["verdict"] == "match")


def _unknown(row: ImageRow | None) -> str:
    verdicts = ((row.decision if row is not None else None) or {}).get("verdicts", [])
    said = [
        f"policy {one['policy']} could not tell: {one['reason']}" for one in verdicts if one["verdict"] == "unknown"
    ]
    return "; ".join(said)


# --- entries -------------------------------------------------------------------------------------------------------


def _events(events: Sequence[EventRow]) -> Iterator[Entry]:
    for event in events:
        became = "it is to be looked at" if event.ignored is None else f"ignored: {event.ignored}"
        said = f"event {event.event_id} from {event.source}: {became}"
        yield Entry(event.received_at, "event", _where(event.place), said)


def _letters(letters: Sequence[DeadLetter]) -> Iterator[Entry]:
    for letter in letters:
        said = f"dead letter {letter.id} from {letter.source} mentions it and could not be read: {letter.reason}"
        yield Entry(letter.received_at, "dead letter", "", said)
        if letter.replayed_at is not None:
            again = f"dead letter {letter.id} was read again: {letter.outcome}"
            yield Entry(letter.replayed_at, "dead letter", "", again)


def _looks(rows: Sequence[ImageRow]) -> Iterator[Entry]:
    """The last look of each place: the ledger keeps no other."""
    for row in rows:
        if row.looked_at is None:
            continue
        where = _where(row.place)
        seen = "" if row.image is None else f"; the cloud shows {_facts(row.image)}"
        yield Entry(row.looked_at, "look", where, f"last look: {row.outcome}: {row.reason}{seen}")
        for one in (row.decision or {}).get("verdicts", []):
            said = f"policy {one['policy']}: {one['verdict'].replace('_', ' ')}: {one['reason']}"
            yield Entry(row.looked_at, "verdict", where, f"{said} (policies {(row.decision or {}).get('digest')})")


def _facts(image: Image) -> str:
    """What the cloud said of it, as far as policies ask for it; what it did not say is left out."""
    known = [(name, getattr(image, name)) for name in _TOLD]
    return ", ".join(f"{name} {_fact(value)}" for name, value in known if value is not None)


def _fact(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={text}" for key, text in value.items()) or "none"
    return f"{value}"


def _jobs(jobs: Sequence[tuple[Job, Sequence[HistoryRow]]]) -> Iterator[Entry]:
    for job, history in jobs:
        for row in history:
            yield Entry(row.at, "job", _where(job.place), f"{_what(job)}, job {job.id}, {_move(row)}")


def _move(row: HistoryRow) -> str:
    if row.from_state == row.to_state:
        moved = f"still {row.to_state}"
    else:
        moved = f"from {row.from_state} to {row.to_state}" if row.from_state else f"begins as {row.to_state}"
    return f"{moved}: {row.reason}{_vendor(row)}"


def _what(job: Job) -> str:
    return f"{job.action} to {job.destination}"


def _vendor(told: Job | HistoryRow) -> str:
    """The class, code and request of the vendor's answer, as far as its reason does not name them."""
    request = f"request {told.request_id}" if told.request_id else ""
    said = [told.klass, *(text for text in (told.vendor_code, request) if text not in told.reason)]
    known = [text for text in said if text]
    return f" [{', '.join(known)}]" if known else ""


def _where(place: Place) -> str:
    return "/".join(part or "?" for part in place)
