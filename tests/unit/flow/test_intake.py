"""Who and where: which account and region a sighting means, or why it is ignored."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from imageferry.clouds.huawei.events import PROJECT as TOLD
from imageferry.core.account import Account, CredentialSpec
from imageferry.core.image import Place
from imageferry.flow.intake import PROJECT, Directory


def account(
    name: str,
    *regions: str,
    cloud: str = "tencent",
    account_id: str | None = None,
    projects: Mapping[str, str] | None = None,
) -> Account:
    return Account(
        name=name,
        cloud=cloud,
        account_id=account_id,
        regions=regions or ("ap-guangzhou",),
        credentials=CredentialSpec(projects=projects or {}),
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


CURE = "write which one it is in: credentials.projects"
PROJECTS = {"cn-north-4": "0a1b", "cn-east-3": "2c3d", "eu-west-101": "4e5f"}


@pytest.mark.parametrize(
    ("regions", "projects", "project", "expected"),
    [
        (("cn-north-4", "cn-east-3"), PROJECTS, "2c3d", Place("huawei", "prod", "cn-east-3")),
        (("cn-north-4",), {}, "2c3d", Place("huawei", "prod", "cn-north-4")),
        (("cn-north-4",), PROJECTS, "4e5f", "region eu-west-101 of account prod is not configured"),
        (
            ("cn-north-4", "cn-east-3"),
            {"cn-north-4": "0a1b"},
            "2c3d",
            f"the event names project 2c3d and no region, and account prod has 2; {CURE}",
        ),
    ],
)
def test_a_project_in_the_regions_stead_is_found_as_configured_or_in_the_only_region(
    regions: tuple[str, ...], projects: Mapping[str, str], project: str, expected: Place | str
) -> None:
    directory = Directory([account("prod", *regions, cloud="huawei", projects=projects)])
    assert directory.resolve(("huawei", None, f"project:{project}")) == expected


def test_a_project_is_told_and_read_by_the_same_word() -> None:
    assert PROJECT == TOLD
