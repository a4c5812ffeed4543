"""Roles that profiles of Alibaba Cloud's own files name, taken from the rehearsal's STS over real HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from imageferry.clouds.aliyun import roles
from imageferry.clouds.aliyun.credentials import SOURCES
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.credentials import Around, Asked, Credentials, Keys
from imageferry.clouds.roles import MOST
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec, Role
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.rehearsal.aliyun import AliyunRehearsal
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry import secrets
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import forget_secret
from support.aliyun_rehearsals import aliyun
from support.aliyun_stages import aliyun_account
from support.clocks import START, FakeClock
from support.rehearsals import served

ARN = "acs:ram::1000000000000001:role/imageferry"
KEYS = {"access_key_id": REHEARSAL_KEY.secret_id, "access_key_secret": REHEARSAL_KEY.secret_key}
PLAIN = {"name": "plain", "mode": "AK", **KEYS}
ROLE = {"name": "role", "mode": "RamRoleArn", **KEYS, "ram_role_arn": ARN}


@pytest.fixture(autouse=True)
def _forgotten_afterwards() -> Iterator[None]:
    """A rehearsal's chance is seeded: its temporary keys are other rehearsals' request ids."""
    before = set(secrets._vault._values)
    yield
    for value in set(secrets._vault._values) - before:
        forget_secret(value)


def chained(name: str, source: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mode": "ChainableRamRoleArn", "source_profile": source, "ram_role_arn": ARN, **more}


@asynccontextmanager
async def reading(
    home: Path, text: str, name: str = ".aliyun/config.json", **options: Any
) -> AsyncIterator[tuple[Credentials, AliyunRehearsal]]:
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)
    clock = FakeClock()
    server = aliyun(clock, **options)
    async with served(server) as base_url:
        account = aliyun_account(base_url, credentials=CredentialSpec(source="file"))
        wire = Wire(account, clock, Metrics())
        try:
            yield Credentials(account, Around({}, home), wire, clock, SOURCES, roles.ASSUME), server
        finally:
            await wire.aclose()


def profiles(current: str, *given: Mapping[str, Any]) -> str:
    return json.dumps({"current": current, "profiles": given})


async def refused(home: Path, text: str, name: str = ".aliyun/config.json", **options: Any) -> str:
    async with reading(home, text, name, **options) as (source, _server):
        with pytest.raises(Refused) as caught:
            await source.get()
    assert caught.value.answer.klass == "auth"
    assert REHEARSAL_KEY.secret_key not in str(caught.value)
    return str(caught.value)


async def test_a_profiles_role_is_taken_with_its_own_keys(tmp_path: Path) -> None:
    async with reading(tmp_path, profiles("role", ROLE)) as (source, server):
        keys = await source.get()
    [session] = server.world.sessions
    assert keys == Keys(session.secret_id, session.secret_key, session.token, START + 3600 * SECOND)


async def test_a_profile_says_for_how_long_for_whom_and_for_which_external_id(tmp_path: Path) -> None:
    more = {"expired_seconds": 900, "external_id": "ext-1", "ram_session_name": "ferry"}
    async with reading(tmp_path, profiles("role", {**ROLE, **more}), external_ids={ARN: "ext-1"}) as (source, _server):
        assert (await source.get()).expires_at == START + 900 * SECOND


async def test_a_section_of_the_sdks_file_may_be_of_a_role(tmp_path: Path) -> None:
    words = "\n".join(f"{name} = {value}" for name, value in {**KEYS, "role_arn": ARN}.items())
    text = f"[default]\ntype = ram_role_arn\n{words}\n"
    async with reading(tmp_path, text, ".alibabacloud/credentials.ini") as (source, server):
        assert (await source.get()).id == server.world.sessions[0].secret_id


@pytest.mark.parametrize("depth", [1, 2, MOST])
async def test_a_role_may_be_taken_with_the_keys_of_another_profile(tmp_path: Path, depth: int) -> None:
    links = [
        chained(f"link-{number}", f"link-{number - 1}" if number > 1 else "plain") for number in range(1, depth + 1)
    ]
    async with reading(tmp_path, profiles(f"link-{depth}", PLAIN, *links)) as (source, server):
        keys = await source.get()
    assert len(server.world.sessions) == depth
    assert keys.id == server.world.sessions[-1].secret_id


async def test_the_source_may_be_a_role_itself(tmp_path: Path) -> None:
    async with reading(tmp_path, profiles("link", ROLE, chained("link", "role"))) as (source, server):
        assert (await source.get()).id == server.world.sessions[1].secret_id


async def test_profiles_that_lead_to_each_other_end_with_an_error_and_without_a_request(tmp_path: Path) -> None:
    text = profiles("a", chained("a", "b"), chained("b", "a"))
    async with reading(tmp_path, text) as (source, server):
        with pytest.raises(Refused, match=f"one behind the other; at most {MOST} may be"):
            await source.get()
    assert server.requests.asked() == 0


@pytest.mark.parametrize(
    ("current", "given", "reason"),
    [
        ("link", [chained("link", "absent")], "has no profile absent"),
        ("link", [chained("link", "")], "has no profile "),
        ("role", [{**ROLE, "ram_role_arn": ""}], "has no ram_role_arn"),
        ("role", [{**ROLE, "expired_seconds": "soon"}], "expired_seconds is no number of seconds"),
        ("role", [{**ROLE, "expired_seconds": 43_201}], "expired_seconds is no number of seconds"),
        ("role", [{**ROLE, "access_key_secret": ""}], "by half: there is no access_key_secret"),
        ("role", [{**ROLE, "ram_role_arn": f"{ARN}2"}], "EntityNotExist.Role"),
        ("sso", [{"name": "sso", "mode": "CloudSSO"}], "is of the kind CloudSSO"),
        ("absent", [PLAIN], "has no profile absent"),
    ],
)
async def test_a_profile_that_is_there_and_wrong_is_named(
    tmp_path: Path, current: str, given: list[dict[str, Any]], reason: str
) -> None:
    assert reason in await refused(tmp_path, profiles(current, *given))


# --- the request ---------------------------------------------------------------------------------------------------


def asked(environ: Mapping[str, str] | None = None, **account: Any) -> Asked:
    made, clock = aliyun_account(**account), FakeClock()
    return Asked(made, Around(environ or {}, Path("/nowhere")), Wire(made, clock, Metrics()), clock, lambda: "nonce-1")


def wanted(request_url: str) -> dict[str, str]:
    return dict(parse_qsl(request_url.partition("?")[2], keep_blank_values=True))


@pytest.mark.parametrize("signature", ["acs3", "rpc_v1"])
def test_everything_that_a_role_says_is_asked_for(signature: str) -> None:
    role = Role(name=ARN, external_id="ext-1", session_name="ferry", duration=900.0, policy='{"Version": "1"}')
    on = asked(switches={"signature": signature})
    given = wanted(roles._sign(on, Keys("id-1", "secret-1", "token-1"), role, START).url)
    assert (
        given
        | {
            "RoleArn": ARN,
            "RoleSessionName": "ferry",
            "DurationSeconds": "900",
            "ExternalId": "ext-1",
            "Policy": '{"Version": "1"}',
        }
        == given
    )
    assert ("SecurityToken" in given) == (signature == "rpc_v1")


HOSTS: dict[str, dict[str, str]] = {
    "https://sts.cn-hangzhou.aliyuncs.com": {},
    "https://sts.cn-beijing.aliyuncs.com": {"ALIBABA_CLOUD_STS_REGION": "cn-beijing"},
    "https://sts-vpc.cn-hangzhou.aliyuncs.com": {"ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"},
}


@pytest.mark.parametrize(("host", "environ"), HOSTS.items())
def test_the_environment_chooses_the_host_of_sts(host: str, environ: dict[str, str]) -> None:
    assert roles.sts(asked(environ, identity_endpoint=FACTS.identity_endpoint)) == host


def test_a_configured_address_serves_sts_whatever_the_environment_says() -> None:
    on = asked({"ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED": "true"}, identity_endpoint="http://sts.test")
    assert roles.sts(on) == "http://sts.test"


def test_a_profile_chooses_the_host_of_sts_for_its_own_role() -> None:
    on = asked({"ALIBABA_CLOUD_STS_REGION": "cn-beijing"}, identity_endpoint=FACTS.identity_endpoint)
    own = roles.at_its_own_sts(on, {"sts_region": "cn-shanghai", "enable_vpc": "True"})
    assert (roles.sts(own), roles.sts(on)) == (
        "https://sts-vpc.cn-shanghai.aliyuncs.com",
        "https://sts.cn-beijing.aliyuncs.com",
    )
