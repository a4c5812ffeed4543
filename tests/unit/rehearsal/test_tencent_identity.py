from __future__ import annotations

from typing import Any

import pytest

from support.clocks import FakeClock
from support.rehearsals import Caller, calling, tencent

ARN = "qcs::cam::uin/100000000001:roleName/imageferry"
ROLE = {"RoleArn": ARN, "RoleSessionName": "ferry"}
WEB = {**ROLE, "ProviderId": "rehearsal-idp", "WebIdentityToken": "rehearsal-identity-token"}
UNSIGNED = {"Authorization": "SKIP"}


def with_keys(caller: Caller, answer: dict[str, Any]) -> Caller:
    given = answer["Credentials"]
    return caller.with_key(secret_id=given["TmpSecretId"], secret_key=given["TmpSecretKey"], token=given["Token"])


async def assume(caller: Caller, **changes: Any) -> dict[str, Any]:
    return await caller.ask("AssumeRole", {**ROLE, **changes}, service="sts")


async def test_a_roles_keys_are_let_in_until_they_end() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        answer = await assume(caller, DurationSeconds=900)
        temporary = with_keys(caller, answer)
        codes = [await temporary.code("DescribeImages", {})]
        clock.jump(899)
        codes.append(await temporary.code("DescribeImages", {}))
        clock.jump(1)
        codes.append(await temporary.code("DescribeImages", {}))
    assert codes == ["", "", "AuthFailure.TokenFailure"]
    assert answer["ExpiredTime"] == clock.now() // 1_000_000
    assert answer["Expiration"].startswith("2026-01-01T00:15:00")


async def test_a_roles_key_without_its_token_is_not_let_in() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        bare = with_keys(caller, await assume(caller)).with_key(token="")
        assert await bare.code("DescribeImages", {}) == "AuthFailure.TokenFailure"


async def test_keys_hold_two_hours_where_nothing_is_said() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        assert (await assume(caller))["ExpiredTime"] == clock.now() // 1_000_000 + 7200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"RoleArn": f"{ARN}2"}, "ResourceNotFound.RoleNotFound"),
        ({"RoleSessionName": "a b"}, "InvalidParameter.ParamError"),
        ({"DurationSeconds": 43_201}, "InvalidParameter.OverTimeError"),
        ({"DurationSeconds": 0}, "InvalidParameter.OverTimeError"),
        ({"DurationSeconds": "900"}, "InvalidParameter"),
        ({"RoleName": "x"}, "UnknownParameter"),
    ],
)
async def test_a_role_is_held_to_its_rules(change: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        assert (await assume(caller, **change))["Error"]["Code"] == code


@pytest.mark.parametrize(("given", "code"), [({}, "UnauthorizedOperation"), ({"ExternalId": "ext-1"}, "")])
async def test_a_role_may_want_an_external_id(given: dict[str, str], code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock, external_ids={ARN: "ext-1"}), clock) as caller:
        assert (await assume(caller, **given)).get("Error", {}).get("Code", "") == code


async def test_a_role_is_given_to_nobody_who_does_not_sign() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        code = await caller.code("AssumeRole", ROLE, service="sts", change=UNSIGNED)
        other = await caller.code("DescribeImages", {}, change=UNSIGNED)
    assert (code, other) == ("AuthFailure.InvalidAuthorization", "NoSuchVersion")


async def test_an_identity_token_is_the_only_proof_that_it_needs() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        answer = await caller.ask("AssumeRoleWithWebIdentity", WEB, service="sts", change=UNSIGNED)
        assert await with_keys(caller, answer).code("DescribeImages", {}) == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ProviderId": "other"}, "InvalidParameter.ParamError"),
        ({"WebIdentityToken": "other"}, "InvalidParameter.WebIdentityTokenError"),
        ({"RoleArn": f"{ARN}2"}, "ResourceNotFound.RoleNotFound"),
    ],
)
async def test_an_identity_token_is_checked(change: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        asked = {**WEB, **change}
        assert await caller.code("AssumeRoleWithWebIdentity", asked, service="sts", change=UNSIGNED) == code


async def test_sts_says_whose_key_it_is() -> None:
    clock = FakeClock()
    async with calling(tencent(clock), clock) as caller:
        own = await caller.ask("GetCallerIdentity", {}, service="sts")
        role = await with_keys(caller, await assume(caller)).ask("GetCallerIdentity", {}, service="sts")
    assert (own["Type"], own["Arn"]) == ("CAMUser", "qcs::cam::uin/100000000001:uin/100000000001")
    assert (role["Type"], role["AccountId"]) == ("CAMRole", "100000000001")
    assert ":assumed-role/" in role["Arn"]
