"""Replies of Huawei Cloud as answers: the envelopes of its services and gateways, read in the vendor's own order.

The client reads every reply with it. Pure; what a code means stands in ``codes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from imageferry.clouds.huawei.codes import ABOUT_RUNNING, by_status, classify
from imageferry.clouds.reading import json_object, retry_after
from imageferry.clouds.wire import Reply, Told, foreign
from imageferry.core.answers import Answer

_ENVELOPES: Final = (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"))
_DEEPEST: Final = 4
_MULTIPLE: Final = 300
_SERVER: Final = 500
_REQUEST_IDS: Final = ("x-request-id", "x-iam-trace-id")
_ECHO: Final = "verify aksk signature fail"
"""In a message: what follows is the request as the gateway saw it, with its token."""


class Fault(NamedTuple):
    """What a body says went wrong."""

    code: str = ""
    message: str = ""


def read(reply: Reply, *, submits: bool, advice: str) -> Told:
    """Judge a reply; the content of a success is its JSON object."""
    data = json_object(reply.body)
    request_id = _request_id(reply, data)
    if reply.status < _MULTIPLE:
        inner = (data or {}).get("error")
        if isinstance(inner, Mapping):
            return Told(_refusal(reply, fault(inner), request_id, advice), {}, reply)
        if data is not None:
            return Told(Answer("ok", "", request_id=request_id), data, reply)
        reason = f"the API answered HTTP {reply.status} with an unreadable body"
        return Told(Answer("unanswered" if submits else "retry", reason, request_id=request_id), {}, reply)
    wrong = fault(data or {})
    if submits and not wrong.code and by_status(reply.status) == "retry":
        reason = f"the API answered with HTTP {reply.status}"
        return Told(Answer("unanswered", reason, request_id=request_id), {}, reply)
    return Told(_refusal(reply, wrong, request_id, advice), {}, reply)


def fault(data: Mapping[str, Any], depth: int = 0) -> Fault:
    """The code and words of an error's body, however deep; a number in place of a code is an HTTP status, no code."""
    for code_name, message_name in _ENVELOPES:
        code, message = data.get(code_name), str(data.get(message_name) or data.get("title") or "")
        if isinstance(code, str) and code:
            return Fault("" if code.isdecimal() else code, message)
        if isinstance(code, int):
            return Fault("", message)
    if depth < _DEEPEST:
        for value in data.values():
            if isinstance(value, Mapping) and (found := fault(value, depth + 1)) != Fault():
                return found
    return Fault()


def _refusal(reply: Reply, wrong: Fault, request_id: str, advice: str) -> Answer:
    message = wrong.message
    if _ECHO in message:
        message = message.partition(_ECHO)[0] + _ECHO
    said = foreign(message) or f"the API answered with HTTP {reply.status}"
    return Answer(
        classify(wrong.code, reply.status),
        f"{said}; {advice}" if advice else said,
        vendor_code=foreign(wrong.code),
        request_id=request_id,
        retry_after=retry_after(reply),
        about_running=wrong.code in ABOUT_RUNNING,
    )


def _request_id(reply: Reply, data: Mapping[str, Any] | None) -> str:
    given = next((reply.headers[name] for name in _REQUEST_IDS if reply.headers.get(name)), "")
    return foreign(given or str((data or {}).get("request_id") or ""))
