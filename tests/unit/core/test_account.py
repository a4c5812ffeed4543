"""The scope of a lane: by the region, or by the host that requests enter at."""

from __future__ import annotations

import pytest

from support.accounts import tencent_account


@pytest.mark.parametrize(
    ("endpoint", "counted_by", "expected"),
    [
        ("https://cvm.{region}.example.com", "host", "ap-tokyo"),
        ("https://cvm.example.com", "host", "*"),
        ("https://vm.example.com", "region", "ap-tokyo"),
    ],
)
def test_the_lane_of_a_region(endpoint: str, counted_by: str, expected: str) -> None:
    assert tencent_account(endpoint=endpoint, counted_by=counted_by).lane("ap-tokyo") == expected
