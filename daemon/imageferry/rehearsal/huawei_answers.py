"""How Huawei Cloud's API answers: its services' envelopes, the HTTP status of a code, and what looks like neither.

The rehearsal builds every answer of the API with it. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from imageferry.rehearsal.huawei_calls import Answered
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.parameters import VendorError

GATEWAY: Final = "APIGW."
THROTTLED: Final = "APIGW.0308"
REQUEST_ID: Final = "x-request-id"
GARBAGE: Final = b'{"job_id": "'
"""An answer that was cut off."""
TRACE_ID: Final = "x-iam-trace-id"

_IMAGES: Final = "IMG."
_IDENTITY: Final = "IAM."
_NUMBERS: Final[Mapping[int, tuple[str, ...]]] = {
    400: ("0104", "0201", "0204", "0602", "0607"),
    401: ("0301", "0303", "0305", "0307", "0311"),
    403: ("0302", "0304", "0306", "0310", "0401", "0402", "0404", "0801", "0802"),
    404: ("0101", "0103"),
    405: ("0501", "0502"),
    429: ("0308",),
    503: ("0613",),
    504: ("0610",),
}
_CODES: Final = {f"{GATEWAY}{number}": status for status, numbers in _NUMBERS.items() for number in numbers}
_LOGINS: Final = frozenset({"IAM.0001", *(f"IAM.{number:04d}" for number in range(61, 68))})
_DENIALS: Final = frozenset({"IAM.0002", "IAM.0003", *(f"IAM.{number:04d}" for number in range(80, 84))})


class Unfit(VendorError):
    """A request that the gateway refuses for its shape; ``status`` is the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__("APIGW.0201", message)
        self.status = status


def status_for(code: str, options: HuaweiOptions) -> int:
    """The HTTP status that a code comes with."""
    if code in options.http_statuses:
        return options.http_statuses[code]
    if code.startswith(_IMAGES):
        return 400
    if code.startswith(_IDENTITY):
        return 401 if code in _LOGINS else 403 if code in _DENIALS else 400
    return _CODES.get(code, 500)


def success(done: Mapping[str, Any] | Answered, request_id: str) -> Response:
    """The answer of what an operation has done."""
    answered = done if isinstance(done, Answered) else Answered(done)
    headers = {**answered.headers, REQUEST_ID: request_id}
    if answered.status == HTTPStatus.NO_CONTENT:
        return Response(status_code=answered.status, headers=headers)
    return JSONResponse(answered.content, answered.status, headers)


def refusal(error: VendorError, service: str, request_id: str, options: HuaweiOptions) -> Response:
    """The answer of an error, in the words of the service that it comes from."""
    status = error.status if isinstance(error, Unfit) else status_for(error.code, options)
    code = error.code
    told: dict[str, Any] = {"error_code": code, "error_msg": error.message}
    if code.startswith(GATEWAY):
        told["error_code"] = f"{options.gateway_prefix}.{code.removeprefix(GATEWAY)}"
        told["request_id"] = request_id
    elif code.startswith(_IMAGES) and options.image_envelope == "nested":
        told = {"error": {"code": code, "message": error.message}}
    elif service == "iam" and options.iam_numeric_codes:
        told = {"error": {"code": status, "message": error.message, "title": HTTPStatus(status).phrase}}
    if code in _DENIALS and options.encoded_denials:
        told["encoded_authorization_message"] = "cmVoZWFyc2Vk"
    return JSONResponse(told, status, _headers(code, service, request_id, options))


def _headers(code: str, service: str, request_id: str, options: HuaweiOptions) -> dict[str, str]:
    headers = {TRACE_ID if service == "iam" and not code.startswith(GATEWAY) else REQUEST_ID: request_id}
    if code == THROTTLED and options.retry_after_seconds is not None:
        headers["retry-after"] = str(options.retry_after_seconds)
    return headers
