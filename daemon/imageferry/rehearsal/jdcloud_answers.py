"""How JD Cloud's API answers: the envelope, the HTTP status that belongs to a status, and what looks like neither.

The rehearsal builds every answer of the API with it. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from imageferry.rehearsal.jdcloud_options import JdcloudOptions
from imageferry.rehearsal.parameters import VendorError

THROTTLING: Final = ("RATE_LIMIT", "RATE_LIMIT_EXCEEDED", "HTTP_RATE_LIMIT_EXCEEDED")

_NUMBERS: Final[Mapping[int, tuple[str, ...]]] = {
    401: (
        "UNAUTHENTICATED",
        "ACCESS_ERROR",
        "APIGW_LACK_PARAMS",
        "APIGW_KEY_NOT_EXITST",
        "APIGW_KEY_DISABLED",
        "APIGW_SIGN_RESULT_NOT_SAME",
        "APIGW_ILLEGAL_HEADER",
    ),
    403: (
        "HTTP_FORBIDDEN",
        "PERMISSION_DENIED",
        "APIGW_CHILD_ACCOUNT_NOT_ALLOWED",
        "APIGW_API_NOT_ALLOWED",
        "APIGW_OPERATION_NOT_ALLOWED",
        "APIGW_MFA_FAIL",
        "APIGW_SERVICE_DISABLED",
        "APIGW_NONCE_CONFLICT",
    ),
    404: ("NOT_FOUND", "RESOURCE_NOT_EXIST", "APIGW_SERVICE_NOT_FOUND"),
    409: ("ABORTED", "ALREADY_EXISTS"),
    429: ("QUOTA_EXCEEDED", *THROTTLING),
    499: ("CANCELLED",),
    500: ("INTERNAL", "UNKNOWN", "HTTP_INTERNAL_SERVER_ERROR", "InternalError"),
    501: ("NOT_IMPLEMENTED",),
    502: ("HTTP_BAD_GATEWAY",),
    503: ("SOURCE_UNAVAILABLE", "HTTP_SERVICE_UNAVAILABLE", "UNAVAILABLE"),
    504: ("HTTP_SERVER_TIMING_OUT", "DEADLINE_EXCEEDED"),
}
_CODES: Final = {status: number for number, statuses in _NUMBERS.items() for status in statuses}
_FAMILIES: Final = {"APIGW_ROLE_": 403, "APIGW_USER_": 403}
_OTHERS: Final = 400

REQUEST_ID: Final = "x-jdcloud-request-id"
GARBAGE: Final = b'{"requestId": "'
"""An answer that was cut off."""


def code_of(status: str, options: JdcloudOptions) -> int:
    """The error code that belongs to a status: the HTTP status it usually comes with."""
    families = (number for begin, number in _FAMILIES.items() if status.startswith(begin))
    return options.http_statuses.get(status, _CODES.get(status, next(families, _OTHERS)))


def success(result: Mapping[str, Any], request_id: str) -> Response:
    """The envelope of what an operation has done."""
    told = {"requestId": request_id, "result": result}
    return JSONResponse(told, headers={REQUEST_ID: request_id})


def refusal(error: VendorError, request_id: str, options: JdcloudOptions) -> Response:
    """The envelope of an error."""
    code = code_of(error.code, options)
    told = {"requestId": request_id, "error": {"code": code, "status": error.code, "message": error.message}}
    headers = {REQUEST_ID: request_id}
    if error.code in THROTTLING and options.retry_after_seconds is not None:
        headers["retry-after"] = str(options.retry_after_seconds)
    return JSONResponse(told, 200 if options.errors_with_status_200 else code, headers)
