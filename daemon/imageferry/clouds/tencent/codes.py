"""Tencent Cloud's error codes as classes: tables only, looked up exactly first, then by the first dotted part.

The client of this cloud classifies every refusal with them. They decide nothing else; messages are never read.
"""

from __future__ import annotations

from typing import Final

from imageferry.core.answers import AnswerClass

DUPLICATE_NAME: Final = "InvalidImageName.Duplicate"
BAD_ID: Final = "InvalidImageId"
"""First part of the codes that one unknown or malformed id earns a whole batch."""

ABOUT_RUNNING: Final = frozenset({"LimitExceeded.ExportImageTaskLimitExceeded"})
"""Of the codes of class ``wait_quota``: those that are about running tasks."""
CLOCK_OFF: Final = frozenset({"AuthFailure.SignatureExpire"})
"""Signed again once, by the vendor's clock."""
TOKEN_OLD: Final = frozenset({"AuthFailure.TokenFailure", "UnauthorizedOperation.InvalidToken"})
"""Signed again once, with credentials read anew."""

NEVER_ACCEPTED: Final = frozenset(
    {
        "InvalidImageId.Malformed",
        "UnsupportedOperation.EncryptedImagesNotSupported",
        "UnsupportedOperation.MarketImageExportUnsupported",
        "UnsupportedOperation.PublicImageExportUnsupported",
        "UnsupportedOperation.RedHatImageExportUnsupported",
        "UnsupportedOperation.SharedImageExportUnsupported",
        "UnsupportedOperation.WindowsImageExportUnsupported",
    }
)
"""About what an image is and always was: a dry run that earns one proves that the export was refused too."""

EXPORT: Final[dict[str, AnswerClass]] = {
    "AuthFailure.CamRoleNameAuthenticateFailed": "permanent_config",
    "InvalidImageId.Malformed": "permanent_image",
    "InvalidImageId.NotFound": "permanent_image",
    "InvalidParameter.ImageIdsSnapshotIdsMustOne": "permanent_config",
    "InvalidParameter.SnapshotNotFound": "permanent_image",
    "InvalidParameterValue.BucketNotFound": "permanent_config",
    "InvalidParameterValue.InvalidAppIdFormat": "permanent_config",
    "InvalidParameterValue.InvalidBucketPermissionForExport": "permanent_config",
    "InvalidParameterValue.InvalidFileNamePrefixList": "permanent_config",
    "InvalidParameterValue.InvalidImageId": "permanent_image",
    "InvalidParameterValue.InvalidImageOsName": "permanent_image",
    "InvalidParameterValue.InvalidImageState": "wait_image",
    "InvalidParameterValue.LimitExceeded": "permanent_config",
    "InvalidParameterValue.MissingLocationCosEndpoint": "permanent_config",
    "InvalidParameterValue.TooLarge": "permanent_config",
    "LimitExceeded.ExportImageTaskLimitExceeded": "wait_quota",
    "UnsupportedOperation.EncryptedImagesNotSupported": "permanent_image",
    "UnsupportedOperation.ImageTooLargeExportUnsupported": "permanent_image",
    "UnsupportedOperation.MarketImageExportUnsupported": "permanent_image",
    "UnsupportedOperation.PublicImageExportUnsupported": "permanent_image",
    "UnsupportedOperation.RedHatImageExportUnsupported": "permanent_image",
    "UnsupportedOperation.SharedImageExportUnsupported": "permanent_image",
    "UnsupportedOperation.WindowsImageExportUnsupported": "permanent_image",
}

COPY: Final[dict[str, AnswerClass]] = {
    "FailedOperation.InvalidImageState": "wait_image",
    "ImageQuotaLimitExceeded": "permanent_config",
    "InvalidImageId.IncorrectState": "wait_image",
    "InvalidImageId.Malformed": "permanent_image",
    "InvalidImageId.NotFound": "permanent_image",
    "InvalidImageId.TooLarge": "permanent_image",
    "InvalidImageName.Duplicate": "permanent_config",
    "InvalidParameter.InstanceImageNotSupport": "permanent_image",
    "InvalidParameter.InvalidKmsKeyId": "permanent_config",
    "InvalidParameterValue.InvalidImageId": "permanent_image",
    "InvalidParameterValue.InvalidImageState": "wait_image",
    "InvalidParameterValue.InvalidRegion": "permanent_config",
    "InvalidParameterValue.LimitExceeded": "permanent_config",
    "InvalidRegion.NotFound": "permanent_config",
    "InvalidRegion.Unavailable": "permanent_config",
    "UnsupportedOperation.EncryptedImagesNotSupported": "permanent_image",
    "UnsupportedOperation.LocationImageNotSupported": "permanent_image",
    "UnsupportedOperation.Region": "permanent_config",
    "UnsupportedOperation.SyncEncryptImageNotSupport": "permanent_image",
}

LOOK: Final[dict[str, AnswerClass]] = {
    "FailedOperation.IllegalTagKey": "permanent_config",
    "InvalidFilter": "permanent_config",
    "InvalidFilterValue.LimitExceeded": "permanent_config",
    "InvalidImageId.Malformed": "permanent_image",
    "InvalidInstanceType.Malformed": "permanent_config",
    "InvalidParameter.InvalidParameterCoexistImageIdsFilters": "permanent_config",
    "InvalidParameterValue.InstanceTypeNotFound": "permanent_config",
    "InvalidParameterValue.InvalidAppIdFormat": "permanent_config",
    "InvalidParameterValue.InvalidParameterValueLimit": "permanent_config",
    "InvalidParameterValue.LimitExceeded": "permanent_config",
    "InvalidParameterValue.TagKeyNotFound": "permanent_config",
    "InvalidParameterValue.ZoneNotSupported": "permanent_config",
    "InvalidRegion.NotFound": "permanent_config",
    "InvalidZone.MismatchRegion": "permanent_config",
    "ResourcesSoldOut.SpecifiedInstanceType": "permanent_config",
    "UnauthorizedOperation.InvalidToken": "auth",
    "UnauthorizedOperation.PermissionDenied": "auth",
    "UnsupportedOperation": "permanent_config",
}

COMMON: Final[dict[str, AnswerClass]] = {
    "AccountQualificationRestrictions": "permanent_config",
    "ActionOffline": "permanent_config",
    "AuthFailure.InvalidAuthorization": "auth",
    "AuthFailure.InvalidSecretId": "auth",
    "AuthFailure.MFAFailure": "auth",
    "AuthFailure.SecretIdNotFound": "auth",
    "AuthFailure.SignatureExpire": "auth",
    "AuthFailure.SignatureFailure": "auth",
    "AuthFailure.TokenFailure": "auth",
    "AuthFailure.UnauthorizedOperation": "auth",
    "DryRunOperation": "ok",
    "FailedOperation": "retry",
    "FailedOperation.InvalidImageState": "wait_image",
    "InternalError": "retry",
    "InternalServerError": "retry",
    "InvalidAccount.InsufficientBalance": "permanent_config",
    "InvalidAction": "permanent_config",
    "InvalidImageId.IncorrectState": "wait_image",
    "InvalidParameter": "permanent_config",
    "InvalidParameterValue": "permanent_config",
    "InvalidPermission": "permanent_config",
    "InvalidRequest": "permanent_config",
    "IpInBlacklist": "auth",
    "IpNotInWhitelist": "auth",
    "LimitExceeded": "wait_quota",
    "MissingParameter": "permanent_config",
    "MutexOperation.TaskRunning": "wait_image",
    "NoSuchProduct": "permanent_config",
    "NoSuchVersion": "permanent_config",
    "RequestLimitExceeded": "throttled",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": "throttled",
    "RequestLimitExceeded.IPLimitExceeded": "throttled",
    "RequestLimitExceeded.UinLimitExceeded": "throttled",
    "RequestSizeLimitExceeded": "permanent_config",
    "ResourceInUse": "wait_image",
    "ResourceInsufficient": "retry",
    "ResourceNotFound": "permanent_image",
    "ResourceUnavailable": "retry",
    "ResponseSizeLimitExceeded": "permanent_config",
    "ServiceUnavailable": "retry",
    "UnauthorizedOperation": "auth",
    "UnauthorizedOperation.ImageNotBelongToAccount": "permanent_image",
    "UnauthorizedOperation.InvalidToken": "auth",
    "UnauthorizedOperation.MFAExpired": "auth",
    "UnauthorizedOperation.MFANotFound": "auth",
    "UnauthorizedOperation.PermissionDenied": "auth",
    "UnknownParameter": "permanent_config",
    "UnsupportedOperation": "permanent_image",
    "UnsupportedProtocol": "permanent_config",
    "UnsupportedRegion": "permanent_config",
}

FIRST_PART: Final[dict[str, AnswerClass]] = {
    "AuthFailure": "auth",
    "FailedOperation": "retry",
    "InternalError": "retry",
    "InvalidImageId": "permanent_image",
    "LimitExceeded": "wait_quota",
    "MutexOperation": "wait_image",
    "OperationDenied": "permanent_config",
    "RequestLimitExceeded": "throttled",
    "ResourceInUse": "wait_image",
    "ResourceInsufficient": "retry",
    "ResourceUnavailable": "retry",
    "UnauthorizedOperation": "auth",
    "UnsupportedOperation": "permanent_image",
}
"""For codes that no table has; a first part that is not here means ``permanent_config``."""

_ANYWHERE: Final = COMMON | EXPORT | COPY
_LOOKING: Final = _ANYWHERE | LOOK


def classify(action: str, code: str) -> AnswerClass:
    """The class of a vendor code: the tables first, then its first dotted part."""
    table = _LOOKING if action == "DescribeImages" else _ANYWHERE
    return table.get(code) or FIRST_PART.get(code.partition(".")[0], "permanent_config")
