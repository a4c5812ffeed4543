from __future__ import annotations

import pytest

from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Identity
from support.aliyun_rehearsals import BUCKET, OTHER_REGION, REGION
from support.aliyun_stages import staged
from support.gates import OpenGate


async def test_the_older_signature_asks_whose_the_keys_are_too() -> None:
    async with staged(signature="rpc_v1", account_id="1000000000000042") as stage:
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


async def test_a_bucket_of_another_region_is_refused_with_the_reason() -> None:
    async with staged(buckets={BUCKET: OTHER_REGION}) as stage:
        with pytest.raises(Refused, match="the bucket is in another region than the image"):
            await stage.cloud.inquiries.bucket(BUCKET, REGION)
