"""JD Cloud's error statuses and messages as classes: tables only, exact statuses first, then messages, then numbers.

The client of this cloud classifies every refusal with them; failed tasks are classified by their message alone. They
decide nothing else.
"""

from __future__ import annotations

import re
from typing import Final

from imageferry.core.answers import AnswerClass

UNEXPLAINED: Final = "FAILED_PRECONDITION"
"""The status that stands for many reasons; only its message tells which."""
NONCE_USED: Final = "APIGW_NONCE_CONFLICT"
"""Sent again at once, with a new nonce."""
OUT_OF_RANGE: Final = "OUT_OF_RANGE"
"""A page, or its size, that the API does not have."""
NO_SUCH_ID: Final = frozenset({"NOT_FOUND", "RESOURCE_NOT_EXIST"})
"""What one unknown id may earn a whole batch."""
STRANGE_PARAMETER: Final = "INVALID_ARGUMENT"
"""What an API that does not know a parameter yet says of it."""

NOT_PROVEN: Final = frozenset(
    {
        "ACCESS_ERROR",
        "APIGW_ILLEGAL_HEADER",
        "APIGW_KEY_DISABLED",
        "APIGW_KEY_NOT_EXITST",
        "APIGW_LACK_PARAMS",
        "APIGW_SIGN_RESULT_NOT_SAME",
        "UNAUTHENTICATED",
    }
)
"""Who asks was not proved: worth another signature where the clock, the keys or the token's form may be to blame."""

EXACT: Final[dict[str, AnswerClass]] = {
    "ACCESS_ERROR": "auth",
    "APIGW_API_NOT_ALLOWED": "auth",
    "APIGW_CHILD_ACCOUNT_NOT_ALLOWED": "auth",
    "APIGW_ILLEGAL_HEADER": "auth",
    "APIGW_KEY_DISABLED": "auth",
    "APIGW_KEY_NOT_EXITST": "auth",
    "APIGW_LACK_PARAMS": "auth",
    "APIGW_MFA_FAIL": "auth",
    "APIGW_NONCE_CONFLICT": "retry",
    "APIGW_OPERATION_NOT_ALLOWED": "auth",
    "APIGW_SERVICE_DISABLED": "auth",
    "APIGW_SERVICE_NOT_FOUND": "permanent_config",
    "APIGW_SIGN_RESULT_NOT_SAME": "auth",
    "ARGUMENT_MISMATCH": "permanent_config",
    "ARGUMENT_NOT_FOUND": "permanent_config",
    "ARGUMENT_NOT_SUPPORT": "permanent_config",
    "ARGUMENT_WRONG_FORMAT": "permanent_config",
    "CANCELLED": "retry",
    "DEADLINE_EXCEEDED": "retry",
    "HTTP_BAD_GATEWAY": "retry",
    "HTTP_FORBIDDEN": "auth",
    "HTTP_INTERNAL_SERVER_ERROR": "retry",
    "HTTP_RATE_LIMIT_EXCEEDED": "throttled",
    "HTTP_SERVER_TIMING_OUT": "retry",
    "HTTP_SERVICE_UNAVAILABLE": "retry",
    "INTERNAL": "retry",
    "NOT_IMPLEMENTED": "permanent_config",
    OUT_OF_RANGE: "permanent_config",
    "PERMISSION_DENIED": "auth",
    "QUOTA_EXCEEDED": "wait_quota",
    "RATE_LIMIT": "throttled",
    "RATE_LIMIT_EXCEEDED": "throttled",
    "SOURCE_UNAVAILABLE": "retry",
    "UNAUTHENTICATED": "auth",
    "UNAVAILABLE": "retry",
    "UNKNOWN": "retry",
}
"""Statuses whose message changes nothing."""

FAMILIES: Final[dict[str, AnswerClass]] = {"APIGW_ROLE_": "auth", "APIGW_USER_": "auth"}
"""Beginnings of statuses that are listed by their beginning alone."""

IMAGE_STATUS: Final[dict[str, AnswerClass]] = {
    "pending": "wait_image",
    "error": "permanent_image",
    "deleting": "permanent_image",
}
"""For ``Invalid image status '…'``; a status that is not here may pass."""


def _pattern(text: str) -> re.Pattern[str]:
    """Quotation marks of a message are straight or curly."""
    return re.compile(text.replace("'", "['’]"), re.IGNORECASE)  # noqa: RUF001 - the vendor writes both


PATTERNS: Final[tuple[tuple[re.Pattern[str], AnswerClass], ...]] = (
    (_pattern("OssRegion '.*' not match current region '.*'"), "permanent_config"),
    (_pattern("Invalid region '.*'"), "permanent_config"),
    *((_pattern(f"Invalid image status '{status}'"), klass) for status, klass in IMAGE_STATUS.items()),
    (_pattern("Invalid image status '.*'"), "wait_image"),
    (_pattern("Invalid image type '.*'"), "permanent_image"),
    (_pattern("Only support cloudDisk image"), "permanent_image"),
    (_pattern("Windows image can.t export"), "permanent_image"),
    (_pattern("Can.t use (this|non-private) image"), "permanent_image"),
    (_pattern("Conflict with underlay image task '.*'"), "wait_image"),
    (_pattern("The image '.*' is busy"), "wait_image"),
    (_pattern("Copy encrypted snapshot '.*' is not support"), "permanent_image"),
    (_pattern("(Image|Snapshot)( share)? quota limit exceeded"), "wait_quota"),
    (_pattern("Image '.*' not found"), "permanent_image"),
    (_pattern("PageSize out of range"), "permanent_config"),
    (_pattern("Parameter ImageSource missing"), "permanent_config"),
    (_pattern("Internal server error"), "retry"),
    (_pattern("Unknown server error"), "retry"),
)
"""Searched in this order; the first that is found decides."""

HINTS: Final[tuple[tuple[re.Pattern[str], AnswerClass], ...]] = (
    (_pattern(r"\brole\b|bucket|oss-?url"), "permanent_config"),
)
"""For messages of 400 and 404 that no pattern knows."""

BY_MESSAGE: Final[dict[str, AnswerClass]] = {
    "ABORTED": "wait_image",
    "ALREADY_EXISTS": "permanent_config",
    "CONFLICT": "permanent_config",
    "FAILED_PRECONDITION": "wait_image",
    "INVALID_ARGUMENT": "permanent_config",
    "NOT_FOUND": "permanent_config",
    "RESOURCE_NOT_EXIST": "permanent_config",
}
"""What a status means where its message says nothing known."""

NUMBERS: Final[dict[int, AnswerClass]] = {401: "auth", 403: "auth", 408: "retry", 429: "throttled", 499: "retry"}
"""For statuses that no table has: 5xx is ``retry``, every other 4xx ``permanent_config``."""

ABOUT_RUNNING: Final = _pattern(r"\b(running|concurrent|parallel)\b|\btasks?\b")
"""In the message of ``QUOTA_EXCEEDED``: the quota is one of running tasks, not of images or snapshots."""

_QUOTA: Final = _pattern("quota")
_SERVER: Final = 500
_TOO_MANY: Final = 429


def classify(status: str, message: str, number: int) -> AnswerClass:
    """The class of a refusal; ``number`` is the vendor's error code in the form of an HTTP status."""
    exact = EXACT.get(status) or next((k for start, k in FAMILIES.items() if status.startswith(start)), None)
    if exact is not None:
        return exact
    known = by_message(message)
    if known is None and number < _SERVER:
        known = _found(HINTS, message)
    return known or BY_MESSAGE.get(status) or _by_number(number, message)


def by_message(message: str) -> AnswerClass | None:
    """The class of a message by itself; None where no pattern knows it."""
    return _found(PATTERNS, message)


def explained(message: str) -> bool:
    """Whether a message tells what it is about."""
    return _found(PATTERNS + HINTS, message) is not None


def about_running(status: str, message: str) -> bool:
    """Whether a refusal is about how many tasks run."""
    return EXACT.get(status) == "wait_quota" and bool(ABOUT_RUNNING.search(message)) and by_message(message) is None


def _found(table: tuple[tuple[re.Pattern[str], AnswerClass], ...], message: str) -> AnswerClass | None:
    return next((klass for pattern, klass in table if pattern.search(message)), None)


def _by_number(number: int, message: str) -> AnswerClass:
    if number == _TOO_MANY and _QUOTA.search(message):
        return "wait_quota"
    return NUMBERS.get(number) or ("retry" if number >= _SERVER else "permanent_config")
