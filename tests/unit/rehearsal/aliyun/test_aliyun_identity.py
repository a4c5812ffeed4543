from typing import Any

import pytest

from support.aliyun_rehearsals import REGION, STS, address, aliyun, calling
from support.clocks import FakeClock

ROLE = "acs:ram::1000000000000001:role/imageferry"
ASKED = {"RoleArn": ROLE, "RoleSessionName": "one"}
OIDC = {
    **ASKED,
    "OIDCProviderArn": "acs:ram::1000000000000001:oidc-provider/rehearsal",
    "OIDCToken": "rehearsal-identity-token",
}


async def test_it_says_whose_key_it_is() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, account_id="42"), clock) as caller:
        told = await caller.ask("GetCallerIdentity", version=STS)
    assert (told["AccountId"], told["IdentityType"], told["Arn"]) == ("42", "RAMUser", "acs:ram::42:user/imageferry")


async def test_saying_so_may_need_a_permission() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, identity_granted=False), clock) as caller:
        answer = await caller.send("GetCallerIdentity", version=STS)
    assert (answer.status_code, answer.json()["Code"]) == (403, "NoPermission")


async def test_an_assumed_role_gives_a_key_that_is_let_in_until_it_expires() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        told = await caller.ask("AssumeRole", {**ASKED, "DurationSeconds": "900"}, version=STS)
        given = told["Credentials"]
        pair = {"secret_id": given["AccessKeyId"], "secret_key": given["AccessKeySecret"]}
        own = caller.with_key(**pair, token=given["SecurityToken"])
        who = await own.ask("GetCallerIdentity", version=STS)
        storage = (await own.head("")).status_code
        codes = [await caller.with_key(**pair).code("DescribeImages", {"RegionId": REGION})]
        clock.jump(900)
        codes.append(await own.code("DescribeImages", {"RegionId": REGION}))
        late = (await own.head("")).status_code
    assert (given["Expiration"], who["IdentityType"]) == ("2026-01-01T00:15:00Z", "AssumedRoleUser")
    assert told["AssumedRoleUser"]["Arn"] == "acs:ram::1000000000000001:assumed-role/imageferry/one"
    assert codes == ["MissingSecurityToken", "InvalidSecurityToken.Expired"]
    assert (storage, late) == (200, 403)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"RoleArn": None}, "MissingParameter"),
        ({"RoleSessionName": None}, "MissingParameter"),
        ({"RoleSessionName": "a b"}, "InvalidParameter.RoleSessionName"),
        ({"DurationSeconds": "899"}, "InvalidParameter.DurationSeconds"),
        ({"DurationSeconds": "3601"}, "InvalidParameter.DurationSeconds"),
        ({"DurationSeconds": "long"}, "InvalidParameter"),
        ({"RoleArn": "acs:ram::1:role/none"}, "EntityNotExist.Role"),
        ({"OIDCToken": "x"}, "UnsupportedParameter"),
        ({"Policy": "{}"}, ""),
    ],
)
async def test_an_assumed_role_is_held_to_its_rules(params: dict[str, Any], code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        assert await caller.code("AssumeRole", {**ASKED, **params}, version=STS) == code


async def test_a_role_may_want_an_external_id() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock, external_ids={ROLE: "secret-id"}), clock) as caller:
        codes = [
            await caller.code("AssumeRole", {**ASKED, "ExternalId": each}, version=STS)
            for each in (None, "other", "secret-id")
        ]
    assert codes == ["NoPermission", "NoPermission", ""]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, ""),
        ({"OIDCToken": "forged"}, "AuthenticationFail.OIDCToken.Invalid"),
        ({"OIDCToken": ""}, "MissingParameter"),
        ({"OIDCProviderArn": "acs:ram::1:oidc-provider/none"}, "EntityNotExist.OIDCProvider"),
        ({"OIDCProviderArn": ""}, "MissingParameter"),
        ({"RoleArn": "acs:ram::1:role/none"}, "EntityNotExist.Role"),
    ],
)
async def test_an_identity_token_gives_a_key_without_any_signature(params: dict[str, str], code: str) -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        system = {"Action": "AssumeRoleWithOIDC", "Version": STS, "Format": "JSON", "Timestamp": caller.stamp()}
        told = (await caller.client.get(address({**system, **OIDC, **params}))).json()
        given = told.get("Credentials")
        if given:
            key = {"secret_id": given["AccessKeyId"], "secret_key": given["AccessKeySecret"]}
            own = caller.with_key(**key, token=given["SecurityToken"])
            assert await own.code("DescribeImages", {"RegionId": REGION}) == ""
    assert (told.get("Code", ""), given is None) == (code, code != "")


async def test_nothing_else_goes_without_a_signature() -> None:
    clock = FakeClock()
    async with calling(aliyun(clock), clock) as caller:
        system = {"Action": "GetCallerIdentity", "Version": STS, "Format": "JSON", "Timestamp": caller.stamp()}
        answer = await caller.client.get(address(system))
    assert (answer.status_code, answer.json()["Code"]) == (400, "IncompleteSignature")


async def test_roles_providers_tokens_and_sessions_are_those_of_the_options() -> None:
    clock = FakeClock()
    options = {
        "assumable_roles": ["acs:ram::7:role/mine"],
        "identity_providers": ["acs:ram::7:oidc-provider/mine"],
        "identity_tokens": ["signed"],
        "longest_session_seconds": 43_200,
    }
    mine = {
        "RoleArn": "acs:ram::7:role/mine",
        "RoleSessionName": "one",
        "OIDCProviderArn": "acs:ram::7:oidc-provider/mine",
        "OIDCToken": "signed",
        "DurationSeconds": "43200",
    }
    async with calling(aliyun(clock, **options), clock) as caller:
        codes = [await caller.code("AssumeRoleWithOIDC", each, version=STS) for each in (mine, OIDC)]
    assert codes == ["", "EntityNotExist.Role"]
