from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from imageferry.clouds.huawei import codes
from imageferry.clouds.huawei.codes import ABOUT_RUNNING, classify, has_second_chance, not_proven
from imageferry.core.answers import ANSWER_CLASSES

# Written down anew from the vendor's tables, so that a slip in one of the two shows.
IMS = """
retry 0014 0018 0023 0036 0037 0040 0053 0061 0064 0065 0154 0191
throttled 0187
wait_quota 0060 0149 0015 0116 0182 0185
wait_image 0046 0148 0152
permanent_image 0027 0031 0066 0086 0144 0047 0106 0071 0077 0078 0079 0080 0081 0128 0130 0167 0160 0059 0143 0197
permanent_image 0146 0196 0105
permanent_config 0070 0150 0009 0001 0002 0003 0004 0007 0013 0017 0054 0062 0058 0068 0109 0069 0072 0073 0074 0075
permanent_config 0175 0095 0096 0097 0099 0100 0101 0102 0103 0104 0145 0147 0142 0151 0179 0184 0188 0189 0193
permanent_config 0155 0156 0239 0241 0242
auth 0026 0161 0238 0030 0067 0087
"""
GATEWAY = """
auth 401 0301 0303 0305 0311 0307
auth 403 0302 0304 0306 0310 0801 0802
throttled 429 0308
permanent_config 403 0401 0402 0404
permanent_config 405 0501 0502
permanent_config 404 0101
retry 404 0103 0104 0105 0106
permanent_config 400 0201 0602 0607 0204
permanent_config 413 0201
permanent_config 494 0201
retry 502 0201 0610
retry 504 0201 0610
retry 500 0201 0601 0605 0606 0608 0609 0611 0612 0705
retry 503 0613
"""
IAM = """
auth 401 0001 0061 0062 0063 0064 0065 0066 0067
auth 403 0002 0003 0080 0081 0082 0083
"""


def rows(family: str, table: str) -> Iterator[tuple[str, int, str]]:
    for line in filter(None, table.splitlines()):
        klass, status, *numbers = line.split()
        yield from ((f"{family}.{number}", int(status), klass) for number in numbers)


def ims() -> Iterator[tuple[str, int, str]]:
    for line in filter(None, IMS.splitlines()):
        klass, *numbers = line.split()
        yield from ((f"IMG.{number}", 400, klass) for number in numbers)


ROWS = [*ims(), *rows("APIGW", GATEWAY), *rows("APIG", GATEWAY), *rows("IAM", IAM)]


@pytest.mark.parametrize(("code", "status", "klass"), ROWS, ids=str)
def test_a_code_has_the_class_of_the_vendors_table(code: str, status: int, klass: str) -> None:
    assert classify(code, status) == klass


def test_the_image_service_has_no_other_codes_than_the_vendors_table() -> None:
    assert sorted(codes.IMS) == sorted(code for code, _, _ in ims())


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_code_of_the_image_service_counts_more_than_the_status(status: int) -> None:
    assert classify("IMG.0148", status) == "wait_image"


@pytest.mark.parametrize(
    ("status", "klass"),
    [
        (401, "auth"),
        (403, "auth"),
        (407, "auth"),
        (404, "permanent_image"),
        (408, "retry"),
        (425, "retry"),
        (409, "wait_image"),
        (429, "throttled"),
        (400, "permanent_config"),
        (405, "permanent_config"),
        (500, "retry"),
        (502, "retry"),
        (503, "retry"),
        (504, "retry"),
    ],
)
@pytest.mark.parametrize("code", ["", "APIGW.9999", "IAM.9999", "Strange"])
def test_without_a_known_code_the_status_decides(code: str, status: int, klass: str) -> None:
    assert classify(code, status) == klass


def test_an_unknown_code_of_the_image_service_is_permanent_when_it_comes_twice() -> None:
    assert (classify("IMG.1075", 400), has_second_chance("IMG.1075")) == ("permanent_config", True)


def test_second_chances_are_those_of_the_table() -> None:
    assert {code for code in codes.IMS if has_second_chance(code)} == {"IMG.0069", "IMG.0155", "IMG.0156"}


@pytest.mark.parametrize("code", ["", "APIGW.0201", "IAM.0002"])
def test_other_services_codes_have_no_second_chance(code: str) -> None:
    assert not has_second_chance(code)


def test_only_the_limits_of_exports_and_copies_are_about_running_tasks() -> None:
    assert {"IMG.0060", "IMG.0149"} == ABOUT_RUNNING
    assert {classify(code, 400) for code in ABOUT_RUNNING} == {"wait_quota"}


@pytest.mark.parametrize(
    ("code", "status", "unproven"),
    [
        ("APIGW.0301", 401, True),
        ("APIG.0301", 401, True),
        ("APIGW.0307", 401, True),
        ("IMG.0087", 400, True),
        ("IAM.0061", 401, True),
        ("", 401, True),
        ("APIGW.0302", 403, False),
        ("IAM.0002", 403, False),
        ("IMG.0026", 403, False),
        ("IMG.0148", 401, False),
        ("", 403, False),
    ],
)
def test_who_is_not_known_is_told_from_who_may_not(code: str, status: int, *, unproven: bool) -> None:
    assert not_proven(code, status) is unproven


def test_the_tables_hold_codes_and_classes_only() -> None:
    exact, numbers = codes.IMS | codes.IAM, codes.GATEWAY | codes.SERVER_FAULT
    classes = {*exact.values(), *numbers.values(), *codes.STATUS.values()}
    assert classes <= set(ANSWER_CLASSES)
    assert all(re.fullmatch(r"(IMG|IAM)\.\d{4}", code) for code in exact)
    assert all(re.fullmatch(r"\d{4}", number) for number in numbers)


def test_what_the_adapter_names_is_in_the_table() -> None:
    named = {codes.OBJECT_EXISTS, codes.TOKEN_WRONG} | codes.NAME_TAKEN | codes.TOO_LARGE | codes.SECOND_CHANCE
    assert named | ABOUT_RUNNING <= codes.IMS.keys()
