from __future__ import annotations

from dataclasses import replace

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.job import UNIQUE_LENGTH
from imageferry.core.options import Fault, bucket_fault, faults, name_room

TENCENT = FACTS["tencent"]
JOINED = replace(
    TENCENT, prefix_pattern="[a-z]{1,10}--[a-z]+", prefix_joint="--", prefix_longest=10 + 2 + UNIQUE_LENGTH
)


def test_options_that_the_cloud_takes_have_no_fault() -> None:
    assert list(faults(TENCENT, "export", {"format": "raw", "prefix": "a"})) == []


def test_no_options_have_no_fault_where_none_is_required() -> None:
    assert list(faults(TENCENT, "copy", {})) == []


def test_the_prefix_is_judged_whole_with_its_joint_and_the_unique_part() -> None:
    assert list(faults(JOINED, "export", {"prefix": "abcdefghij"})) == []


def test_a_prefix_of_one_character_more_than_there_is_room_is_refused() -> None:
    (fault,) = faults(JOINED, "export", {"prefix": "abcdefghijk"})

    assert fault.reason.endswith("expected at most 10 characters on tencent")


def test_a_value_is_not_judged_where_the_cloud_has_no_such_option() -> None:
    without = replace(TENCENT, export_options=frozenset({"format"}))

    assert list(faults(without, "export", {"prefix": "///"})) == [
        Fault("prefix", "tencent has no prefix for an export; expected format")
    ]


def test_a_cloud_without_any_option_says_so() -> None:
    bare = replace(TENCENT, copy_options=frozenset())

    assert list(faults(bare, "copy", {"name": "a"})) == [Fault("name", "tencent has no name for a copy; expected none")]


def test_the_name_is_judged_as_it_will_be_cut() -> None:
    strict = replace(TENCENT, name_longest=20, name_pattern="[a-z-]{1,20}")

    assert list(faults(strict, "copy", {"name": "abcdefg and more that is cut off"})) == []


def test_the_room_of_a_name_leaves_a_hyphen_and_the_unique_part() -> None:
    assert name_room(TENCENT) == 60 - 1 - UNIQUE_LENGTH


@pytest.mark.parametrize("bucket", ["abc", "a.b-c", "0a0", "x" * 63, "compliance-ap-guangzhou-1250000000"])
def test_a_bucket_that_clouds_take(bucket: str) -> None:
    assert bucket_fault(bucket) is None


@pytest.mark.parametrize(
    "bucket", ["", "ab", "x" * 64, "A-b", "a_b", "a b", "-ab", "ab-", ".ab", "a/b", "a:b", "abc\n"]
)
def test_a_bucket_that_no_cloud_takes(bucket: str) -> None:
    assert bucket_fault(bucket) is not None


def test_the_complaint_shows_the_bucket_as_it_is_written() -> None:
    reason = bucket_fault("A", "{policy}")

    assert reason is not None
    assert reason.startswith('"{policy}" cannot be the name of a bucket')
