"""How Alibaba Cloud's API answers: JSON or XML, the HTTP status that belongs to a code, and what looks like neither.

The rehearsal builds every answer of the API with it. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape

from starlette.responses import JSONResponse, Response

from imageferry.rehearsal.aliyun_calls import Call
from imageferry.rehearsal.aliyun_options import AliyunOptions
from imageferry.rehearsal.parameters import VendorError

THROTTLING: Final = ("Throttling", "Rejected.Throttling")
DENIED: Final = "Forbidden.RAM"
GARBAGE: Final = b'{"RequestId": "'
"""An answer that was cut off."""
XML: Final = "text/xml;charset=utf-8"

_NUMBERS: Final[Mapping[int, tuple[str, ...]]] = {
    401: ("InvalidAliUid.IsNull",),
    403: (
        "ActionUnauthorized",
        "AuthenticationFail.NoPermission",
        "CancelTaskFailed",
        "ConcurrentQuotaExceed.ExportImage",
        "EntityNotExist.Role",
        "ExportImageFailed",
        "ImageIsExporting",
        "ImageNotSupported",
        "IncorrectDestinationRegion",
        "InvalidImageCategory.NotSupported",
        "InvalidImageLicense.NotSupported",
        "InvalidOSS.NotAuthorized",
        "InvalidOSSBucket.EncryptUnsupported",
        "InvalidOperation.CloudBoxImageCopyUnsupported",
        "InvalidOperation.VhdImageUnsupported",
        "InvalidSnapshot.TooOld",
        "InvalidTaskId.IncorrectTaskStatus",
        "InvalidTaskId.TaskActionNotSupport",
        "LastTokenProcessing",
        "NoPermission",
        "NoPermisson",
        "NoSetRoletoECSServiceAccount",
        "NoSetRoletoECSServiceAcount",
        "OperationDeined.EncryptedSnapshot",
        "OperationDenied.ImageCopying",
        "OperationDenied.NonCompliantDestinationRegion",
        "OperationDenied.NotAuthorized",
        "OperationDenied.NotPublished",
        "OperationDenied.SameRegionOnly",
        "QuotaExceed.Image",
        "QuotaExceed.Snapshot",
        "RealNameAuthenticationError",
        "RegionNotSupportCopy",
        "SizeExceed.Image",
        "UnsupportedHTTPMethod",
        "UserNotInTheWhiteList",
        "WeeklyQuotaExceed.ExportImage",
    ),
    404: (
        "InvalidAccessKeyId.NotFound",
        "InvalidApi.NotFound",
        "InvalidArchitecture",
        "InvalidFilterKey.NotFound",
        "InvalidImageId.NotFound",
        "InvalidOSType",
        "InvalidParameter.KMSKeyId.NotFound",
        "InvalidRegionId.NotFound",
        "InvalidResourceGroup.NotFound",
        "InvalidUsage",
    ),
    409: ("InvalidOperation.Conflict", "OperationConflict"),
    500: ("InternalError",),
    503: ("ServiceUnavailable", "ServiceUnavailable.RegionMaintaining"),
}
_CODES: Final = {code: number for number, codes in _NUMBERS.items() for code in codes}
_FAMILIES: Final = ("Forbidden", "Forbbiden", "Forbedden")
_OTHERS: Final = 400


def status_for(code: str, options: AliyunOptions) -> int:
    """The HTTP status that a code comes with."""
    family = 403 if code.startswith(_FAMILIES) else _OTHERS
    return options.http_statuses.get(code, _CODES.get(code, family))


def success(done: Mapping[str, Any], call: Call) -> Response:
    """The answer of what an action has done."""
    told = {**done, "RequestId": call.request_id}
    headers = _headers(call)
    if call.json:
        return JSONResponse(told, headers=headers)
    return Response(_document(f"{call.action}Response", told), headers=headers, media_type=XML)


def refusal(error: VendorError, call: Call, options: AliyunOptions) -> Response:
    """The answer of an error."""
    status = status_for(error.code, options)
    headers = _headers(call)
    if error.code.startswith(THROTTLING) and options.retry_after_ms is not None:
        headers["x-acs-retry-after"] = str(options.retry_after_ms)
    told: dict[str, Any] = {
        "RequestId": call.request_id,
        "HostId": call.host,
        "Code": error.code,
        "Message": error.message,
        "Recommend": f"https://api.aliyun.com/troubleshoot?q={error.code}&product=Ecs&requestId={call.request_id}",
    }
    if error.code == DENIED and options.encoded_denials:
        told["AccessDeniedDetail"] = {"AuthAction": f"ecs:{call.action}", "NoPermissionType": "ImplicitDeny"}
    if options.error_shape == "xml" or not call.json:
        return Response(_document("Error", told), status, headers, XML)
    if options.error_shape == "lower_case":
        told = {f"{name[0].lower()}{name[1:]}": value for name, value in told.items()}
    return JSONResponse(told, status, headers)


def _headers(call: Call) -> dict[str, str]:
    return {"x-acs-request-id": call.request_id}


def _document(root: str, told: Mapping[str, Any]) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(_elements(root, told))}'


def _elements(name: str, value: object) -> Iterator[str]:
    """A value as XML; the items of a list stand side by side."""
    if isinstance(value, list):
        for each in value:
            yield from _elements(name, each)
        return
    yield f"<{name}>"
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _elements(inner, each)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif value is not None:
        yield escape(str(value))
    yield f"</{name}>"
