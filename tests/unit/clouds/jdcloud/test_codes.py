from __future__ import annotations

from collections.abc import Iterator

import pytest

from imageferry.clouds.jdcloud import codes
from imageferry.clouds.jdcloud.codes import about_running, by_message, classify, explained
from imageferry.core.answers import ANSWER_CLASSES

# Written down anew from the vendor's tables, so that a slip in one of the two shows.
EXPORT = """
permanent_config|400|CONFLICT|OssRegion 'cn-east-2' not match current region 'cn-north-1'
permanent_image|400|FAILED_PRECONDITION|Can't use this image
wait_image|400|FAILED_PRECONDITION|Invalid image status 'pending'
permanent_image|400|FAILED_PRECONDITION|Invalid image status 'error'
permanent_image|400|FAILED_PRECONDITION|Invalid image status 'deleting'
wait_image|400|FAILED_PRECONDITION|Invalid image status 'converting'
permanent_image|400|FAILED_PRECONDITION|Invalid image type 'localDisk'
permanent_image|400|FAILED_PRECONDITION|Windows image can't export
retry|500|INTERNAL|Internal server error
retry|500|UNKNOWN|Unknown server error
"""
COPY = """
permanent_config|400|INVALID_ARGUMENT|Invalid region 'xx'
permanent_image|400|FAILED_PRECONDITION|Only support cloudDisk image
wait_image|400|FAILED_PRECONDITION|Invalid image status 'pending'
permanent_image|400|FAILED_PRECONDITION|Can't use this image
wait_image|400|FAILED_PRECONDITION|Conflict with underlay image task '8023'
wait_image|400|FAILED_PRECONDITION|The image 'img-1' is busy
permanent_image|400|FAILED_PRECONDITION|Copy encrypted snapshot 'snap-1' is not support.
wait_quota|429|QUOTA_EXCEEDED|Image quota limit exceeded
wait_quota|429|QUOTA_EXCEEDED|Snapshot quota limit exceeded
permanent_image|404|NOT_FOUND|Image 'img-1' not found
retry|500|INTERNAL|Internal server error
retry|500|UNKNOWN|Unknown server error
"""
COMMON = """
permanent_config 400 INVALID_ARGUMENT OUT_OF_RANGE ARGUMENT_NOT_SUPPORT ARGUMENT_NOT_FOUND ARGUMENT_WRONG_FORMAT
permanent_config 400 ARGUMENT_MISMATCH
wait_image 400 FAILED_PRECONDITION
wait_image 409 FAILED_PRECONDITION ABORTED
auth 401 UNAUTHENTICATED ACCESS_ERROR APIGW_LACK_PARAMS APIGW_KEY_NOT_EXITST APIGW_KEY_DISABLED
auth 401 APIGW_SIGN_RESULT_NOT_SAME APIGW_ILLEGAL_HEADER
auth 403 HTTP_FORBIDDEN PERMISSION_DENIED APIGW_CHILD_ACCOUNT_NOT_ALLOWED APIGW_API_NOT_ALLOWED APIGW_MFA_FAIL
auth 403 APIGW_OPERATION_NOT_ALLOWED APIGW_ROLE_NOT_EXIST APIGW_USER_DISABLED APIGW_SERVICE_DISABLED
retry 403 APIGW_NONCE_CONFLICT
permanent_config 404 NOT_FOUND RESOURCE_NOT_EXIST APIGW_SERVICE_NOT_FOUND
permanent_config 409 ALREADY_EXISTS CONFLICT
wait_quota 429 QUOTA_EXCEEDED
throttled 429 RATE_LIMIT RATE_LIMIT_EXCEEDED HTTP_RATE_LIMIT_EXCEEDED
retry 499 CANCELLED
retry 500 INTERNAL UNKNOWN HTTP_INTERNAL_SERVER_ERROR
retry 502 SOURCE_UNAVAILABLE HTTP_BAD_GATEWAY
retry 503 HTTP_SERVICE_UNAVAILABLE UNAVAILABLE
retry 504 HTTP_SERVER_TIMING_OUT DEADLINE_EXCEEDED
permanent_config 501 NOT_IMPLEMENTED
"""


def messages(table: str) -> Iterator[tuple[str, int, str, str]]:
    for line in filter(None, table.splitlines()):
        klass, number, status, message = line.split("|")
        yield klass, int(number), status, message


def statuses(table: str) -> Iterator[tuple[str, int, str]]:
    for line in filter(None, table.splitlines()):
        klass, number, *names = line.split()
        yield from ((klass, int(number), name) for name in names)


@pytest.mark.parametrize(("klass", "number", "status", "message"), list(messages(EXPORT + COPY)), ids=str)
def test_a_refusal_has_the_class_of_the_vendors_table(klass: str, number: int, status: str, message: str) -> None:
    assert classify(status, message, number) == klass


@pytest.mark.parametrize(("klass", "number", "status"), list(statuses(COMMON)), ids=str)
def test_a_status_alone_has_the_class_of_the_common_table(klass: str, number: int, status: str) -> None:
    assert classify(status, "", number) == klass


@pytest.mark.parametrize(
    ("klass", "number"),
    [
        ("auth", 401),
        ("auth", 403),
        ("retry", 408),
        ("retry", 499),
        ("throttled", 429),
        ("permanent_config", 400),
        ("permanent_config", 404),
        ("permanent_config", 413),
        ("permanent_config", 414),
        ("retry", 500),
        ("retry", 503),
    ],
)
@pytest.mark.parametrize("status", ["", "BRAND_NEW"])
def test_an_unknown_status_goes_by_its_number(status: str, klass: str, number: int) -> None:
    assert classify(status, "", number) == klass


def test_429_is_a_quota_where_the_message_says_so() -> None:
    assert classify("BRAND_NEW", "your Quota is used up", 429) == "wait_quota"


@pytest.mark.parametrize("status", ["CONFLICT", "INVALID_ARGUMENT", "ALREADY_EXISTS", "BRAND_NEW"])
def test_a_known_message_decides_under_any_status_that_leaves_it_open(status: str) -> None:
    assert classify(status, "The image 'img-1' is busy", 409) == "wait_image"


@pytest.mark.parametrize("status", ["RATE_LIMIT", "ACCESS_ERROR", "INTERNAL"])
def test_an_exact_status_comes_before_any_message(status: str) -> None:
    assert classify(status, "The image 'img-1' is busy", 400) == codes.EXACT[status]


@pytest.mark.parametrize(
    "message", ["WINDOWS IMAGE CAN'T EXPORT", "Windows image can\u2019t export.", "x Windows image can't export y"]
)
def test_case_quotation_marks_and_surroundings_do_not_matter(message: str) -> None:
    assert by_message(message) == "permanent_image"


@pytest.mark.parametrize(
    "message", ["The role 'r' does not trust the disk service", "no such bucket", "bad ossUrl", "oss-url is wrong"]
)
@pytest.mark.parametrize("number", [400, 404])
def test_a_message_about_role_or_bucket_is_the_configs_fault(message: str, number: int) -> None:
    assert classify("FAILED_PRECONDITION", message, number) == "permanent_config"


def test_a_controller_is_no_role() -> None:
    assert classify("FAILED_PRECONDITION", "the controller is away", 400) == "wait_image"


@pytest.mark.parametrize(
    ("message", "known"), [("The image 'x' is busy", True), ("no such bucket", True), ("rehearsed", False), ("", False)]
)
def test_what_is_explained_is_what_some_pattern_knows(message: str, *, known: bool) -> None:
    assert explained(message) is known


@pytest.mark.parametrize(
    ("status", "message", "running"),
    [
        ("QUOTA_EXCEEDED", "Image task limit exceeded", True),
        ("QUOTA_EXCEEDED", "too many concurrent exports", True),
        ("QUOTA_EXCEEDED", "Image quota limit exceeded", False),
        ("QUOTA_EXCEEDED", "Snapshot quota limit exceeded", False),
        ("QUOTA_EXCEEDED", "", False),
        ("RATE_LIMIT", "too many tasks", False),
    ],
)
def test_only_a_quota_of_tasks_is_about_running_tasks(status: str, message: str, *, running: bool) -> None:
    assert about_running(status, message) is running


def test_the_tables_hold_classes_of_the_closed_set_only() -> None:
    tables = (codes.EXACT, codes.FAMILIES, codes.IMAGE_STATUS, codes.BY_MESSAGE, codes.NUMBERS)
    classes = {klass for table in tables for klass in table.values()}
    classes |= {klass for _, klass in codes.PATTERNS + codes.HINTS}
    assert classes <= set(ANSWER_CLASSES)


def test_no_status_stands_in_two_tables() -> None:
    assert codes.EXACT.keys() & codes.BY_MESSAGE.keys() == set()


def test_what_may_be_signed_anew_is_a_refused_proof() -> None:
    assert {codes.EXACT[status] for status in codes.NOT_PROVEN} == {"auth"}
