from __future__ import annotations

from collections.abc import Iterator

import pytest

from imageferry.clouds.aliyun import codes
from imageferry.clouds.aliyun.codes import ABOUT_RUNNING, COPY, EXPORT, FEW, classify
from imageferry.core.answers import ANSWER_CLASSES

# Written down anew from the vendor's tables, so that a slip in one of the two shows.
OF_EXPORTS = """
permanent_config 400 MissingParameter MissingParameter.OSSBucket InvalidOSSPrefix.Malformed InvalidImageFormat.Malformed
permanent_config 400 InvalidImageFormat.RegionNotSupported InvalidRegionId.NotFound InvalidRegion.NotSupport
permanent_config 400 InvalidOSSBucket.NotFound InvalidOSSBucket.NotMatched InvalidOSSObject.NeedRestore
permanent_config 403 InvalidOSSBucket.EncryptUnsupported InvalidOSS.NotAuthorized UserNotInTheWhiteList
permanent_config 403 NoSetRoletoECSServiceAcount NoSetRoletoECSServiceAccount
permanent_image 400 InvalidImageName.Malformed OperationDenied InvalidImage.DiskAmountOrSize ImageNotSupported
permanent_image 403 ImageNotSupported InvalidImageCategory.NotSupported InvalidImageLicense.NotSupported
permanent_image 404 InvalidImageId.NotFound
wait_image 400 IncorrectImageStatus
wait_image 403 ImageIsExporting
wait_quota 403 ConcurrentQuotaExceed.ExportImage WeeklyQuotaExceed.ExportImage
retry 403 ExportImageFailed InternalError
"""
OF_COPIES = """
permanent_config 400 SourceRegion.NotFound DestinationRegion.NotFound InvalidImageName.Malformed
permanent_config 400 InvalidDescription.Malformed InvalidImageName.Duplicated InvalidParameter.EncryptedIllegal
permanent_config 400 InvalidEncrypted.NotMatchKmsKeyId InvalidEncrypted.NotMatchEncryptAlgorithm InvalidEncryptAlgorithm
permanent_config 400 InvalidParameter.KmsNotEnabled Account.Arrearage
permanent_config 403 IncorrectDestinationRegion RegionNotSupportCopy OperationDenied.NonCompliantDestinationRegion
permanent_config 403 InvalidEncrypted.NotMatchDiskDefaultEncryption OperationDenied.EncryptSnapshotAcrossRegion
permanent_config 403 InvalidRegionId.NotSupportEncryptAlgorithm InvalidRegion.NotSupport UserNotInTheWhiteList
permanent_config 403 InvalidParameter.KMSKeyId.CMKNotEnabled InvalidParameter.KMSKeyId.CMKUnauthorized
permanent_config 403 InvalidParameter.KMSKeyId.KMSUnauthorized OperationDenied.KmsServiceUnauthorized
permanent_config 404 InvalidResourceGroup.NotFound InvalidParameter.KMSKeyId.NotFound
retry 403 InvalidParameter.DataEncryptedKeyCreateFailed InternalError
retry 409 InvalidOperation.Conflict
retry 500 InternalError
permanent_image 400 OperationDenied.CommunityImage InvalidImageId.NotFound
permanent_image 403 OperationDenied InvalidSnapshot.TooOld SizeExceed.Image InvalidOperation.VhdImageUnsupported
permanent_image 403 InvalidOperation.CloudBoxImageCopyUnsupported OperationDenied.SameRegionOnly
permanent_image 403 OperationDenied.NotPublished OperationDenied.NotAuthorized
permanent_image 403 OperationDeined.EncryptedSnapshot OperationDenied.EncryptedSnapshot
permanent_image 404 InvalidImageId.NotFound InvalidSnapshotId.NotFound
wait_image 400 IncorrectImageStatus OperationDenied.ImageCopyConflict
wait_image 403 OperationDenied.ImageCopying
wait_quota 403 QuotaExceed.Image QuotaExceed.Snapshot
auth 401 InvalidAliUid.IsNull
auth 403 Forbbiden
"""
OF_READS = """
permanent_config 400 InvalidImageOwnerAlias.ValueNotSupported InvalidParamter InvalidTag.Mismatch InvalidTagCount
permanent_config 400 InvalidInstanceType.ValueNotSupported MissingParameter InvalidTaskId.NotFound
permanent_config 404 InvalidFilterKey.NotFound InvalidUsage InvalidOSType InvalidArchitecture
"""
OF_ALL = """
throttled 400 Throttling Throttling.User Throttling.Api Throttling.Anything Rejected.Throttling
throttled 429 Throttling.User
throttled 503 Throttling.Api
retry 400 SignatureNonceUsed UnknownError
retry 403 LastTokenProcessing
retry 409 OperationConflict InvalidOperation.Conflict
retry 500 InternalError
retry 503 ServiceUnavailable ServiceUnavailable.RegionMaintaining
permanent_config 400 IdempotentParameterMismatch IdempotenceParamNotMatch InvalidIdempotenceParameter.Mismatch
permanent_config 400 InsufficientBalance Account.Arrearage InvalidParameter InvalidParameter.Anything InvalidParamater
permanent_config 400 UnsupportedParameter NoSuchVersion UnsupportedOperation InvalidAction MissingParameterRegionId
permanent_config 403 UnsupportedHTTPMethod IdempotentParameterMismatch
permanent_config 404 InvalidApi.NotFound InvalidProduct.NotFound InvalidRegionId.NotFound
permanent_image 404 InvalidImageId.NotFound
auth 400 InvalidAccessKeyId.Inactive InvalidAccessKeyId.NotFound SignatureDoesNotMatch IncompleteSignature
auth 400 InvalidTimeStamp.Expired InvalidTimeStamp.Format IllegalTimestamp InvalidSecurityToken.Expired
auth 400 InvalidSecurityToken.Malformed InvalidSecurityToken.MismatchWithAccessKey MissingSecurityToken
auth 403 Forbidden.AccessKeyDisabled SignatureDoesNotMatch Forbidden.RAM Forbidden Forbidden.SubUser NoPermission
auth 403 Forbidden.Unauthorized Forbidden.NotSupportRAM Forbedden.NotSupportRAM NoPermisson ActionUnauthorized
auth 403 Forbidden.RiskControl Forbidden.UserVerification RealNameAuthenticationError
auth 404 InvalidAccessKeyId.NotFound InvalidAccount.NotFound
wait_image 400 OperationDenied.ImageCopyConflict
wait_image 403 ImageIsExporting OperationDenied.ImageCopying
ok 400 DryRunOperation
ok 403 DryRunOperation
"""
UNLISTED = """
throttled 400 Throttling.Unheard
throttled 429 Unheard
retry 500 Unheard Forbidden.Unheard
retry 503 InvalidImage.Unheard
retry 400 Unheard.Conflict UnheardProcessing
retry 408 Unheard
auth 401 Unheard
auth 403 InvalidAccessKeyId.Unheard InvalidSecurityToken.Unheard SignatureUnheard InvalidTimeStamp.Unheard
auth 400 Forbidden.Unheard NoPermission.Unheard
wait_quota 403 QuotaExceed.Unheard UnheardQuotaExceed.Image UnheardLimitExceed.Image
permanent_image 403 ImageNotSupported.Unheard InvalidImage.Unheard InvalidImageUnheard OperationDenied.Unheard
permanent_config 400 Unheard
permanent_config 404 Unheard.NotFound
"""


def listed(table: str) -> Iterator[tuple[str, int, str]]:
    for line in filter(None, table.splitlines()):
        klass, status, *names = line.split()
        yield from ((klass, int(status), name) for name in names)


@pytest.mark.parametrize(("klass", "status", "code"), list(listed(OF_EXPORTS)), ids=str)
def test_a_refused_export_has_the_class_of_its_table(klass: str, status: int, code: str) -> None:
    assert classify(code, status, EXPORT) == klass


@pytest.mark.parametrize(("klass", "status", "code"), list(listed(OF_COPIES)), ids=str)
def test_a_refused_copy_has_the_class_of_its_table(klass: str, status: int, code: str) -> None:
    assert classify(code, status, COPY) == klass


@pytest.mark.parametrize(("klass", "status", "code"), list(listed(OF_READS)), ids=str)
def test_a_refused_read_has_the_class_of_its_table(klass: str, status: int, code: str) -> None:
    assert classify(code, status, "DescribeImages") == klass


@pytest.mark.parametrize("action", [EXPORT, COPY, "DescribeImages"])
@pytest.mark.parametrize(("klass", "status", "code"), list(listed(OF_ALL)), ids=str)
def test_a_common_code_has_its_class_in_every_operation(klass: str, status: int, code: str, action: str) -> None:
    assert classify(code, status, action) == klass


@pytest.mark.parametrize(("klass", "status", "code"), list(listed(UNLISTED)), ids=str)
def test_a_code_that_no_table_has_is_judged_by_its_family_and_status(klass: str, status: int, code: str) -> None:
    assert classify(code, status, EXPORT) == klass


def test_a_code_decides_whatever_its_status() -> None:
    listed_codes = [*listed(OF_EXPORTS), *listed(OF_ALL)]
    assert [code for klass, _, code in listed_codes if classify(code, 0, EXPORT) != klass] == []


def test_the_same_code_may_mean_another_thing_in_another_operation() -> None:
    told = [classify("InvalidImageName.Malformed", 400, action) for action in (EXPORT, COPY)]
    assert told == ["permanent_image", "permanent_config"]


def test_the_tables_hold_nothing_that_is_not_listed_here() -> None:
    known = {code for table in (OF_EXPORTS, OF_COPIES, OF_READS, OF_ALL) for _, _, code in listed(table)}
    assert {code for table in (codes.ANY, *codes.OWN.values()) for code in table} - known == set()


def test_every_class_is_one_that_flow_knows() -> None:
    tables = [codes.ANY, codes.FEW, *codes.OWN.values(), dict(codes.FAMILIES), dict(codes.UNLISTED)]
    assert {klass for table in tables for klass in table.values()} <= set(ANSWER_CLASSES)


def test_only_the_quota_of_running_tasks_is_about_them() -> None:
    assert set(ABOUT_RUNNING) == {"ConcurrentQuotaExceed.ExportImage"}


def test_what_is_worth_a_few_tries_may_pass_until_then() -> None:
    operations = {"ExportImageFailed": EXPORT, "InvalidParameter.DataEncryptedKeyCreateFailed": COPY}
    assert {code: classify(code, 403, operations[code]) for code in FEW} == dict.fromkeys(FEW, "retry")
