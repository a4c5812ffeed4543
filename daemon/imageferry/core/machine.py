"""The states of a job and the one table of allowed moves; the diagram and the database's CHECKs follow it."""

from __future__ import annotations

from typing import Final, Literal, get_args

State = Literal["planned", "submitting", "in_doubt", "running", "succeeded", "failed", "cancelled"]

STATES: Final[tuple[State, ...]] = get_args(State)
END_STATES: Final[frozenset[State]] = frozenset({"succeeded", "failed", "cancelled"})
OPEN_STATES: Final[frozenset[State]] = frozenset(STATES) - END_STATES
IN_FLIGHT: Final[frozenset[State]] = frozenset({"submitting", "in_doubt", "running"})
"""States that hold the image's lock and count as running tasks: a task may exist in the cloud."""

MOVES: Final[dict[tuple[State, State], str]] = {
    ("planned", "submitting"): "claimed: the intent is written before the request is sent",
    ("planned", "failed"): "can never be done, or waited past its deadline",
    ("planned", "cancelled"): "a person cancelled it",
    ("submitting", "running"): "the cloud accepted it and named a task",
    ("submitting", "planned"): "it was not sent, or the cloud said later",
    ("submitting", "in_doubt"): "sent, but no usable answer came, or found so at start-up",
    ("submitting", "failed"): "the cloud refused it for good",
    ("in_doubt", "running"): "the lost task was found",
    ("in_doubt", "planned"): "it was proved that no task exists",
    ("in_doubt", "failed"): "the lost task was seen to have failed, or stayed unclear until the deadline",
    ("running", "succeeded"): "the object or the new image was seen whole",
    ("running", "failed"): "the cloud reported a failure, or nothing came until the deadline",
    ("running", "planned"): "the task ended without a result; it is asked for once more",
    ("failed", "planned"): "a person asked for another attempt",
    ("cancelled", "planned"): "a person asked for another attempt",
}


def allowed(old: State, new: State) -> bool:
    """Whether the table has the move from ``old`` to ``new``."""
    return (old, new) in MOVES
