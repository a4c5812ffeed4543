"""The closed set of classes that every vendor answer becomes, and the record that carries one.

The clouds map codes to classes at their edge; flow acts on classes only. The set is also the metric label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

AnswerClass = Literal[
    "ok",
    "throttled",
    "retry",
    "wait_quota",
    "wait_image",
    "permanent_image",
    "permanent_config",
    "auth",
    "unanswered",
    "never_sent",
]

ANSWER_CLASSES: Final[tuple[AnswerClass, ...]] = get_args(AnswerClass)

UNCOUNTED: Final[frozenset[AnswerClass]] = frozenset({"throttled", "wait_quota", "wait_image", "never_sent"})
"""Classes after which a job's ``attempts`` stays as it was."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a vendor said, or why it said nothing. Never holds a secret or a whole vendor record."""

    klass: AnswerClass
    message: str
    vendor_code: str = ""
    request_id: str = ""
    retry_after: float | None = None
    """Seconds the vendor asks to wait, where it says so."""
    about_running: bool = False
    """For ``wait_quota``: the code is about running tasks, so it teaches the lane its running limit."""

    def __str__(self) -> str:
        code = f"{self.vendor_code}: " if self.vendor_code else ""
        tail = f" (request {self.request_id})" if self.request_id else ""
        return f"{code}{self.message}{tail}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that can never be done, known without asking the cloud."""

    klass: Literal["permanent_image", "permanent_config"]
    reason: str
