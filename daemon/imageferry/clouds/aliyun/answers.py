"""Replies of Alibaba Cloud as answers: JSON, or XML all the same, the class by the code in it.

The client reads every reply with it. Pure; what a code means stands in ``codes``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from imageferry.clouds.aliyun.codes import ABOUT_RUNNING, classify
from imageferry.clouds.reading import json_object, whole
from imageferry.clouds.wire import Reply, Told, foreign, http_date
from imageferry.core.answers import Answer, AnswerClass
from imageferry.core.times import SECOND
from imageferry.errors import Refused

LONGEST_WAIT: Final = 3600.0
"""Seconds of an ``x-acs-retry-after`` that are believed."""
MINUTE: Final = 60 * SECOND
"""What is throttled in one minute is let through in the next."""
UNSAID: Final = 5.0
"""Seconds to wait where neither a header nor the vendor's clock says when."""

_MULTIPLE: Final = 300
_SERVER: Final = 500
_ECHO: Final = "server string to sign is"
"""In a message: what follows is the request as the vendor saw it, with its token."""
_XML: Final = re.compile(r"<(Code|Message|RequestId)>([^<]*)</\1>")


class Fault(NamedTuple):
    """What a body says went wrong."""

    code: str = ""
    message: str = ""
    request_id: str = ""
    lacks: str = ""
    """The permission that is missing, where the body says it."""


def read(reply: Reply, *, action: str, submits: bool) -> Told:
    """Judge a reply; the content of a success is its JSON object."""
    data = json_object(reply.body)
    if reply.status < _MULTIPLE:
        request_id = foreign(str((data or {}).get("RequestId") or ""))
        if data is not None:
            return Told(Answer("ok", "", request_id=request_id), data, reply)
        reason = f"the API answered HTTP {reply.status} with an unreadable body"
        return Told(Answer("unanswered" if submits else "retry", reason), {}, reply)
    return Told(_refusal(reply, fault(reply.body), action, submits=submits), {}, reply)


def fault(body: bytes) -> Fault:
    """The code and words of an error's body; empty where it has none."""
    data = json_object(body)
    if data is None:
        found = {name: html.unescape(text) for name, text in _XML.findall(body.decode(errors="replace"))}
        return Fault(found.get("Code", ""), found.get("Message", ""), found.get("RequestId", ""))
    words = {str(name).lower(): value for name, value in data.items()}
    code, message, request_id = (str(words.get(name) or "") for name in ("code", "message", "requestid"))
    denied = words.get("accessdenieddetail")
    return Fault(code, message, request_id, str(denied.get("AuthAction") or "") if isinstance(denied, dict) else "")


def rows(data: Mapping[str, Any], wrapper: str, name: str) -> list[Mapping[str, Any]]:
    """The objects of a wrapped list: ``{"TaskSet": {"Task": […]}}``, or with a list around the inner object."""
    outer = data.get(wrapper)
    boxes: Sequence[Any] = outer if isinstance(outer, list) else [outer]
    found: list[Mapping[str, Any]] = []
    for box in boxes:
        inner = box.get(name) if isinstance(box, Mapping) else None
        found += [each for each in (inner if isinstance(inner, list) else [inner]) if isinstance(each, Mapping)]
    return found


def listed(told: Told, wrapper: str, name: str) -> list[Mapping[str, Any]]:
    """The objects of a list that was asked for.

    :raises Refused: there is no list: that says nothing, and least of all that it would be empty.
    """
    if wrapper not in told.content and whole(told.content.get("TotalCount")) != 0:
        reason = f"the answer has no list of {name.lower()}s"
        raise Refused(Answer("retry", reason, request_id=told.answer.request_id))
    return rows(told.content, wrapper, name)


def _refusal(reply: Reply, wrong: Fault, action: str, *, submits: bool) -> Answer:
    klass = classify(wrong.code, reply.status, action)
    asked = retry_after(reply)
    if asked is not None and not wrong.code:
        klass = "throttled"
    elif submits and not wrong.code and reply.status >= _SERVER:
        klass = "unanswered"
    said = foreign(wrong.message.partition(_ECHO)[0]).strip() or f"the API answered with HTTP {reply.status}"
    return Answer(
        klass,
        f"{said}; the keys lack {foreign(wrong.lacks)}" if wrong.lacks else said,
        vendor_code=foreign(wrong.code),
        request_id=foreign(wrong.request_id or reply.headers.get("x-acs-request-id", "")),
        retry_after=asked if asked is not None else _next_minute(reply, klass),
        about_running=wrong.code in ABOUT_RUNNING,
    )


def retry_after(reply: Reply) -> float | None:
    """Seconds that the vendor asks to wait; its header counts milliseconds."""
    millis = whole(reply.headers.get("x-acs-retry-after", "").strip())
    return min(millis / 1000, LONGEST_WAIT) if millis else None


def _next_minute(reply: Reply, klass: AnswerClass) -> float | None:
    """What was too fast in this minute of the vendor's clock may go in the next."""
    if klass != "throttled":
        return None
    date = http_date(reply.headers.get("date", ""))
    return UNSAID if date is None else (MINUTE - date % MINUTE) / SECOND
