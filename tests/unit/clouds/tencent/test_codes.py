from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from imageferry.clouds.tencent import codes
from imageferry.clouds.tencent.codes import ABOUT_RUNNING, classify
from imageferry.core.answers import ANSWER_CLASSES

# Written down anew from the vendor's tables, so that a slip in one of the two shows.
EXPORT = """
permanent_config AuthFailure.CamRoleNameAuthenticateFailed InvalidParameter.ImageIdsSnapshotIdsMustOne
permanent_config InvalidParameterValue.BucketNotFound InvalidParameterValue.InvalidAppIdFormat
permanent_config InvalidParameterValue.InvalidBucketPermissionForExport
permanent_config InvalidParameterValue.InvalidFileNamePrefixList InvalidParameterValue.LimitExceeded
permanent_config InvalidParameterValue.MissingLocationCosEndpoint InvalidParameterValue.TooLarge
permanent_image InvalidImageId.Malformed InvalidImageId.NotFound InvalidParameter.SnapshotNotFound
permanent_image InvalidParameterValue.InvalidImageId InvalidParameterValue.InvalidImageOsName
permanent_image UnsupportedOperation.EncryptedImagesNotSupported UnsupportedOperation.ImageTooLargeExportUnsupported
permanent_image UnsupportedOperation.MarketImageExportUnsupported UnsupportedOperation.PublicImageExportUnsupported
permanent_image UnsupportedOperation.RedHatImageExportUnsupported UnsupportedOperation.SharedImageExportUnsupported
permanent_image UnsupportedOperation.WindowsImageExportUnsupported
wait_image InvalidParameterValue.InvalidImageState
wait_quota LimitExceeded.ExportImageTaskLimitExceeded
"""
COPY = """
wait_image FailedOperation.InvalidImageState InvalidParameterValue.InvalidImageState InvalidImageId.IncorrectState
permanent_config ImageQuotaLimitExceeded InvalidImageName.Duplicate InvalidParameter.InvalidKmsKeyId
permanent_config InvalidParameterValue.InvalidRegion InvalidRegion.NotFound InvalidRegion.Unavailable
permanent_config UnsupportedOperation.Region InvalidParameterValue.LimitExceeded
permanent_image InvalidImageId.Malformed InvalidImageId.NotFound InvalidImageId.TooLarge
permanent_image InvalidParameter.InstanceImageNotSupport InvalidParameterValue.InvalidImageId
permanent_image UnsupportedOperation.EncryptedImagesNotSupported UnsupportedOperation.LocationImageNotSupported
permanent_image UnsupportedOperation.SyncEncryptImageNotSupport
"""
LOOK = """
permanent_config InvalidFilter InvalidFilterValue.LimitExceeded InvalidInstanceType.Malformed
permanent_config InvalidParameterValue.InstanceTypeNotFound InvalidParameterValue.InvalidAppIdFormat
permanent_config InvalidParameterValue.InvalidParameterValueLimit InvalidParameterValue.LimitExceeded
permanent_config InvalidParameterValue.TagKeyNotFound InvalidParameterValue.ZoneNotSupported
permanent_config FailedOperation.IllegalTagKey InvalidRegion.NotFound InvalidZone.MismatchRegion
permanent_config ResourcesSoldOut.SpecifiedInstanceType UnsupportedOperation
permanent_config InvalidParameter.InvalidParameterCoexistImageIdsFilters
auth UnauthorizedOperation.InvalidToken UnauthorizedOperation.PermissionDenied
"""
COMMON = """
throttled RequestLimitExceeded RequestLimitExceeded.UinLimitExceeded RequestLimitExceeded.IPLimitExceeded
throttled RequestLimitExceeded.GlobalRegionUinLimitExceeded
retry InternalError InternalError.Anything InternalServerError ServiceUnavailable FailedOperation ResourceUnavailable
retry ResourceInsufficient ResourceInsufficient.SpecifiedInstanceType
wait_quota LimitExceeded
wait_image ResourceInUse MutexOperation.TaskRunning FailedOperation.InvalidImageState InvalidImageId.IncorrectState
auth AuthFailure.InvalidAuthorization AuthFailure.InvalidSecretId AuthFailure.MFAFailure AuthFailure.SecretIdNotFound
auth AuthFailure.SignatureFailure AuthFailure.UnauthorizedOperation AuthFailure.SignatureExpire AuthFailure.TokenFailure
auth UnauthorizedOperation.InvalidToken UnauthorizedOperation UnauthorizedOperation.PermissionDenied
auth UnauthorizedOperation.MFAExpired UnauthorizedOperation.MFANotFound IpInBlacklist IpNotInWhitelist
permanent_image UnauthorizedOperation.ImageNotBelongToAccount ResourceNotFound UnsupportedOperation
permanent_config ActionOffline InvalidAction InvalidParameter InvalidParameterValue InvalidRequest MissingParameter
permanent_config UnknownParameter NoSuchProduct NoSuchVersion UnsupportedProtocol UnsupportedRegion
permanent_config RequestSizeLimitExceeded ResponseSizeLimitExceeded AccountQualificationRestrictions
permanent_config InvalidAccount.InsufficientBalance InvalidPermission OperationDenied.ImageNotAllowPolicy
ok DryRunOperation
"""


def rows(action: str, table: str) -> Iterator[tuple[str, str, str]]:
    for line in filter(None, table.splitlines()):
        klass, *names = line.split()
        yield from ((action, name, klass) for name in names)


ROWS = [
    *rows("ExportImages", EXPORT + COMMON),
    *rows("SyncImages", COPY + COMMON),
    *rows("DescribeImages", LOOK + COMMON.replace(" UnsupportedOperation\n", "\n")),
]


@pytest.mark.parametrize(("action", "code", "klass"), ROWS, ids=str)
def test_a_code_has_the_class_of_the_vendors_table(action: str, code: str, klass: str) -> None:
    assert classify(action, code) == klass


@pytest.mark.parametrize(
    ("code", "klass"),
    [
        ("RequestLimitExceeded.New", "throttled"),
        ("AuthFailure.New", "auth"),
        ("UnauthorizedOperation.New", "auth"),
        ("LimitExceeded.New", "wait_quota"),
        ("ResourceInUse.New", "wait_image"),
        ("MutexOperation.New", "wait_image"),
        ("InternalError.New", "retry"),
        ("FailedOperation.New", "retry"),
        ("ResourceUnavailable.New", "retry"),
        ("ResourceInsufficient.New", "retry"),
        ("UnsupportedOperation.New", "permanent_image"),
        ("InvalidImageId.New", "permanent_image"),
        ("New", "permanent_config"),
        ("New.RequestLimitExceeded", "permanent_config"),
        ("", "permanent_config"),
    ],
)
def test_an_unknown_code_goes_by_its_first_part(code: str, klass: str) -> None:
    assert classify("ExportImages", code) == klass


def test_three_codes_that_look_alike_have_three_classes() -> None:
    alike = (
        "RequestLimitExceeded",
        "LimitExceeded.ExportImageTaskLimitExceeded",
        "InvalidParameterValue.LimitExceeded",
    )
    assert [classify("ExportImages", code) for code in alike] == ["throttled", "wait_quota", "permanent_config"]


def test_only_the_limit_of_export_tasks_is_about_running_tasks() -> None:
    assert {"LimitExceeded.ExportImageTaskLimitExceeded"} == ABOUT_RUNNING


def test_the_tables_hold_codes_and_classes_only() -> None:
    tables = (codes.EXPORT, codes.COPY, codes.LOOK, codes.COMMON, codes.FIRST_PART)
    assert all(klass in ANSWER_CLASSES for table in tables for klass in table.values())
    assert all(re.fullmatch(r"[A-Za-z]+(\.[A-Za-z]+)?", code) for table in tables for code in table)


def test_what_proves_a_refusal_is_permanent_for_the_image() -> None:
    assert {classify("ExportImages", code) for code in codes.NEVER_ACCEPTED} == {"permanent_image"}
