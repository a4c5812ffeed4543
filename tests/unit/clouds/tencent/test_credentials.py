"""What only Tencent Cloud's sources do: roles and session lengths of the environment, by the rehearsal's STS."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.tencent.credentials import ASSUME, SOURCES
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec, Role
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.rehearsal.connection import OwnConnection
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry import secrets
from imageferry.telemetry.http import serving
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import forget_secret
from support.accounts import tencent_account
from support.clocks import START, FakeClock
from support.rehearsals import served, tencent

ARN = "qcs::cam::uin/100000000001:roleName/imageferry"
OTHER = "qcs::cam::uin/100000000001:roleName/other"
PLAIN = {
    "TENCENTCLOUD_SECRET_ID": REHEARSAL_KEY.secret_id,
    "TENCENTCLOUD_SECRET_KEY": REHEARSAL_KEY.secret_key,
}
ROLE = {"TENCENTCLOUD_ROLE_ARN": ARN}
INI = f"[default]\nsecret_id = {REHEARSAL_KEY.secret_id}\nsecret_key = {REHEARSAL_KEY.secret_key}\n"


@pytest.fixture(autouse=True)
def _forgotten_afterwards() -> Iterator[None]:
    """A rehearsal's chance is seeded: its temporary keys are other rehearsals' request ids."""
    before = set(secrets._vault._values)
    yield
    for value in set(secrets._vault._values) - before:
        forget_secret(value)


@asynccontextmanager
async def sts(
    environ: Mapping[str, str], spec: CredentialSpec | None = None, home: Path = Path("/nowhere"), **options: Any
) -> AsyncIterator[tuple[Credentials, TencentRehearsal]]:
    clock = FakeClock()
    server = tencent(clock, **options)
    async with served(server) as base_url:
        account = tencent_account(base_url, credentials=spec or CredentialSpec(source="env"))
        wire = Wire(account, clock, Metrics())
        around = Around(environ, home, Path("/nowhere"), "http://127.0.0.1:9")
        try:
            yield Credentials(account, around, wire, clock, SOURCES, ASSUME), server
        finally:
            await wire.aclose()


@pytest.mark.parametrize("variable", ["TENCENTCLOUD_ROLE_ARN", "TENCENTCLOUD_ASSUME_ROLE_ARN"])
async def test_the_environments_role_is_taken_with_its_keys(variable: str) -> None:
    async with sts({**PLAIN, variable: ARN}) as (source, server):
        keys = await source.get()
    [session] = server.world.sessions
    assert keys == Keys(session.secret_id, session.secret_key, session.token, START + 7200 * SECOND)


@pytest.mark.parametrize("source", ["file", "chain"])
async def test_the_environments_role_is_taken_with_the_keys_of_a_file(tmp_path: Path, source: str) -> None:
    path = tmp_path / ".tencentcloud/credentials"
    path.parent.mkdir()
    path.write_text(INI)
    async with sts(ROLE, CredentialSpec(source=source), tmp_path) as (keys, server):
        assert (await keys.get()).id == server.world.sessions[0].secret_id


async def test_the_environment_says_how_long_for_whom_and_for_which_external_id() -> None:
    environ = {
        **PLAIN,
        **ROLE,
        "TENCENTCLOUD_ASSUME_ROLE_SESSION_DURATION": "1800",
        "TENCENTCLOUD_ASSUME_ROLE_EXTERNAL_ID": "ext-1",
        "TENCENTCLOUD_ROLE_SESSION_NAME": "ferry-1",
    }
    async with sts(environ, external_ids={ARN: "ext-1"}) as (source, _server):
        assert (await source.get()).expires_at == START + 1800 * SECOND


@pytest.mark.parametrize("seconds", ["soon", "0", "-1", "43201", "1e3"])
async def test_a_length_that_is_none_is_named_and_nothing_is_asked(seconds: str) -> None:
    environ = {**PLAIN, **ROLE, "TENCENTCLOUD_ASSUME_ROLE_SESSION_DURATION": seconds}
    async with sts(environ) as (source, server):
        with pytest.raises(Refused, match="TENCENTCLOUD_ASSUME_ROLE_SESSION_DURATION is no number") as caught:
            await source.get()
    assert (caught.value.answer.klass, server.requests.asked()) == ("auth", 0)


async def test_a_configured_role_is_taken_instead_of_the_environments() -> None:
    spec = CredentialSpec(source="env", role=Role(name=ARN, duration=7200.0))
    async with sts({**PLAIN, "TENCENTCLOUD_ROLE_ARN": OTHER}, spec) as (source, server):
        await source.get()
    assert len(server.world.sessions) == 1


async def test_a_chain_stops_at_a_role_that_is_not_given() -> None:
    async with sts({**PLAIN, "TENCENTCLOUD_ROLE_ARN": OTHER}, CredentialSpec()) as (source, server):
        with pytest.raises(Refused, match=r"ResourceNotFound\.RoleNotFound") as caught:
            await source.get()
    assert (caught.value.answer.klass, server.requests.asked()) == ("auth", 1)


# --- identity tokens -----------------------------------------------------------------------------------------------


def pods_environ(token: Path) -> dict[str, str]:
    return {
        "TKE_REGION": "ap-guangzhou",
        "TKE_PROVIDER_ID": "rehearsal-idp",
        "TKE_WEB_IDENTITY_TOKEN_FILE": str(token),
        "TKE_ROLE_ARN": ARN,
    }


async def test_a_pods_token_becomes_keys(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("rehearsal-identity-token\n")
    async with sts(pods_environ(tmp_path / "token"), CredentialSpec(source="oidc")) as (source, server):
        assert (await source.get()).id == server.world.sessions[0].secret_id
    assert server.requests.asked("AssumeRoleWithWebIdentity") == 1


async def test_a_pods_keys_may_take_another_role(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("rehearsal-identity-token\n")
    spec = CredentialSpec(source="oidc", role=Role(name=ARN, duration=7200.0))
    async with sts(pods_environ(tmp_path / "token"), spec) as (source, server):
        assert (await source.get()).id == server.world.sessions[1].secret_id
    assert server.requests.asked("AssumeRole") == 1


async def test_a_token_that_is_refused_is_told_without_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("bad-identity-token")
    async with sts(pods_environ(tmp_path / "token"), CredentialSpec()) as (source, _server):
        with pytest.raises(Refused, match="WebIdentityTokenError") as caught:
            await source.get()
    assert caught.value.answer.klass == "auth"
    assert "bad-identity-token" not in str(caught.value)


async def test_an_absent_token_file_is_named(tmp_path: Path) -> None:
    async with sts(pods_environ(tmp_path / "token"), CredentialSpec(source="oidc")) as (source, _server):
        with pytest.raises(Refused, match="there is no file") as caught:
            await source.get()
    assert str(tmp_path / "token") in str(caught.value)


# --- the machine ---------------------------------------------------------------------------------------------------


async def test_the_environment_may_name_the_machines_role_so_that_nobody_is_asked_for_it() -> None:
    asked: list[str] = []

    async def gives(request: Request) -> Response:
        asked.append(request.url.path)
        keys = {"TmpSecretId": "id-1", "TmpSecretKey": "secret-1", "Token": "token-1", "ExpiredTime": 1_800_000_000}
        return JSONResponse({"Code": "Success", **keys})

    app = OwnConnection(routes=[Route("/{path:path}", gives)])
    clock = FakeClock()
    async with serving(app, "127.0.0.1", 0, drain=1) as (host, port):
        account = tencent_account(credentials=CredentialSpec(source="instance"))
        wire = Wire(account, clock, Metrics())
        around = Around({"TENCENTCLOUD_CAM_ROLE_NAME": "ferry"}, Path("/nowhere"), metadata=f"http://{host}:{port}")
        keys = await Credentials(account, around, wire, clock, SOURCES, ASSUME).get()
        await wire.aclose()
    assert (keys.id, asked) == ("id-1", ["/latest/meta-data/cam/security-credentials/ferry"])
