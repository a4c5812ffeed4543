"""Alibaba Cloud's error codes as classes: tables only, an operation's own codes first, then common ones, then families.

The answers of this cloud are classified with them, those of failed tasks too. A code decides, never a message, and its
HTTP status only where no table knows the code: one code comes with several statuses.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

from imageferry.core.answers import AnswerClass

EXPORT: Final = "ExportImage"
COPY: Final = "CopyImage"

NONCE_USED: Final = "SignatureNonceUsed"
"""Signed again with a new nonce, once."""
CLOCK: Final = ("InvalidTimeStamp.Expired", "InvalidTimeStamp.Format", "IllegalTimestamp")
"""The vendor does not believe our time: signed again by its own clock, once."""
NO_SUCH_TASK: Final = "InvalidTaskId.NotFound"
NO_SUCH_IMAGE: Final = "InvalidImageId.NotFound"
"""To a submit soon after the image was sighted, it may be known a little later."""
BUSY_OR_BAD: Final = "IncorrectImageStatus"
"""The image is not ready: whether it ever will be, the image itself tells."""
NAME_TAKEN: Final = "InvalidImageName.Duplicated"
WEEKLY: Final = "WeeklyQuotaExceed.ExportImage"
ENCRYPTED: Final = ("OperationDeined.EncryptedSnapshot", "OperationDenied.EncryptedSnapshot")
"""A copy of such an image must be asked for as an encrypted one."""

ABOUT_RUNNING: Final = frozenset({"ConcurrentQuotaExceed.ExportImage"})
"""Quotas of running tasks; every other one is about images, snapshots or weeks."""

FEW: Final[dict[str, AnswerClass]] = {
    "ExportImageFailed": "permanent_image",
    "InvalidParameter.DataEncryptedKeyCreateFailed": "permanent_config",
}
"""Codes that are worth :data:`TRIES` tries, and what they are afterwards."""
TRIES: Final = 3

OWN: Final[dict[str, dict[str, AnswerClass]]] = {
    EXPORT: {
        "ConcurrentQuotaExceed.ExportImage": "wait_quota",
        "ExportImageFailed": "retry",
        "ImageNotSupported": "permanent_image",
        "IncorrectImageStatus": "wait_image",
        "InvalidImage.DiskAmountOrSize": "permanent_image",
        "InvalidImageCategory.NotSupported": "permanent_image",
        "InvalidImageFormat.Malformed": "permanent_config",
        "InvalidImageFormat.RegionNotSupported": "permanent_config",
        "InvalidImageLicense.NotSupported": "permanent_image",
        "InvalidImageName.Malformed": "permanent_image",
        "InvalidOSS.NotAuthorized": "permanent_config",
        "InvalidOSSBucket.EncryptUnsupported": "permanent_config",
        "InvalidOSSBucket.NotFound": "permanent_config",
        "InvalidOSSBucket.NotMatched": "permanent_config",
        "InvalidOSSObject.NeedRestore": "permanent_config",
        "InvalidOSSPrefix.Malformed": "permanent_config",
        "InvalidRegion.NotSupport": "permanent_config",
        "NoSetRoletoECSServiceAccount": "permanent_config",
        "NoSetRoletoECSServiceAcount": "permanent_config",
        "OperationDenied": "permanent_image",
        "UserNotInTheWhiteList": "permanent_config",
        "WeeklyQuotaExceed.ExportImage": "wait_quota",
    },
    COPY: {
        "DestinationRegion.NotFound": "permanent_config",
        "IncorrectDestinationRegion": "permanent_config",
        "IncorrectImageStatus": "wait_image",
        "InvalidAliUid.IsNull": "auth",
        "InvalidDescription.Malformed": "permanent_config",
        "InvalidEncryptAlgorithm": "permanent_config",
        "InvalidEncrypted.NotMatchDiskDefaultEncryption": "permanent_config",
        "InvalidEncrypted.NotMatchEncryptAlgorithm": "permanent_config",
        "InvalidEncrypted.NotMatchKmsKeyId": "permanent_config",
        "InvalidImageName.Duplicated": "permanent_config",
        "InvalidImageName.Malformed": "permanent_config",
        "InvalidOperation.CloudBoxImageCopyUnsupported": "permanent_image",
        "InvalidOperation.VhdImageUnsupported": "permanent_image",
        "InvalidParameter.DataEncryptedKeyCreateFailed": "retry",
        "InvalidParameter.EncryptedIllegal": "permanent_config",
        "InvalidParameter.KMSKeyId.CMKNotEnabled": "permanent_config",
        "InvalidParameter.KMSKeyId.CMKUnauthorized": "permanent_config",
        "InvalidParameter.KMSKeyId.KMSUnauthorized": "permanent_config",
        "InvalidParameter.KMSKeyId.NotFound": "permanent_config",
        "InvalidParameter.KmsNotEnabled": "permanent_config",
        "InvalidRegion.NotSupport": "permanent_config",
        "InvalidRegionId.NotSupportEncryptAlgorithm": "permanent_config",
        "InvalidResourceGroup.NotFound": "permanent_config",
        "InvalidSnapshot.TooOld": "permanent_image",
        "InvalidSnapshotId.NotFound": "permanent_image",
        "OperationDeined.EncryptedSnapshot": "permanent_image",
        "OperationDenied": "permanent_image",
        "OperationDenied.CommunityImage": "permanent_image",
        "OperationDenied.EncryptSnapshotAcrossRegion": "permanent_config",
        "OperationDenied.EncryptedSnapshot": "permanent_image",
        "OperationDenied.KmsServiceUnauthorized": "permanent_config",
        "OperationDenied.NonCompliantDestinationRegion": "permanent_config",
        "OperationDenied.NotAuthorized": "permanent_image",
        "OperationDenied.NotPublished": "permanent_image",
        "OperationDenied.SameRegionOnly": "permanent_image",
        "QuotaExceed.Image": "wait_quota",
        "QuotaExceed.Snapshot": "wait_quota",
        "RegionNotSupportCopy": "permanent_config",
        "SizeExceed.Image": "permanent_image",
        "SourceRegion.NotFound": "permanent_config",
        "UserNotInTheWhiteList": "permanent_config",
    },
}
"""Operation -> its own codes."""

ANY: Final[dict[str, AnswerClass]] = {
    "Account.Arrearage": "permanent_config",
    "ActionUnauthorized": "auth",
    "DryRunOperation": "ok",
    "Forbbiden": "auth",
    "Forbedden.NotSupportRAM": "auth",
    "Forbidden": "auth",
    "Forbidden.AccessKeyDisabled": "auth",
    "Forbidden.NotSupportRAM": "auth",
    "Forbidden.RAM": "auth",
    "Forbidden.RiskControl": "auth",
    "Forbidden.SubUser": "auth",
    "Forbidden.Unauthorized": "auth",
    "Forbidden.UserVerification": "auth",
    "IdempotenceParamNotMatch": "permanent_config",
    "IdempotentParameterMismatch": "permanent_config",
    "IllegalTimestamp": "auth",
    "ImageIsExporting": "wait_image",
    "IncompleteSignature": "auth",
    "InsufficientBalance": "permanent_config",
    "InternalError": "retry",
    "InvalidAccessKeyId.Inactive": "auth",
    "InvalidAccessKeyId.NotFound": "auth",
    "InvalidAccount.NotFound": "auth",
    "InvalidAction": "permanent_config",
    "InvalidApi.NotFound": "permanent_config",
    "InvalidArchitecture": "permanent_config",
    "InvalidFilterKey.NotFound": "permanent_config",
    "InvalidIdempotenceParameter.Mismatch": "permanent_config",
    "InvalidImageId.NotFound": "permanent_image",
    "InvalidImageOwnerAlias.ValueNotSupported": "permanent_config",
    "InvalidInstanceType.ValueNotSupported": "permanent_config",
    "InvalidOSType": "permanent_config",
    "InvalidOperation.Conflict": "retry",
    "InvalidProduct.NotFound": "permanent_config",
    "InvalidRegionId.NotFound": "permanent_config",
    "InvalidSecurityToken.Expired": "auth",
    "InvalidSecurityToken.Malformed": "auth",
    "InvalidSecurityToken.MismatchWithAccessKey": "auth",
    "InvalidTag.Mismatch": "permanent_config",
    "InvalidTagCount": "permanent_config",
    "InvalidTaskId.NotFound": "permanent_config",
    "InvalidTimeStamp.Expired": "auth",
    "InvalidTimeStamp.Format": "auth",
    "InvalidUsage": "permanent_config",
    "LastTokenProcessing": "retry",
    "MissingSecurityToken": "auth",
    "NoPermission": "auth",
    "NoPermisson": "auth",
    "NoSuchVersion": "permanent_config",
    "OperationConflict": "retry",
    "OperationDenied.ImageCopyConflict": "wait_image",
    "OperationDenied.ImageCopying": "wait_image",
    "RealNameAuthenticationError": "auth",
    "Rejected.Throttling": "throttled",
    "ServiceUnavailable": "retry",
    "ServiceUnavailable.RegionMaintaining": "retry",
    "SignatureDoesNotMatch": "auth",
    "SignatureNonceUsed": "retry",
    "Throttling": "throttled",
    "Throttling.Api": "throttled",
    "Throttling.User": "throttled",
    "UnknownError": "retry",
    "UnsupportedHTTPMethod": "permanent_config",
    "UnsupportedOperation": "permanent_config",
    "UnsupportedParameter": "permanent_config",
}
"""Codes of every operation."""

FAMILIES: Final[tuple[tuple[str, AnswerClass], ...]] = (
    ("Throttling*", "throttled"),
    ("*.Throttling", "throttled"),
    ("MissingParameter*", "permanent_config"),
    ("InvalidParameter*", "permanent_config"),
    ("InvalidParamter*", "permanent_config"),
    ("InvalidParamater*", "permanent_config"),
)
"""Families of listed codes, whatever the HTTP status."""

UNLISTED: Final[tuple[tuple[str, AnswerClass], ...]] = (
    ("InvalidAccessKeyId*", "auth"),
    ("InvalidSecurityToken*", "auth"),
    ("Signature*", "auth"),
    ("InvalidTimeStamp*", "auth"),
    ("Forbidden*", "auth"),
    ("Forbbiden*", "auth"),
    ("NoPermission*", "auth"),
    ("*QuotaExceed*", "wait_quota"),
    ("*LimitExceed*", "wait_quota"),
    ("*Conflict*", "retry"),
    ("*Processing", "retry"),
    ("ImageNotSupported*", "permanent_image"),
    ("InvalidImage*", "permanent_image"),
    ("OperationDenied*", "permanent_image"),
    ("OperationDeined*", "permanent_image"),
)
"""Beginnings and parts of codes that no table has, in this order, where the HTTP status is below 500."""

NUMBERS: Final[dict[int, AnswerClass]] = {401: "auth", 408: "retry", 429: "throttled"}
"""Statuses whose code says nothing: 5xx is ``retry``, every other one ``permanent_config``."""

_SERVER: Final = 500


def classify(code: str, status: int, action: str = "") -> AnswerClass:
    """The class of a refusal of ``action``; ``status``: the HTTP status, 0 where there is none (a failed task)."""
    known = OWN.get(action, {}).get(code) or ANY.get(code) or _family(FAMILIES, code)
    if known is not None:
        return known
    if status >= _SERVER:
        return "retry"
    return NUMBERS.get(status) or _family(UNLISTED, code) or "permanent_config"


def _family(table: tuple[tuple[str, AnswerClass], ...], code: str) -> AnswerClass | None:
    return next((klass for pattern, klass in table if fnmatchcase(code, pattern)), None)
