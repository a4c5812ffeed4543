from __future__ import annotations

from pathlib import Path

import pytest

from imageferry.errors import LedgerError
from imageferry.flow.hold import check_names
from support.accounts import tencent_account
from support.stages import staged


async def test_a_name_that_another_cloud_has_had_is_refused(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sight("img-1")
        with pytest.raises(LedgerError) as refused:
            await check_names(stage.ledger, [tencent_account(cloud="huawei")])
    assert str(refused.value) == (
        "account prod is of cloud huawei, but this ledger has work of an account prod of cloud tencent; "
        "give it another name, or another ledger"
    )


async def test_the_same_account_and_others_start_as_before(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sight("img-1")
        await check_names(stage.ledger, [tencent_account(), tencent_account(name="other", cloud="huawei")])
