from __future__ import annotations

from typing import Any

import pytest

from imageferry.clouds.aliyun.client import Signature
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Bucket, Identity
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION
from support.aliyun_stages import staged
from support.gates import OpenGate


@pytest.mark.parametrize("signature", ["acs3", "rpc_v1"])
async def test_the_keys_say_whose_they_are(signature: Signature) -> None:
    async with staged(signature=signature, account_id="1000000000000042") as stage:
        told = await stage.cloud.inquiries.identity(REGION)
        assert stage.gate.entered == [(REGION, "read")]
    assert told == Identity("1000000000000042", "acs:ram::1000000000000042:user/imageferry")


async def test_where_that_needs_a_permission_the_vendors_reason_is_told() -> None:
    async with staged(identity_granted=False) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.inquiries.identity(REGION)
    assert (caught.value.answer.vendor_code, caught.value.answer.klass) == ("NoPermission", "permanent_config")


async def test_no_quota_is_told_but_that_the_account_is_closed_off() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        assert await stage.cloud.inquiries.quotas(REGION) == []
        with pytest.raises(CircuitOpen):
            await stage.cloud.inquiries.quotas(REGION)
    assert stage.gate.classes == ["never_sent"]


async def test_a_bucket_that_is_there_says_where() -> None:
    async with staged() as stage:
        assert await stage.cloud.inquiries.bucket(BUCKET, REGION) == Bucket(exists=True, region=REGION)


async def test_one_that_is_not_there_is_not() -> None:
    async with staged(buckets={}) as stage:
        assert not (await stage.cloud.inquiries.bucket(BUCKET, REGION)).exists


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unreadable_buckets": [BUCKET]}, "the storage answered HTTP 403"),
        ({"buckets": {BUCKET: OTHER_REGION}}, "the bucket is in another region than the image"),
    ],
)
async def test_one_that_cannot_be_used_is_refused_with_the_reason(options: dict[str, Any], words: str) -> None:
    async with staged(**options) as stage:
        with pytest.raises(Refused, match=words):
            await stage.cloud.inquiries.bucket(BUCKET, REGION)
