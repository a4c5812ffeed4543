"""What ``check --online`` asks, against each cloud's rehearsal over HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import CLOUDS
from imageferry.core.account import Account, CredentialSpec
from imageferry.errors import Refused
from imageferry.ports import Bucket, Identity, Inquirer, Quota
from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey
from imageferry.rehearsal.registry import OPTIONS, REHEARSALS
from imageferry.rehearsal.store import NewImage
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock
from support.gates import OpenGate
from support.rehearsals import served

HOMES = {"tencent": "ap-guangzhou", "aliyun": "cn-hangzhou", "huawei": "cn-north-4", "jdcloud": "cn-north-1"}
BUCKET = "archive-1250000000"


def keys_of(cloud: str, key: AcceptedKey = REHEARSAL_KEY) -> CredentialSpec:
    words = FACTS[cloud].credential_words
    return CredentialSpec(source="static", values=dict(zip(words, (key.secret_id, key.secret_key), strict=True)))


@asynccontextmanager
async def asking(cloud: str, images: int = 0, **options: Any) -> AsyncIterator[Inquirer]:
    """The inquiries of an account at a rehearsal with one bucket, in its home region."""
    home, clock, metrics = HOMES[cloud], FakeClock(), Metrics()
    given = OPTIONS[cloud](**{"buckets": {BUCKET: home}, **options})  # type: ignore[call-arg]
    rehearsal = REHEARSALS[cloud](given, clock, random.Random(7))
    for number in range(images):
        rehearsal.add_image(NewImage(region=home, name=f"web-{number}"))
    facts = FACTS[cloud]
    async with served(rehearsal) as url:
        account = Account(
            name="prod",
            cloud=cloud,
            regions=(home,),
            credentials=keys_of(cloud),
            endpoint=url,
            identity_endpoint=url,
            storage_endpoint=url + "/{bucket}",
            endpoint_set=True,
            limits=facts.limits,
            counted_by=facts.counted_by,
        )
        adapter = CLOUDS[cloud](account, OpenGate(), clock, metrics)
        try:
            yield adapter.inquiries
        finally:
            await adapter.aclose()


async def test_tencents_keys_belong_to_an_account_and_a_user() -> None:
    async with asking("tencent") as inquiries:
        assert await inquiries.identity(HOMES["tencent"]) == Identity(
            "100000000001", "qcs::cam::uin/100000000001:uin/100000000001"
        )


async def test_alibabas_keys_belong_to_an_account_and_a_user() -> None:
    async with asking("aliyun", account_id="a-1") as inquiries:
        assert await inquiries.identity(HOMES["aliyun"]) == Identity("a-1", "acs:ram::a-1:user/imageferry")


async def test_huaweis_keys_belong_to_a_domain() -> None:
    async with asking("huawei", account_id="a-1", account_name="bank") as inquiries:
        assert await inquiries.identity(HOMES["huawei"]) == Identity("a-1", "bank")


async def test_where_huaweis_iam_shows_no_domain_its_sts_tells() -> None:
    async with asking("huawei", account_id="a-1", domains_listed=False) as inquiries:
        assert await inquiries.identity(HOMES["huawei"]) == Identity("a-1", "iam::a-1:user:rehearsal")


async def test_jd_tells_the_name_of_the_account_and_not_its_id() -> None:
    async with asking("jdcloud") as inquiries:
        who = await inquiries.identity(HOMES["jdcloud"])
    assert (who.account_id, bool(who.name)) == ("", True)


@pytest.mark.parametrize(
    ("cloud", "quotas"),
    [
        ("tencent", [Quota("images", 500)]),
        ("aliyun", []),
        ("huawei", [Quota("images", 50, 2)]),
        ("jdcloud", [Quota("images", 5, 2), Quota("snapshots", 15, 2)]),
    ],
)
async def test_a_region_tells_what_is_left(cloud: str, quotas: list[Quota]) -> None:
    async with asking(cloud, images=2) as inquiries:
        assert list(await inquiries.quotas(HOMES[cloud])) == quotas


@pytest.mark.parametrize("cloud", HOMES)
async def test_a_bucket_that_is_there_is_seen_with_its_region_where_it_is_told(cloud: str) -> None:
    told = "" if cloud == "jdcloud" else HOMES[cloud]
    async with asking(cloud) as inquiries:
        assert await inquiries.bucket(BUCKET, HOMES[cloud]) == Bucket(exists=True, region=told)


@pytest.mark.parametrize("cloud", HOMES)
async def test_a_bucket_that_is_not_there_is_seen_to_be_missing(cloud: str) -> None:
    async with asking(cloud) as inquiries:
        assert not (await inquiries.bucket("absent", HOMES[cloud])).exists


@pytest.mark.parametrize("cloud", HOMES)
async def test_a_bucket_that_may_not_be_looked_at_is_refused(cloud: str) -> None:
    async with asking(cloud, unreadable_buckets=frozenset({BUCKET})) as inquiries:
        with pytest.raises(Refused, match="HTTP 403"):
            await inquiries.bucket(BUCKET, HOMES[cloud])


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"bucket_classes": {BUCKET: "WARM"}}, "its storage class is WARM; exports need STANDARD"),
        ({"parallel_buckets": frozenset({BUCKET})}, "it is a parallel file system; exports need an object bucket"),
    ],
)
async def test_a_bucket_of_the_wrong_kind_is_told_at_huawei(options: dict[str, Any], fault: str) -> None:
    async with asking("huawei", **options) as inquiries:
        assert (await inquiries.bucket(BUCKET, HOMES["huawei"])).fault == fault


@pytest.mark.parametrize("cloud", HOMES)
async def test_keys_that_are_not_known_are_refused(cloud: str) -> None:
    async with asking(cloud, keys=(AcceptedKey("another", "secret"),)) as inquiries:
        with pytest.raises(Refused):
            await inquiries.identity(HOMES[cloud])
