from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from structlog.testing import capture_logs

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.tencent.credentials import ASSUME, SOURCES
from imageferry.clouds.wire import Reply, Told, Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.answers import Answer
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.rehearsal.connection import OwnConnection
from imageferry.telemetry.http import serving
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import scrub
from support.accounts import tencent_account
from support.clocks import START, FakeClock

NOWHERE = "http://127.0.0.1:9"
SECRET = "made-up-secret-value"
ENVIRON = {"TENCENTCLOUD_SECRET_ID": "id-env", "TENCENTCLOUD_SECRET_KEY": SECRET}
INI = f"[default]\nsecret_id = id-ini\nsecret_key = {SECRET}\n[other]\nsecret_id = id-other\nsecret_key = x%y\n"


@asynccontextmanager
async def credentials(
    spec: CredentialSpec,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path = Path("/nowhere"),
    etc: Path = Path("/nowhere"),
    metadata: str = NOWHERE,
    clock: FakeClock | None = None,
    identity: str = NOWHERE,
) -> AsyncIterator[Credentials]:
    clock = clock or FakeClock()
    account = tencent_account(NOWHERE, credentials=spec, identity_endpoint=identity)
    wire = Wire(account, clock, Metrics())
    try:
        yield Credentials(account, Around(environ or {}, home, etc, metadata), wire, clock, SOURCES, ASSUME)
    finally:
        await wire.aclose()


async def got(spec: CredentialSpec, **around: Any) -> Keys:
    async with credentials(spec, **around) as source:
        return await source.get()


async def refused(spec: CredentialSpec, **around: Any) -> Refused:
    async with credentials(spec, **around) as source:
        with pytest.raises(Refused) as caught:
            await source.get()
    return caught.value


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --- static and environment ----------------------------------------------------------------------------------------


async def test_static_keys_are_those_of_the_configuration() -> None:
    values = {"secret_id": "id-1", "secret_key": SECRET, "token": "t-1"}
    assert await got(CredentialSpec(source="static", values=values)) == Keys("id-1", SECRET, "t-1")


async def test_the_environment_gives_keys() -> None:
    assert await got(CredentialSpec(source="env"), environ=ENVIRON) == Keys("id-env", SECRET)


@pytest.mark.parametrize(
    ("more", "token"),
    [
        ({"TENCENTCLOUD_TOKEN": "t-1"}, "t-1"),
        ({"TENCENTCLOUD_SECURITY_TOKEN": "t-2"}, "t-2"),
        ({"TENCENTCLOUD_TOKEN": "t-1", "TENCENTCLOUD_SECURITY_TOKEN": "t-2"}, "t-1"),
        ({"TENCENTCLOUD_TOKEN": "", "TENCENTCLOUD_SECURITY_TOKEN": "t-2"}, "t-2"),
    ],
)
async def test_the_environments_token_has_two_names(more: dict[str, str], token: str) -> None:
    keys = await got(CredentialSpec(source="env"), environ={**ENVIRON, **more})
    assert keys.token == token


async def test_an_empty_variable_counts_as_unset_and_the_error_names_the_variables() -> None:
    error = await refused(CredentialSpec(source="env"), environ={**ENVIRON, "TENCENTCLOUD_SECRET_ID": ""})
    assert error.answer.klass == "auth"
    assert "TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY" in str(error)


# --- files ---------------------------------------------------------------------------------------------------------


async def test_the_sdks_file_in_the_home_is_read(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud/credentials", INI)
    assert await got(CredentialSpec(source="file"), home=tmp_path) == Keys("id-ini", SECRET)


async def test_the_sdks_file_of_the_machine_is_read(tmp_path: Path) -> None:
    write(tmp_path / "tencentcloud/credentials", INI)
    assert (await got(CredentialSpec(source="file"), etc=tmp_path)).id == "id-ini"


async def test_the_home_comes_before_the_machine(tmp_path: Path) -> None:
    write(tmp_path / "home/.tencentcloud/credentials", INI)
    write(tmp_path / "etc/tencentcloud/credentials", INI.replace("id-ini", "id-etc"))
    keys = await got(CredentialSpec(source="file"), home=tmp_path / "home", etc=tmp_path / "etc")
    assert keys.id == "id-ini"


async def test_another_profile_is_another_section(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud/credentials", INI)
    assert await got(CredentialSpec(source="file", profile="other"), home=tmp_path) == Keys("id-other", "x%y")


async def test_the_command_lines_file_is_read_last(tmp_path: Path) -> None:
    write(tmp_path / ".tccli/ops.credential", json.dumps({"secretId": "id-cli", "secretKey": SECRET, "token": "t"}))
    assert await got(CredentialSpec(source="file", profile="ops"), home=tmp_path) == Keys("id-cli", SECRET, "t")


async def test_a_path_of_the_environment_is_used_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.ini", INI)
    environ = {"TENCENTCLOUD_CREDENTIALS_FILE": str(path)}
    assert (await got(CredentialSpec(source="file"), environ=environ)).id == "id-ini"


async def test_a_configured_path_comes_before_the_environments(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.ini", INI)
    environ = {"TENCENTCLOUD_CREDENTIALS_FILE": str(tmp_path / "absent")}
    assert (await got(CredentialSpec(source="file", path=str(path)), environ=environ)).id == "id-ini"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"secret_id = {SECRET}\n", "is not an INI file"),
        (f"{{{SECRET}", "is not JSON"),
        (f"[other]\nsecret_id = {SECRET}\n", "has no secret_id and secret_key for profile default"),
        (f'{{"secretId": "{SECRET}"}}', "for profile default by half: there is no secretKey"),
    ],
)
async def test_a_bad_file_is_named_and_never_quoted(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "bad", text)
    error = await refused(CredentialSpec(source="file", path=str(path)))
    assert (error.answer.klass, reason in str(error), str(path) in str(error)) == ("auth", True, True)
    assert SECRET not in str(error)


async def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_bytes(b"\xff\xfe\x00")
    assert "it is not UTF-8 text" in str(await refused(CredentialSpec(source="file", path=str(path))))


async def test_absent_files_are_all_named(tmp_path: Path) -> None:
    error = await refused(CredentialSpec(source="file"), home=tmp_path, etc=tmp_path / "etc")
    for path in (".tencentcloud/credentials", "etc/tencentcloud/credentials", ".tccli/default.credential"):
        assert str(tmp_path / path) in str(error)


# --- the machine's role --------------------------------------------------------------------------------------------


@dataclass
class Metadata:
    """A metadata server, and an STS beside it."""

    clock: FakeClock
    role: str | None = "export-role"
    lives: int = 3600
    status: int = 200
    role_status: int = 200
    answer: Mapping[str, Any] | None = None
    asked: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    given: int = 0

    def keys(self) -> dict[str, Any]:
        self.given += 1
        return {
            "TmpSecretId": f"id-{self.given}",
            "TmpSecretKey": f"secret-{self.given}",
            "Token": f"token-{self.given}",
        }

    async def names(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        return PlainTextResponse(self.role, self.role_status) if self.role is not None else Response(status_code=404)

    async def gives(self, request: Request) -> Response:
        self.asked.append(request.url.path)
        expires = self.clock.now() // SECOND + self.lives
        whole = {"Code": "Success", **self.keys(), "ExpiredTime": expires}
        return JSONResponse(whole if self.answer is None else self.answer, self.status)

    async def sts(self, request: Request) -> Response:
        self.headers.append(dict(request.headers.items()))
        self.bodies.append(json.loads(await request.body()))
        expires = self.clock.now() // SECOND + self.lives
        response = {"Credentials": self.keys(), "ExpiredTime": expires, "RequestId": "r"}
        return JSONResponse({"Response": response if self.answer is None else self.answer}, self.status)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        base = "/latest/meta-data/cam/security-credentials/"
        routes = [
            Route(base, self.names),
            Route(base + "{role}", self.gives),
            Route("/", self.sts, methods=["POST"]),
        ]
        async with serving(OwnConnection(routes=routes), "127.0.0.1", 0, drain=1) as (host, port):
            yield f"http://{host}:{port}"


@asynccontextmanager
async def instance(source: str = "instance", **server: Any) -> AsyncIterator[tuple[Credentials, Metadata, FakeClock]]:
    clock = FakeClock()
    metadata = Metadata(clock, **server)
    async with (
        metadata.served() as base_url,
        credentials(CredentialSpec(source=source), metadata=base_url, clock=clock) as keys,
    ):
        yield keys, metadata, clock


async def test_a_machines_role_gives_temporary_keys() -> None:
    async with instance() as (source, metadata, _):
        keys = await source.get()
    assert keys == Keys("id-1", "secret-1", "token-1", START + 3600 * SECOND)
    assert metadata.asked[-1].endswith("/security-credentials/export-role")


async def test_temporary_keys_are_kept_until_300_seconds_before_their_end() -> None:
    async with instance() as (source, _, clock):
        seen = []
        for seconds in (0, 3299, 1, 1):
            clock.jump(seconds)
            seen.append((await source.get()).id)
    assert seen == ["id-1", "id-1", "id-2", "id-2"]


async def test_many_who_ask_at_once_share_one_reading() -> None:
    async with instance() as (source, metadata, _):
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(source.get)
        assert metadata.given == 1


async def test_keys_that_still_hold_are_used_while_the_metadata_server_fails() -> None:
    async with instance() as (source, metadata, clock):
        first = await source.get()
        metadata.status = 500
        clock.jump(3400)
        with capture_logs() as lines:
            seen = [await source.get() for _ in range(3)]
        tries = len(metadata.asked)
        clock.jump(6)
        await source.get()
    said = [line["event"] for line in lines].count("keys not renewed")
    assert seen == [first] * 3
    assert (tries, len(metadata.asked), said) == (4, 6, 1)


async def test_keys_that_live_shortly_are_kept_until_a_third_of_their_time_is_left() -> None:
    async with instance(lives=600) as (source, _, clock):
        seen = []
        for seconds in (0, 399, 1, 399, 1):
            clock.jump(seconds)
            seen.append((await source.get()).id)
    assert seen == ["id-1", "id-1", "id-2", "id-2", "id-3"]


async def test_a_source_that_gives_the_same_keys_until_their_end_is_not_asked_for_every_request() -> None:
    async with instance(lives=600) as (source, metadata, clock):
        for _ in range(600):
            metadata.lives = 600 - round((clock.now() - START) / SECOND)
            await source.get()
            clock.jump(1)
    assert metadata.given <= 20


async def test_keys_that_seem_to_have_ended_when_they_are_read_are_not_read_for_every_request() -> None:
    async with instance(lives=-600) as (source, metadata, clock):
        seen = []
        for seconds in (0, 1, 3, 1, 1):
            clock.jump(seconds)
            seen.append((await source.get()).id)
        assert metadata.given == 2
        metadata.status = 500
        clock.jump(5)
        for _ in range(2):
            with pytest.raises(Refused, match="cannot be read now"):
                await source.get()
    assert seen == ["id-1", "id-1", "id-1", "id-2", "id-2"]


async def test_keys_that_ran_out_and_cannot_be_renewed_mean_that_nothing_is_sent() -> None:
    async with instance() as (source, metadata, clock):
        await source.get()
        metadata.status = 500
        clock.jump(3601)
        with pytest.raises(Refused, match="cannot be read now") as caught:
            await source.get()
    assert caught.value.answer.klass == "never_sent"


async def test_a_source_that_cannot_be_asked_is_not_asked_for_every_request() -> None:
    async with instance(status=500) as (source, metadata, clock):
        for seconds in (0, 1, 3, 1, 1):
            clock.jump(seconds)
            with pytest.raises(Refused, match="cannot be read now"):
                await source.get()
        assert metadata.given == 2
        metadata.status = 200
        clock.jump(4)
        assert (await source.get()).id == "id-3"


async def test_a_machine_without_a_role_says_so() -> None:
    async with instance(role=None) as (source, _, _clock):
        with pytest.raises(Refused, match="this machine has no role") as caught:
            await source.get()
    assert caught.value.answer.klass == "auth"


@pytest.mark.parametrize("role", ["", "a/b", "né"])
async def test_a_role_that_cannot_be_one_is_not_asked_for(role: str) -> None:
    async with instance(role=role) as (source, metadata, _):
        with pytest.raises(Refused, match="names no role"):
            await source.get()
        assert metadata.given == 0


@pytest.mark.parametrize("answer", [{"Code": "Failed"}, {"Code": "Success", "TmpSecretId": "id"}, {}])
async def test_an_answer_without_keys_is_tried_again_later(answer: dict[str, Any]) -> None:
    async with instance(answer=answer) as (source, _, _clock):
        with pytest.raises(Refused) as caught:
            await source.get()
    assert caught.value.answer.klass == "never_sent"


async def test_a_refresh_reads_anew_once_however_many_ask() -> None:
    async with instance() as (source, metadata, _):
        stale = await source.get()
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(source.refresh, stale)
        assert ((await source.get()).id, metadata.given) == ("id-2", 2)


async def test_a_refresh_of_static_keys_gives_the_same() -> None:
    values = {"secret_id": "id-1", "secret_key": SECRET}
    async with credentials(CredentialSpec(source="static", values=values)) as source:
        keys = await source.get()
        assert await source.refresh(keys) == keys


async def test_a_refresh_that_fails_does_not_give_the_refused_keys_again() -> None:
    async with instance() as (source, metadata, _):
        stale = await source.get()
        metadata.status = 503
        with pytest.raises(Refused):
            await source.refresh(stale)


# --- the pod's service account -------------------------------------------------------------------------------------


def pods_environ(token: Path) -> dict[str, str]:
    return {
        "TKE_REGION": "ap-guangzhou",
        "TKE_PROVIDER_ID": "provider",
        "TKE_WEB_IDENTITY_TOKEN_FILE": str(token),
        "TKE_ROLE_ARN": "qcs::cam::uin/1:roleName/x",
    }


@asynccontextmanager
async def pod(tmp_path: Path, **server: Any) -> AsyncIterator[tuple[Credentials, Metadata, FakeClock, Path]]:
    clock = FakeClock()
    sts = Metadata(clock, **server)
    token = write(tmp_path / "token", "web-token-1\n")
    environ = pods_environ(token)
    async with (
        sts.served() as base_url,
        credentials(CredentialSpec(source="oidc"), environ=environ, clock=clock, identity=base_url) as source,
    ):
        yield source, sts, clock, token


async def test_a_pod_takes_a_role_by_its_token_unsigned(tmp_path: Path) -> None:
    async with pod(tmp_path) as (source, sts, _, _token):
        keys = await source.get()
    assert keys == Keys("id-1", "secret-1", "token-1", START + 3600 * SECOND)
    assert (sts.headers[0]["authorization"], sts.headers[0]["x-tc-action"]) == ("SKIP", "AssumeRoleWithWebIdentity")
    assert sts.bodies == [
        {
            "ProviderId": "provider",
            "WebIdentityToken": "web-token-1",
            "RoleArn": "qcs::cam::uin/1:roleName/x",
            "RoleSessionName": "imageferry",
            "DurationSeconds": 7200,
        }
    ]


async def test_the_token_file_is_read_anew_each_time(tmp_path: Path) -> None:
    async with pod(tmp_path) as (source, sts, clock, token):
        await source.get()
        write(token, "web-token-2")
        clock.jump(3400)
        await source.get()
    assert [body["WebIdentityToken"] for body in sts.bodies] == ["web-token-1", "web-token-2"]


async def test_a_refusal_of_sts_is_told_by_its_code(tmp_path: Path) -> None:
    answer = {"Error": {"Code": "AuthFailure.AccessKeyIllegal", "Message": "web-token-1 is bad"}}
    async with pod(tmp_path, answer=answer) as (source, _, _clock, _token):
        with pytest.raises(Refused, match=r"AuthFailure\.AccessKeyIllegal") as caught:
            await source.get()
    assert caught.value.answer.klass == "auth"
    assert "web-token-1" not in str(caught.value)


# --- the chain -----------------------------------------------------------------------------------------------------


async def test_the_chain_takes_the_environment_first(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud/credentials", INI)
    assert (await got(CredentialSpec(), environ=ENVIRON, home=tmp_path)).id == "id-env"


async def test_the_chain_goes_on_to_the_file(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud/credentials", INI)
    assert (await got(CredentialSpec(), home=tmp_path)).id == "id-ini"


async def test_the_chain_goes_on_to_the_machine() -> None:
    async with instance("chain") as (source, _, _clock):
        assert (await source.get()).id == "id-1"


async def test_a_chain_without_keys_tells_every_place_it_looked_at(tmp_path: Path) -> None:
    error = await refused(CredentialSpec(), home=tmp_path, etc=tmp_path)
    assert error.answer.klass == "auth"
    for place in ("account prod", "TENCENTCLOUD_SECRET_ID", str(tmp_path), "127.0.0.1:9", "TKE_ROLE_ARN"):
        assert place in str(error)


async def test_a_chain_stops_at_an_environment_that_has_keys_by_half(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud/credentials", INI)
    error = await refused(CredentialSpec(), environ={"TENCENTCLOUD_SECRET_ID": "id-env"}, home=tmp_path)
    assert error.answer.klass == "auth"
    assert "by half: there is no TENCENTCLOUD_SECRET_KEY" in str(error)
    assert str(tmp_path) not in str(error)


@pytest.mark.parametrize("text", ["not an INI file", "{not JSON", "[default]\nsecret_id = id-ini\n"])
async def test_a_chain_stops_at_a_file_that_is_there_and_wrong(tmp_path: Path, text: str) -> None:
    path = write(tmp_path / ".tencentcloud/credentials", text)
    async with Metadata(FakeClock()).served() as machine:
        error = await refused(CredentialSpec(), home=tmp_path, metadata=machine)
    assert error.answer.klass == "auth"
    assert str(path) in str(error)


@pytest.mark.parametrize("text", ["", "[other]\nsecret_id = id-ini\nsecret_key = x\n"])
async def test_a_chain_goes_on_where_a_file_says_nothing_of_the_profile(tmp_path: Path, text: str) -> None:
    write(tmp_path / ".tencentcloud/credentials", text)
    async with Metadata(FakeClock()).served() as machine:
        assert (await got(CredentialSpec(), home=tmp_path, metadata=machine)).id == "id-1"


async def test_a_chain_goes_on_where_the_files_folder_is_none(tmp_path: Path) -> None:
    write(tmp_path / ".tencentcloud", "a file")
    async with Metadata(FakeClock()).served() as machine:
        assert (await got(CredentialSpec(), home=tmp_path, metadata=machine)).id == "id-1"


@pytest.mark.parametrize("status", [403, 502])
async def test_a_chain_goes_on_to_the_pod_where_no_metadata_server_can_be_made_out(tmp_path: Path, status: int) -> None:
    token = write(tmp_path / "token", "web-token-1")
    clock = FakeClock()
    sts, blocked = Metadata(clock), Metadata(clock, role_status=status)
    async with sts.served() as identity, blocked.served() as machine:
        keys = await got(CredentialSpec(), environ=pods_environ(token), metadata=machine, identity=identity)
    assert (keys.id, sts.given, blocked.given) == ("id-1", 1, 0)


async def test_a_chain_stops_at_a_machine_that_has_a_role_and_gives_no_keys(tmp_path: Path) -> None:
    token = write(tmp_path / "token", "web-token-1")
    sts = Metadata(FakeClock())
    async with sts.served() as identity, Metadata(FakeClock(), answer={"Code": "Failed"}).served() as machine:
        error = await refused(CredentialSpec(), environ=pods_environ(token), metadata=machine, identity=identity)
    assert (error.answer.klass, sts.given) == ("never_sent", 0)


async def test_a_chain_stays_with_the_source_that_had_keys() -> None:
    async with instance("chain") as (source, metadata, clock):
        await source.get()
        metadata.status = 500
        clock.jump(3601)
        with pytest.raises(Refused) as caught:
            await source.get()
    assert caught.value.answer.klass == "never_sent"


# --- storages ------------------------------------------------------------------------------------------------------


async def test_a_storage_that_stays_closed_does_not_have_new_keys_read_for_every_look() -> None:
    sent = []

    async def send(keys: Keys) -> Told:
        sent.append(keys.id)
        return Told(Answer("permanent_config", "closed"), {}, Reply(403, {}, b"", 0, 0))

    async with instance() as (source, _, clock):
        for seconds in (0, 0, 59, 1, 30):
            clock.jump(seconds)
            assert (await source.signing(send)).answer.message == "closed"
    assert sent == ["id-1", "id-2", "id-2", "id-2", "id-2", "id-3", "id-3"]


def test_every_source_that_a_configuration_may_name_is_there() -> None:
    assert SOURCES.keys() == {"static", "env", "file", "instance", "oidc", "chain"}


# --- secrets -------------------------------------------------------------------------------------------------------


def test_what_sources_look_into_shows_no_variable() -> None:
    assert SECRET not in repr(Around(ENVIRON, Path("/nowhere")))


def test_keys_show_nothing_that_opens_anything() -> None:
    assert repr(Keys("id-1", "secret-1", "token-1", 5)) == "Keys(expires_at=5)"


async def test_what_was_read_is_hidden_from_every_log_and_forgotten_when_it_is_replaced() -> None:
    async with instance() as (source, _, clock):
        await source.get()
        assert scrub("secret-1 token-1") == "[redacted] [redacted]"
        clock.jump(3500)
        await source.get()
        assert scrub("token-1 token-2") == "token-1 [redacted]"
