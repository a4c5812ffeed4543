from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.huawei.adapter import HuaweiCloud
from imageferry.clouds.huawei.credentials import NO_AGENCY, SOURCES
from imageferry.clouds.huawei.facts import FACTS
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.image import Image
from imageferry.core.times import SECOND, rfc3339
from imageferry.errors import Refused
from imageferry.telemetry import secrets
from imageferry.telemetry.http import serving
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import forget_secret, scrub
from support.clocks import START, FakeClock
from support.gates import OpenGate
from support.huawei_rehearsals import PROJECT, REGION, huawei, image
from support.huawei_stages import huawei_account
from support.rehearsals import served

NOWHERE = "http://127.0.0.1:9"
SECRET = "made-up-secret-value"
ENVIRON = {"HUAWEICLOUD_SDK_AK": "id-env", "HUAWEICLOUD_SDK_SK": SECRET}
INI = f"[basic]\nak = id-ini\nsk = {SECRET}\nproject_id = p\n[ops]\nak = id-ops\nsk = x%y\nsecurity_token = t-1\n"
FILE = ".huaweicloud/credentials"


@pytest.fixture(autouse=True)
def _forgotten_afterwards() -> Iterator[None]:
    """A rehearsal's chance is seeded: its temporary keys are other rehearsals' request ids."""
    before = set(secrets._vault._values)
    yield
    for value in set(secrets._vault._values) - before:
        forget_secret(value)


@asynccontextmanager
async def credentials(
    spec: CredentialSpec,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path = Path("/nowhere"),
    metadata: str = NOWHERE,
    clock: FakeClock | None = None,
    identity: str = NOWHERE,
) -> AsyncIterator[Credentials]:
    clock = clock or FakeClock()
    account = huawei_account(NOWHERE, credentials=spec, identity_endpoint=identity)
    wire = Wire(account, clock, Metrics())
    try:
        yield Credentials(account, Around(environ or {}, home, metadata=metadata), wire, clock, SOURCES)
    finally:
        await wire.aclose()


async def got(source: str, *, profile: str | None = None, path: str | None = None, **around: Any) -> Keys:
    async with credentials(CredentialSpec(source=source, profile=profile, path=path), **around) as keys:
        return await keys.get()


async def refused(source: str, *, path: str | None = None, **around: Any) -> Refused:
    async with credentials(CredentialSpec(source=source, path=path), **around) as keys:
        with pytest.raises(Refused) as caught:
            await keys.get()
    return caught.value


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_every_source_that_a_configuration_may_name_is_there() -> None:
    assert SOURCES.keys() == {"static", "env", "file", "instance", "oidc", "chain"}


# --- static, environment and file ----------------------------------------------------------------------------------


async def test_static_keys_are_those_of_the_configuration() -> None:
    words = dict(zip((*FACTS.credential_words, *FACTS.optional_credential_words), ("id-1", SECRET, "t-1"), strict=True))
    async with credentials(CredentialSpec(source="static", values=words)) as keys:
        assert await keys.get() == Keys("id-1", SECRET, "t-1")


@pytest.mark.parametrize(("more", "token"), [({}, ""), ({"HUAWEICLOUD_SDK_SECURITY_TOKEN": "t-1"}, "t-1")])
async def test_the_environment_gives_keys(more: dict[str, str], token: str) -> None:
    assert await got("env", environ={**ENVIRON, **more}) == Keys("id-env", SECRET, token)


async def test_an_empty_variable_counts_as_unset_and_the_error_names_the_variables() -> None:
    error = await refused("env", environ={**ENVIRON, "HUAWEICLOUD_SDK_AK": ""})
    assert error.answer.klass == "auth"
    assert "HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK" in str(error)


async def test_the_sdks_file_in_the_home_is_read(tmp_path: Path) -> None:
    write(tmp_path / FILE, INI)
    assert await got("file", home=tmp_path) == Keys("id-ini", SECRET)


async def test_another_profile_is_another_section(tmp_path: Path) -> None:
    write(tmp_path / FILE, INI)
    assert await got("file", profile="ops", home=tmp_path) == Keys("id-ops", "x%y", "t-1")


async def test_a_configured_path_comes_before_the_environments_and_that_before_the_home(tmp_path: Path) -> None:
    write(tmp_path / FILE, INI)
    mine = write(tmp_path / "mine", INI.replace("id-ini", "id-mine"))
    theirs = write(tmp_path / "theirs", INI.replace("id-ini", "id-theirs"))
    environ = {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(theirs)}
    assert (await got("file", home=tmp_path, environ=environ)).id == "id-theirs"
    assert (await got("file", home=tmp_path, environ=environ, path=str(mine))).id == "id-mine"


@pytest.mark.parametrize(
    ("text", "reason"),
    [(f"sk = {SECRET}\n", "is not an INI file"), (f"[ops]\nsk = {SECRET}\n", "has no ak and sk for profile basic")],
)
async def test_a_bad_file_is_named_and_never_quoted(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "bad", text)
    error = await refused("file", path=str(path))
    assert (error.answer.klass, reason in str(error), str(path) in str(error)) == ("auth", True, True)
    assert SECRET not in str(error)


async def test_an_absent_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / FILE) in str(await refused("file", home=tmp_path))


# --- the machine ---------------------------------------------------------------------------------------------------


@dataclass
class Metadata:
    """A metadata server, and a pod's agent beside it."""

    clock: FakeClock
    session_status: int = 200
    status: int = 200
    text: str | None = None
    answer: Mapping[str, Any] | None = None
    lives: int = 3600
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    """(method, path, session)"""
    authorizations: list[str] = field(default_factory=list)
    given: int = 0

    async def opens(self, request: Request) -> Response:
        self.asked.append((request.method, request.url.path, request.headers["x-metadata-token-ttl-seconds"]))
        return PlainTextResponse("session-1", self.session_status)

    async def gives(self, request: Request) -> Response:
        self.asked.append((request.method, request.url.path, request.headers.get("x-metadata-token", "")))
        self.authorizations.append(request.headers.get("authorization", ""))
        if self.text is not None:
            return PlainTextResponse(self.text, self.status)
        self.given += 1
        number, ends = self.given, rfc3339(self.clock.now() + self.lives * SECOND)
        keys = {"access": f"id-{number}", "secret": f"secret-{number}", "securitytoken": f"token-{number}"}
        whole = {"credential": {**keys, "expires_at": ends}}
        return JSONResponse(whole if self.answer is None else self.answer, self.status)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[str]:
        routes = [
            Route("/meta-data/latest/api/token", self.opens, methods=["PUT"]),
            Route("/openstack/latest/securitykey", self.gives),
            Route("/agent", self.gives, methods=["POST"]),
        ]
        async with serving(Starlette(routes=routes), "127.0.0.1", 0, drain=1) as (host, port):
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


async def test_a_machines_agency_gives_temporary_keys_in_a_session() -> None:
    async with instance() as (source, metadata, _):
        keys = await source.get()
    assert keys == Keys("id-1", "secret-1", "token-1", START + 3600 * SECOND)
    assert metadata.asked == [
        ("PUT", "/meta-data/latest/api/token", "21600"),
        ("GET", "/openstack/latest/securitykey", "session-1"),
    ]


@pytest.mark.parametrize("status", [404, 405, 503])
async def test_a_server_without_sessions_is_asked_without_one(status: int) -> None:
    async with instance(session_status=status) as (source, metadata, _):
        assert (await source.get()).id == "id-1"
    assert metadata.asked[-1][2] == ""


@pytest.mark.parametrize("lives", [3600, 86_400])
async def test_temporary_keys_are_renewed_before_their_end(lives: int) -> None:
    async with instance(lives=lives) as (source, _, clock):
        seen = []
        for seconds in (0, lives - 301, 1):
            clock.jump(seconds)
            seen.append((await source.get()).id)
    assert seen == ["id-1", "id-1", "id-2"]


@pytest.mark.parametrize("status", [200, 401, 404])
async def test_a_machine_without_an_agency_says_so(status: int) -> None:
    text = f'{{"error": "{NO_AGENCY}"}}' if status != 404 else ""
    async with instance(text=text, status=status) as (source, _, _clock):
        with pytest.raises(Refused, match="this machine has no agency") as caught:
            await source.get()
    assert caught.value.answer.klass == "auth"


@pytest.mark.parametrize(
    "server",
    [
        {"session_status": 500},
        {"status": 500},
        {"text": "not JSON"},
        {"answer": {"credential": {"access": "id", "secret": SECRET}}},
        {"answer": {"credential": {"access": "id", "secret": SECRET, "securitytoken": "t", "expires_at": "soon"}}},
    ],
)
async def test_an_answer_without_keys_is_asked_for_again_later(server: dict[str, Any]) -> None:
    async with instance(**server) as (source, _, _clock):
        with pytest.raises(Refused) as caught:
            await source.get()
    assert caught.value.answer.klass == "never_sent"
    assert SECRET not in str(caught.value)


# --- pods and identity providers -----------------------------------------------------------------------------------


async def test_a_pods_agent_gives_keys_for_its_token_which_is_read_anew_each_time(tmp_path: Path) -> None:
    clock = FakeClock()
    agent, token = Metadata(clock), write(tmp_path / "token", "pod-token-1\n")
    async with agent.served() as base_url:
        environ = {
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{base_url}/agent",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        async with credentials(CredentialSpec(source="oidc"), environ=environ, clock=clock) as source:
            assert (await source.get()).id == "id-1"
            write(token, "pod-token-2")
            clock.jump(3400)
            assert (await source.get()).id == "id-2"
    assert agent.authorizations == ["pod-token-1", "pod-token-2"]


STS = {
    "HUAWEICLOUD_OIDC_PROVIDER_URN": "iam::a0000000000000000000000000000001:oidcProvider:rehearsal-idp",
    "HUAWEICLOUD_OIDC_AGENCY_URN": "iam::a0000000000000000000000000000001:agency:imageferry",
}
TOKEN = "rehearsal-identity-token"


def environs(tmp_path: Path) -> dict[str, dict[str, str]]:
    """Every way to sign in by an identity token."""
    token = str(write(tmp_path / "token", f"{TOKEN}\n"))
    file = write(tmp_path / "credentials", f"[basic]\nidp_id = rehearsal-idp\nid_token_file = {token}\n")
    return {
        "sts": {**STS, "HUAWEICLOUD_OIDC_ID_TOKEN": TOKEN},
        "sts-file": {**STS, "HUAWEICLOUD_OIDC_TOKEN_FILE": token, "HUAWEICLOUD_OIDC_DURATION_SECONDS": "1800"},
        "federated": {"HUAWEICLOUD_SDK_IDP_ID": "rehearsal-idp", "HUAWEICLOUD_SDK_ID_TOKEN_FILE": token, **ENVIRON},
        "federated-file": {"HUAWEICLOUD_SDK_CREDENTIALS_FILE": str(file)},
    }


@pytest.mark.parametrize("way", ["sts", "sts-file", "federated", "federated-file"])
async def test_an_identity_token_becomes_keys_that_the_api_takes(tmp_path: Path, way: str) -> None:
    clock = FakeClock()
    server = huawei(clock)
    around = Around(environs(tmp_path)[way], Path("/nowhere"), metadata=NOWHERE)
    async with served(server) as base_url:
        account = huawei_account(base_url, credentials=CredentialSpec(projects={REGION: PROJECT}))
        cloud = HuaweiCloud(account, OpenGate(), clock, Metrics(), around)
        image_id = image(server)
        seen = (await cloud.look(REGION, [image_id]))[image_id]
        await cloud.aclose()
    assert isinstance(seen, Image)


@pytest.mark.parametrize(("way", "lives"), [("sts", 3600), ("sts-file", 1800), ("federated", 21_600)])
async def test_keys_live_as_long_as_was_asked_for(tmp_path: Path, way: str, lives: int) -> None:
    clock = FakeClock()
    async with served(huawei(clock)) as base_url:
        keys = await got("chain", environ=environs(tmp_path)[way], clock=clock, identity=base_url)
    assert keys.expires_at == START + lives * SECOND


@pytest.mark.parametrize("way", ["sts-file", "federated", "federated-file"])
async def test_an_identity_token_that_is_refused_is_told_without_it(tmp_path: Path, way: str) -> None:
    environ = environs(tmp_path)[way]
    write(tmp_path / "token", "bad-identity-token")
    async with served(huawei(FakeClock())) as base_url:
        error = await refused("chain", environ=environ, identity=base_url)
    assert error.answer.klass == "auth"
    assert "gives no keys: HTTP 40" in str(error)
    assert "bad-identity-token" not in str(error)


@pytest.mark.parametrize("way", ["sts-file", "federated"])
async def test_an_absent_token_file_is_named(tmp_path: Path, way: str) -> None:
    environ = environs(tmp_path)[way]
    (tmp_path / "token").unlink()
    source = "oidc" if way == "sts-file" else "env"
    assert str(tmp_path / "token") in str(await refused(source, environ=environ))


# --- the chain -----------------------------------------------------------------------------------------------------


async def test_the_chain_has_the_vendors_order(tmp_path: Path) -> None:
    clock = FakeClock()
    write(tmp_path / FILE, INI)
    metadata = Metadata(clock)
    async with served(huawei(clock)) as base_url, metadata.served() as machine:
        around: dict[str, Any] = {"identity": base_url, "metadata": machine, "clock": clock}
        sts = {**STS, "HUAWEICLOUD_OIDC_ID_TOKEN": TOKEN}
        ids = [
            (await got("chain", environ={**sts, **ENVIRON}, home=tmp_path, **around)).id[:3],
            (await got("chain", environ=ENVIRON, home=tmp_path, **around)).id,
            (await got("chain", home=tmp_path, **around)).id,
            (await got("chain", **around)).id,
        ]
    assert ids == ["HST", "id-env", "id-ini", "id-1"]


async def test_the_chain_asks_the_pods_agent_though_there_is_no_metadata_server(tmp_path: Path) -> None:
    clock = FakeClock()
    agent, token = Metadata(clock), write(tmp_path / "token", "pod-token-1")
    async with agent.served() as base_url:
        environ = {
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{base_url}/agent",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
        }
        assert (await got("chain", environ=environ, clock=clock)).id == "id-1"


async def test_a_chain_does_not_change_its_identity_while_the_token_service_is_away() -> None:
    environ = {**STS, "HUAWEICLOUD_OIDC_ID_TOKEN": TOKEN, **ENVIRON}
    error = await refused("chain", environ=environ)
    assert "id-env" not in str(error)
    assert "AssumeAgencyWithOIDC at 127.0.0.1:9" in str(error)


async def test_a_chain_without_keys_tells_every_place_it_looked_at(tmp_path: Path) -> None:
    error = await refused("chain", home=tmp_path)
    assert error.answer.klass == "auth"
    places = ("HUAWEICLOUD_OIDC_PROVIDER_URN", "HUAWEICLOUD_SDK_AK", str(tmp_path), "127.0.0.1:9", "HC_CONTAINER")
    for place in ("account prod", *places):
        assert place in str(error)


async def test_a_chain_that_had_the_machines_keys_waits_for_its_server() -> None:
    async with instance("chain") as (source, metadata, clock):
        await source.get()
        metadata.status = 500
        clock.jump(3601)
        with pytest.raises(Refused) as caught:
            await source.get()
    assert caught.value.answer.klass == "never_sent"


# --- secrets -------------------------------------------------------------------------------------------------------


async def test_what_was_read_is_hidden_from_every_log() -> None:
    async with instance() as (source, _, _clock):
        await source.get()
    assert scrub("secret-1 token-1") == "[redacted] [redacted]"


async def test_the_identity_services_own_token_is_not_kept(tmp_path: Path) -> None:
    clock = FakeClock()
    server = huawei(clock)
    async with served(server) as base_url:
        await got("env", environ=environs(tmp_path)["federated"], clock=clock, identity=base_url)
    [token] = server.world.tokens
    assert scrub(token) == token
