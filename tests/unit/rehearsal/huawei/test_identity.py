from typing import Any

import httpx
import pytest

from support.clocks import FakeClock
from support.huawei_rehearsals import (
    OTHER_REGION,
    PROJECT,
    REGION,
    Caller,
    calling,
    huawei,
)

LIST = ("GET", "/v2/cloudimages")
TOKENS = "/v3/auth/tokens"
KEYS = "/v3.0/OS-CREDENTIAL/securitytokens"
FEDERATED = "/v3.0/OS-AUTH/id-token/tokens"
OIDC = "/v5/agencies/assume-with-oidc"
USERS = [{"name": "ada", "password": "lovelace"}]


async def plain(caller: Caller, path: str, body: Any, **headers: str) -> httpx.Response:
    """A request without a signature."""
    return await caller.client.post(path, json=body, headers=headers)


def login(name: str = "ada", password: str = "lovelace", domain: str = "rehearsal", project: str = REGION) -> Any:
    user = {"name": name, "password": password, "domain": {"name": domain}}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"scope": {"project": {"name": project}}} if project else {}
    return {"auth": {"identity": identity, **scope}}


async def answers_of(caller: Caller, credential: dict[str, str], names: tuple[str, str, str]) -> str:
    """The code of a list that is asked for with a temporary key."""
    key_id, secret, token = (credential[name] for name in names)
    return await caller.with_key(secret_id=key_id, secret_key=secret, token=token).code(*LIST)


# --- projects and accounts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        (REGION, {}, [REGION]),
        ("mars-1", {}, []),
        ("cn-north-4_dev", {}, ["cn-north-4_dev"]),
        (REGION, {"projects_by_prefix": True}, [REGION, "cn-north-4_dev"]),
        (REGION, {"projects_listed": False}, []),
    ],
)
async def test_projects_are_found_by_their_name(name: str, options: dict[str, Any], found: list[str]) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, projects={"cn-north-4_dev": "d" * 32}, **options), clock) as caller:
        told = await caller.ask("GET", "/v3/projects", {"name": name}, project="")
    assert [each["name"] for each in told["projects"]] == found


async def test_all_projects_are_listed_with_their_ids_and_the_account() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, regions=[REGION, OTHER_REGION], projects={REGION: "e" * 32}, account_id="a1")
    async with calling(rehearsal, clock) as caller:
        told = (await caller.ask("GET", "/v3/projects", project=""))["projects"]
    assert [(each["name"], each["domain_id"], each["enabled"]) for each in told] == [
        (REGION, "a1", True),
        (OTHER_REGION, "a1", True),
    ]
    assert (told[0]["id"], len(told[1]["id"])) == ("e" * 32, 32)


@pytest.mark.parametrize(("listed", "ids"), [(True, ["a1"]), (False, [])])
async def test_the_account_is_told_by_iam_as_the_switch_says_and_by_sts_always(listed: bool, ids: list[str]) -> None:  # noqa: FBT001 - a switch
    clock = FakeClock()
    async with calling(huawei(clock, account_id="a1", domains_listed=listed), clock) as caller:
        domains = (await caller.ask("GET", "/v3/auth/domains", project=""))["domains"]
        identity = await caller.ask("GET", "/v5/caller-identity", project="")
    assert ([each["id"] for each in domains], identity["account_id"]) == (ids, "a1")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {"error": {"code": 403, "message": "", "title": "Forbidden"}}),
        ({"iam_numeric_codes": False}, {"error_code": "IAM.0002", "error_msg": ""}),
    ],
)
async def test_errors_of_iam_have_the_envelope_of_the_switch(options: dict[str, Any], told: dict[str, Any]) -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, denied={"KeystoneListProjects": "IAM.0002"}, encoded_denials=False, **options)
    async with calling(rehearsal, clock) as caller:
        answer = await caller.send("GET", "/v3/projects", project="")
    seen = answer.json()
    (seen.get("error") or seen)["message" if "error" in seen else "error_msg"] = ""
    assert (answer.status_code, seen, "x-iam-trace-id" in answer.headers) == (403, told, True)


async def test_who_asks_iam_must_prove_it() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await caller.client.get("/v3/projects")
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


# --- tokens --------------------------------------------------------------------------------------------------------


async def test_a_password_gets_a_token_that_asks_for_images() -> None:
    clock = FakeClock()
    async with calling(huawei(clock, users=USERS), clock) as caller:
        answer = await plain(caller, TOKENS, login())
        token = answer.headers["x-subject-token"]
        listed = await caller.client.get("/v2/cloudimages", headers={"X-Auth-Token": token, "X-Project-Id": PROJECT})
        alone = await caller.client.get("/v2/cloudimages", headers={"X-Auth-Token": token})
    assert (answer.status_code, answer.json()["token"]["expires_at"]) == (201, "2026-01-02T00:00:00.000000Z")
    assert answer.json()["token"]["project"]["id"] == PROJECT
    assert (listed.status_code, alone.status_code, token in answer.text) == (200, 200, False)


async def test_a_token_is_for_its_project_alone() -> None:
    clock = FakeClock()
    async with calling(huawei(clock, users=USERS), clock) as caller:
        token = (await plain(caller, TOKENS, login(project=OTHER_REGION))).headers["x-subject-token"]
        answer = await caller.client.get("/v2/cloudimages", headers={"X-Auth-Token": token, "X-Project-Id": PROJECT})
    assert answer.json()["error"]["code"] == "IMG.0030"


@pytest.mark.parametrize(
    "given",
    [{"name": "bob"}, {"password": "wrong"}, {"domain": "other"}, {"project": "mars-1"}],
)
async def test_a_wrong_login_gets_no_token(given: dict[str, str]) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, users=USERS), clock) as caller:
        answer = await plain(caller, TOKENS, login(**given))
    assert (answer.status_code, answer.json()["error"]["code"], "x-subject-token" in answer.headers) == (
        401,
        401,
        False,
    )


@pytest.mark.parametrize(
    "body", [{}, {"auth": 1}, {"auth": {}, "more": 1}, [], {"auth": {"identity": {"password": 7}}}]
)
async def test_a_malformed_login_is_refused(body: Any) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert (await plain(caller, TOKENS, body)).status_code in (400, 401)


@pytest.mark.parametrize(
    ("code", "words"), [("APIGW.0307", "The token must be updated"), ("APIGW.0301", "token expires")]
)
async def test_a_token_that_has_run_out_is_called_so_as_the_switch_says(code: str, words: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock, users=USERS, run_out_code=code), clock) as caller:
        token = (await plain(caller, TOKENS, login())).headers["x-subject-token"]
        clock.jump(24 * 3600)
        told = (await caller.client.get("/v2/cloudimages", headers={"X-Auth-Token": token})).json()
    assert (told["error_code"], words in told["error_msg"]) == (code, True)


async def test_a_token_that_nobody_gave_out_is_refused() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await caller.client.get("/v2/cloudimages", headers={"X-Auth-Token": "MIIxyz"})
    assert "decrypt token fail" in answer.json()["error_msg"]


# --- temporary keys ------------------------------------------------------------------------------------------------


def for_token(token: str, **more: Any) -> Any:
    return {"auth": {"identity": {"methods": ["token"], "token": {"id": token, **more}}}}


async def test_an_identity_token_becomes_a_temporary_key() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        identity = {"auth": {"id_token": {"id": "rehearsal-identity-token"}}}
        token = (await plain(caller, FEDERATED, identity, **{"X-Idp-Id": "rehearsal-idp"})).headers["x-subject-token"]
        answer = await plain(caller, KEYS, for_token(token, duration_seconds=21_600))
        credential = answer.json()["credential"]
        code = await answers_of(caller, credential, ("access", "secret", "securitytoken"))
        clock.jump(21_600)
        later = await answers_of(caller, credential, ("access", "secret", "securitytoken"))
    assert (answer.status_code, credential["expires_at"]) == (201, "2026-01-01T06:00:00.000000Z")
    assert (code, later) == ("", "APIGW.0301")


@pytest.mark.parametrize(("provider", "identity"), [("other", "rehearsal-identity-token"), ("rehearsal-idp", "forged")])
async def test_what_no_provider_has_signed_gets_no_token(provider: str, identity: str) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await plain(caller, FEDERATED, {"auth": {"id_token": {"id": identity}}}, **{"X-Idp-Id": provider})
    assert answer.status_code == 401


def for_agency(**changes: Any) -> Any:
    asked = {"agency_name": "imageferry", "domain_name": "rehearsal", **changes}
    return {"auth": {"identity": {"methods": ["assume_role"], "assume_role": asked}}}


async def test_a_caller_takes_the_role_of_an_agency_for_a_quarter_of_an_hour_unless_it_asks_for_more() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        told = [
            (await caller.ask("POST", KEYS, for_agency(**more), project=""))["credential"]
            for more in ({}, {"duration_seconds": 86_400})
        ]
        code = await answers_of(caller, told[0], ("access", "secret", "securitytoken"))
    assert ([each["expires_at"][:16] for each in told], code) == (["2026-01-01T00:15", "2026-01-02T00:00"], "")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (for_agency(agency_name="nobody"), 403),
        (for_agency(domain_name="other"), 403),
        (for_agency(duration_seconds=899), 400),
        (for_agency(duration_seconds=86_401), 400),
        (for_agency(duration_seconds="900"), 400),
        (for_token("MIIxyz"), 401),
        ({"auth": {"identity": {"methods": ["password"]}}}, 400),
    ],
)
async def test_temporary_keys_are_held_to_their_rules(body: Any, status: int) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert (await caller.send("POST", KEYS, body, project="")).status_code == status


async def test_who_proves_nothing_takes_no_role() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert (await plain(caller, KEYS, for_agency())).status_code == 401


def for_oidc(**changes: Any) -> Any:
    return {
        "provider_urn": "iam::a0000000000000000000000000000001:oidcProvider:rehearsal-idp",
        "agency_urn": "iam::a0000000000000000000000000000001:agency:imageferry",
        "agency_session_name": "tests",
        "id_token": "rehearsal-identity-token",
        **changes,
    }


async def test_an_identity_token_takes_the_role_of_an_agency() -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        answer = await plain(caller, OIDC, for_oidc(duration_seconds=3600))
        told = answer.json()["credentials"]
        code = await answers_of(caller, told, ("access_key_id", "secret_access_key", "security_token"))
    assert (answer.status_code, told["expiration"], code) == (200, "2026-01-01T01:00:00.000000Z", "")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"id_token": "forged"}, 403),
        ({"provider_urn": "other"}, 403),
        ({"agency_urn": "other"}, 403),
        ({"duration_seconds": 60}, 400),
        ({"agency_session_name": None}, 400),
    ],
)
async def test_roles_for_identity_tokens_are_held_to_their_rules(changes: dict[str, Any], status: int) -> None:
    clock = FakeClock()
    async with calling(huawei(clock), clock) as caller:
        assert (await plain(caller, OIDC, for_oidc(**changes))).status_code == status


async def test_nothing_that_was_given_out_is_in_the_state() -> None:
    clock = FakeClock()
    rehearsal = huawei(clock, users=USERS)
    async with calling(rehearsal, clock) as caller:
        token = (await plain(caller, TOKENS, login())).headers["x-subject-token"]
        told = (await caller.ask("POST", KEYS, for_agency(), project=""))["credential"]
    state = str(rehearsal.state(["requests", "recent", "tasks"]))
    assert [each for each in (token, "lovelace", told["secret"], told["securitytoken"]) if each in state] == []
