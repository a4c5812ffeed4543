"""Who and where: which account and region a sighting means, or why it is ignored."""

from __future__ import annotations

import pytest

from imageferry.core.account import Account
from imageferry.core.image import Place
from imageferry.flow.intake import Directory


def account(name: str, *regions: str, cloud: str = "tencent", account_id: str | None = None) -> Account:
    return Account(
        name=name,
        cloud=cloud,
        account_id=account_id,
        regions=regions or ("ap-guangzhou",),
        endpoint="https://cvm.{region}.test",
        identity_endpoint="https://sts.test",
        storage_endpoint="https://{bucket}.test",
        limits={},
    )


ONE = Directory([account("prod", "ap-guangzhou", "ap-shanghai")])
TWO = Directory([account("prod", account_id="100"), account("dev", account_id="200")])


@pytest.mark.parametrize(
    ("directory", "where", "expected"),
    [
        (ONE, ("tencent", None, "ap-shanghai"), Place("tencent", "prod", "ap-shanghai")),
        (ONE, ("tencent", "prod", "ap-shanghai"), Place("tencent", "prod", "ap-shanghai")),
        (ONE, ("tencent", "100000000001", "ap-shanghai"), Place("tencent", "prod", "ap-shanghai")),
        (TWO, ("tencent", "200", "ap-guangzhou"), Place("tencent", "dev", "ap-guangzhou")),
        (TWO, ("tencent", "dev", "ap-guangzhou"), Place("tencent", "dev", "ap-guangzhou")),
    ],
)
def test_a_sighting_finds_its_account(
    directory: Directory, where: tuple[str, str | None, str], expected: Place
) -> None:
    assert directory.resolve(where) == expected


@pytest.mark.parametrize(
    ("directory", "where", "expected"),
    [
        (ONE, ("huawei", None, "cn-north-4"), "no account of cloud huawei is configured"),
        (ONE, ("tencent", None, "ap-tokyo"), "region ap-tokyo of account prod is not configured"),
        (TWO, ("tencent", None, "ap-guangzhou"), "the event names no account, and cloud tencent has 2"),
        (TWO, ("tencent", "300", "ap-guangzhou"), "account 300 of cloud tencent is not configured"),
    ],
)
def test_a_sighting_of_somewhere_else_is_ignored_with_the_reason(
    directory: Directory, where: tuple[str, str | None, str], expected: str
) -> None:
    assert directory.resolve(where) == expected


def test_a_configured_account_id_is_not_guessed_around() -> None:
    directory = Directory([account("prod", account_id="100")])
    assert directory.resolve(("tencent", "200", "ap-guangzhou")) == "account 200 of cloud tencent is not configured"
