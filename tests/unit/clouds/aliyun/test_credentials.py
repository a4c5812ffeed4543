from __future__ import annotations

import json
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

from imageferry.clouds.aliyun import endpoints
from imageferry.clouds.aliyun.adapter import AliyunCloud
from imageferry.clouds.aliyun.credentials import SOURCES
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.image import Image
from imageferry.core.times import SECOND, rfc3339
from imageferry.errors import Refused
from imageferry.telemetry import secrets
from imageferry.telemetry.http import serving
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import forget_secret, scrub
from support.aliyun_rehearsals import REGION, aliyun, image
from support.aliyun_stages import aliyun_account
from support.clocks import START, FakeClock
from support.gates import OpenGate
from support.rehearsals import served

NOWHERE = "http://127.0.0.1:9"
SECRET = "made-up-secret-value"
ENVIRON = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "id-env", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": SECRET}
CONFIG = ".aliyun/config.json"
INI = ".alibabacloud/credentials.ini"
OIDC = {
    "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1000000000000001:role/imageferry",
    "ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "acs:ram::1000000000000001:oidc-provider/rehearsal",
}


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
    account = aliyun_account(NOWHERE, credentials=spec, identity_endpoint=identity)
    wire = Wire(account, clock, Metrics())
    try:
        yield Credentials(account, Around(environ or {}, home, metadata=metadata), wire, clock, SOURCES)
    finally:
        await wire.aclose()


async def got(source: str, *, profile: str | None = None, path: str | None = None, **around: Any) -> Keys:
    async with credentials(CredentialSpec(source=source, profile=profile, path=path), **around) as keys:
        return await keys.get()


async def refused(source: str, *, profile: str | None = None, path: str | None = None, **around: Any) -> Refused:
    async with credentials(CredentialSpec(source=source, profile=profile, path=path), **around) as keys:
        with pytest.raises(Refused) as caught:
            await keys.get()
    return caught.value


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def profiles(*each: Mapping[str, Any], current: str = "default") -> str:
    return json.dumps({"current": current, "profiles": list(each), "meta_path": ""})


def profile(name: str = "default", **words: Any) -> dict[str, Any]:
    return {"name": name, "access_key_id": f"id-{name}", "access_key_secret": SECRET, **words}


def test_every_source_that_a_configuration_may_name_is_there() -> None:
    assert SOURCES.keys() == {"static", "env", "file", "instance", "oidc", "chain"}


# --- static and environment ----------------------------------------------------------------------------------------


async def test_static_keys_are_those_of_the_configuration() -> None:
    words = dict(zip((*FACTS.credential_words, *FACTS.optional_credential_words), ("id-1", SECRET, "t-1"), strict=True))
    async with credentials(CredentialSpec(source="static", values=words)) as keys:
        assert await keys.get() == Keys("id-1", SECRET, "t-1")


@pytest.mark.parametrize(("more", "token"), [({}, ""), ({"ALIBABA_CLOUD_SECURITY_TOKEN": "t-1"}, "t-1")])
async def test_the_environment_gives_keys(more: dict[str, str], token: str) -> None:
    assert await got("env", environ={**ENVIRON, **more}) == Keys("id-env", SECRET, token)


async def test_an_empty_variable_counts_as_unset_and_the_error_names_the_variables() -> None:
    error = await refused("env", environ={**ENVIRON, "ALIBABA_CLOUD_ACCESS_KEY_ID": ""})
    assert error.answer.klass == "auth"
    assert "ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET" in str(error)


# --- the command line's file ---------------------------------------------------------------------------------------


async def test_the_current_profile_of_the_command_lines_file_gives_keys(tmp_path: Path) -> None:
    write(tmp_path / CONFIG, profiles(profile("a"), profile("b", mode="AK"), current="b"))
    assert await got("file", home=tmp_path) == Keys("id-b", SECRET)


@pytest.mark.parametrize(
    ("named", "environ"), [("a", {"ALIBABA_CLOUD_PROFILE": "b"}), (None, {"ALIBABA_CLOUD_PROFILE": "a"})]
)
async def test_a_profile_may_be_named(tmp_path: Path, named: str | None, environ: dict[str, str]) -> None:
    write(tmp_path / CONFIG, profiles(profile("a", mode="StsToken", sts_token="t-1"), profile("b"), current="b"))
    assert await got("file", home=tmp_path, profile=named, environ=environ) == Keys("id-a", SECRET, "t-1")


async def test_a_configured_path_may_be_either_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one", profiles(profile("default")))
    two = write(tmp_path / "two", f"[default]\naccess_key_id = id-two\naccess_key_secret = {SECRET}\n")
    assert (await got("file", path=str(one))).id == "id-default"
    assert (await got("file", path=str(two))).id == "id-two"


async def test_the_command_lines_file_can_be_switched_off(tmp_path: Path) -> None:
    write(tmp_path / CONFIG, profiles(profile("default")))
    write(tmp_path / INI, f"[default]\ntype = access_key\naccess_key_id = id-ini\naccess_key_secret = {SECRET}\n")
    assert (await got("file", home=tmp_path)).id == "id-default"
    environ = {"ALIBABA_CLOUD_CLI_PROFILE_DISABLED": "true"}
    assert (await got("file", home=tmp_path, environ=environ)).id == "id-ini"


UNREAD = ["CloudSSO", "OAuth", "External"]
UNREAD_TYPES = ["rsa_key_pair"]


@pytest.mark.parametrize("mode", UNREAD)
async def test_a_kind_of_profile_that_is_not_read_is_named_with_those_that_are(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "config.json", profiles(profile("default", mode=mode)))
    error = await refused("file", path=str(path))
    assert f"profile default of {path} is of the kind {mode}; imageferry reads AK, StsToken, " in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{broken", "is not JSON"),
        (profiles(current="gone"), "has no profile gone"),
        ('{"current": "a", "profiles": 5}', "has no profile a"),
        ('{"current": "a", "profiles": [{"name": "a", "mode": ""}]}', "has no access_key_id and access_key_secret"),
        ("{}", "has no profile (and names no current one)"),
        ('{"current": "a", "profiles": [{"name": "a"}]}', "has no access_key_id and access_key_secret"),
        ('{"current": "a", "profiles": [{"name": "a", "mode": "OIDC"}]}', "has no role, oidc_provider_arn"),
    ],
)
async def test_a_file_that_gives_no_keys_says_why(tmp_path: Path, text: str, words: str) -> None:
    error = await refused("file", path=str(write(tmp_path / "config.json", text)))
    assert error.answer.klass == "auth"
    assert words in str(error)


async def test_without_files_both_are_named(tmp_path: Path) -> None:
    error = await refused("file", home=tmp_path)
    assert f"{tmp_path / CONFIG}" in str(error)
    assert f"{tmp_path / INI}" in str(error)


# --- the SDK's file ------------------------------------------------------------------------------------------------


OF_PROVIDER = """[default]
type = oidc_role_arn
role_arn = {role}
oidc_provider_arn = {provider}
oidc_token_file_path = {token}
role_session_name = ferry
"""
SECTIONS = (
    f"[default]\ntype = access_key\naccess_key_id = id-ini\naccess_key_secret = {SECRET}\n"
    f"[ops]\naccess_key_id = id-ops\naccess_key_secret = x%y\nsecurity_token = t-1\n"
)


async def test_a_section_of_the_sdks_file_gives_keys(tmp_path: Path) -> None:
    write(tmp_path / INI, SECTIONS)
    assert await got("file", home=tmp_path) == Keys("id-ini", SECRET)
    assert await got("file", home=tmp_path, profile="ops") == Keys("id-ops", "x%y", "t-1")
    assert (await got("file", home=tmp_path, environ={"ALIBABA_CLOUD_PROFILE": "ops"})).id == "id-ops"


async def test_the_sdks_file_may_stand_elsewhere(tmp_path: Path) -> None:
    path = write(tmp_path / "elsewhere.ini", SECTIONS)
    assert (await got("file", environ={"ALIBABA_CLOUD_CREDENTIALS_FILE": str(path)})).id == "id-ini"


@pytest.mark.parametrize("kind", UNREAD_TYPES)
async def test_a_kind_of_section_that_is_not_read_is_named_with_those_that_are(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "c.ini", f"[default]\ntype = {kind}\naccess_key_secret = {SECRET}\n")
    error = await refused("file", path=str(path))
    assert f"section default of {path} is of the kind {kind}; imageferry reads access_key, " in str(error)


@pytest.mark.parametrize("text", ["[other]\naccess_key_id = x\n", "no section = at all\n", "[default]\n"])
async def test_a_file_without_the_section_says_so(tmp_path: Path, text: str) -> None:
    assert (await refused("file", path=str(write(tmp_path / "c.ini", text)))).answer.klass == "auth"


# --- the machine ---------------------------------------------------------------------------------------------------


@dataclass
class Machine:
    """A metadata server, as far as keys are concerned."""

    role: str = "ferry"
    sessions: int = 200
    keys: dict[str, Any] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    status: int = 200

    def __post_init__(self) -> None:
        words = {"AccessKeyId": "STS.1", "AccessKeySecret": SECRET, "SecurityToken": "t-1"}
        end = rfc3339(START + 6 * 3600 * SECOND)[:19] + "Z"
        self.keys = {"Code": "Success", **words, "Expiration": end, **self.keys}

    async def session(self, request: Request) -> Response:
        self.asked.append(f"{request.method} {request.headers['x-aliyun-ecs-metadata-token-ttl-seconds']}")
        return PlainTextResponse("session-1" if self.sessions == 200 else "", status_code=self.sessions)

    async def roles(self, request: Request) -> Response:
        self.asked.append(f"roles {request.headers.get('x-aliyun-ecs-metadata-token')}")
        status = self.status if self.role else 404
        return PlainTextResponse(self.role, status_code=status)

    async def named(self, request: Request) -> Response:
        self.asked.append(f"{request.path_params['role']} {request.headers.get('x-aliyun-ecs-metadata-token')}")
        status = 200 if request.path_params["role"] == self.role else 404
        return JSONResponse(self.keys, status_code=status)


@asynccontextmanager
async def machine(**facts: Any) -> AsyncIterator[tuple[Machine, str]]:
    server, base = Machine(**facts), "/latest/meta-data/ram/security-credentials/"
    app = Starlette(
        routes=[
            Route("/latest/api/token", server.session, methods=["PUT"]),
            Route(base, server.roles),
            Route(base + "{role}", server.named),
        ]
    )
    async with serving(app, "127.0.0.1", 0, drain=1) as (host, port):
        yield server, f"http://{host}:{port}"


async def test_the_machines_role_gives_keys_in_a_session() -> None:
    async with machine() as (server, url):
        keys = await got("instance", metadata=url)
    assert keys == Keys("STS.1", SECRET, "t-1", START + 6 * 3600 * SECOND)
    assert server.asked == ["PUT 21600", "roles session-1", "ferry session-1"]


async def test_a_role_that_is_named_is_not_asked_for() -> None:
    async with machine() as (server, url):
        await got("instance", metadata=url, environ={"ALIBABA_CLOUD_ECS_METADATA": "ferry"})
    assert server.asked == ["PUT 21600", "ferry session-1"]


@pytest.mark.parametrize("status", [403, 404, 405])
async def test_an_older_server_knows_no_sessions(status: int) -> None:
    async with machine(sessions=status) as (server, url):
        assert (await got("instance", metadata=url)).id == "STS.1"
        environ = {"ALIBABA_CLOUD_IMDSV1_DISABLED": "true"}
        assert (await refused("instance", metadata=url, environ=environ)).answer.klass == "never_sent"
    assert server.asked[1:3] == ["roles None", "ferry None"]


@pytest.mark.parametrize(
    ("facts", "klass", "words"),
    [
        ({"role": ""}, "auth", "this machine has no RAM role"),
        ({"role": "a/b"}, "auth", "names no role"),
        ({"keys": {"Code": "AssumeRoleFailed"}}, "never_sent", "AssumeRoleFailed"),
        ({"keys": {"AccessKeySecret": ""}}, "never_sent", "answered without keys"),
        ({"keys": {"Expiration": "soon"}}, "never_sent", "without a time at which they end"),
        ({"sessions": 500}, "never_sent", "gives no session: HTTP 500"),
        ({"status": 503}, "never_sent", "names no role: HTTP 503"),
    ],
)
async def test_a_machine_without_keys_says_why(facts: dict[str, Any], klass: str, words: str) -> None:
    async with machine(**facts) as (_, url):
        error = await refused("instance", metadata=url)
    assert (error.answer.klass, words in str(error)) == (klass, True)
    assert SECRET not in str(error)


async def test_another_role_than_the_machines_is_not_here() -> None:
    async with machine() as (_, url):
        error = await refused("instance", metadata=url, environ={"ALIBABA_CLOUD_ECS_METADATA": "other"})
    assert "does not have the RAM role other" in str(error)


async def test_a_metadata_server_that_is_switched_off_is_not_asked() -> None:
    async with machine() as (server, url):
        environ = {"ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true"}
        error = await refused("instance", metadata=url, environ=environ)
    assert (server.asked, error.answer.klass) == ([], "auth")


async def test_a_profile_and_a_section_may_lead_to_the_machine(tmp_path: Path) -> None:
    one = write(tmp_path / "c.json", profiles({"name": "default", "mode": "EcsRamRole", "ram_role_name": "ferry"}))
    two = write(tmp_path / "c.ini", "[default]\ntype = ecs_ram_role\nrole_name = ferry\n")
    async with machine() as (server, url):
        assert [(await got("file", path=str(path), metadata=url)).id for path in (one, two)] == ["STS.1", "STS.1"]
    assert "roles session-1" not in server.asked


async def test_an_address_answers_as_a_metadata_server_does() -> None:
    async with machine() as (_, url):
        environ = {"ALIBABA_CLOUD_CREDENTIALS_URI": f"{url}/latest/meta-data/ram/security-credentials/ferry"}
        assert (await got("chain", environ=environ)).token == "t-1"
    assert "has no ALIBABA_CLOUD_CREDENTIALS_URI" in str(await refused("chain"))
    nobody = await refused("chain", environ={"ALIBABA_CLOUD_CREDENTIALS_URI": NOWHERE})
    assert "CredentialsURI at 127.0.0.1:9" in str(nobody)


# --- an identity provider ------------------------------------------------------------------------------------------


def with_token(folder: Path, text: str = "rehearsal-identity-token\n", **more: str) -> dict[str, str]:
    path = write(folder / "token", text)
    return {**OIDC, "ALIBABA_CLOUD_OIDC_TOKEN_FILE": str(path), **more}


async def test_a_pods_token_gives_keys_for_an_hour_that_open_the_cloud(tmp_path: Path) -> None:
    clock = FakeClock()
    server = aliyun(clock)
    async with served(server) as url:
        around = Around(with_token(tmp_path), tmp_path)
        account = aliyun_account(url, credentials=CredentialSpec(source="oidc"))
        cloud = AliyunCloud(account, OpenGate(), clock, Metrics(), around)
        image_id = image(server)
        seen = (await cloud.look(REGION, [image_id]))[image_id]
        await cloud.aclose()
        keys = await got("oidc", environ=with_token(tmp_path), identity=url, clock=clock)
    assert isinstance(seen, Image)
    assert keys.expires_at == START + 3600 * SECOND
    assert scrub(keys.secret) != keys.secret


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            profiles(
                {
                    "name": "default",
                    "mode": "OIDC",
                    "ram_role_arn": OIDC["ALIBABA_CLOUD_ROLE_ARN"],
                    "oidc_provider_arn": OIDC["ALIBABA_CLOUD_OIDC_PROVIDER_ARN"],
                    "oidc_token_file": "{token}",
                    "role_session_name": "ferry",
                }
            ),
            "config.json",
        ),
        (
            OF_PROVIDER,
            "credentials.ini",
        ),
    ],
)
async def test_a_profile_and_a_section_may_lead_to_a_provider(tmp_path: Path, text: str, words: str) -> None:
    token = write(tmp_path / "token", "rehearsal-identity-token")
    role, provider = OIDC.values()
    filled = text.replace("{token}", str(token)).replace("{role}", role).replace("{provider}", provider)
    path = write(tmp_path / words, filled)
    async with served(aliyun()) as url:
        assert (await got("file", path=str(path), identity=url)).token


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ALIBABA_CLOUD_ROLE_ARN": "acs:ram::1:role/other"}, "STS AssumeRoleWithOIDC: HTTP "),
        ({"ALIBABA_CLOUD_OIDC_PROVIDER_ARN": "other"}, "EntityNotExist.OIDCProvider"),
    ],
)
async def test_a_role_that_is_not_given_is_the_configs_fault(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    async with served(aliyun()) as url:
        error = await refused("oidc", environ=with_token(tmp_path, **changes), identity=url)
    assert (error.answer.klass, words in str(error)) == ("auth", True)
    assert "rehearsal-identity-token" not in str(error)


async def test_without_a_token_nothing_is_asked(tmp_path: Path) -> None:
    assert "there is no token" in str(await refused("oidc", environ=with_token(tmp_path, "\n")))
    assert "ALIBABA_CLOUD_ROLE_ARN" in str(await refused("oidc"))


async def test_a_token_service_that_does_not_answer_may_be_asked_again(tmp_path: Path) -> None:
    error = await refused("oidc", environ=with_token(tmp_path), identity=NOWHERE)
    assert error.answer.klass == "never_sent"


def test_the_token_service_is_the_regions_own() -> None:
    account = aliyun_account(identity_endpoint=FACTS.identity_endpoint)
    assert endpoints.tokens(account, "cn-beijing") == "https://sts.cn-beijing.aliyuncs.com"
    assert endpoints.tokens(account, "") == "https://sts.aliyuncs.com"


# --- the chain -----------------------------------------------------------------------------------------------------


async def test_the_chain_asks_in_the_vendors_order(tmp_path: Path) -> None:
    write(tmp_path / CONFIG, profiles(profile("default")))
    token = with_token(tmp_path)
    clock = FakeClock()
    async with machine() as (_, url), served(aliyun(clock)) as sts:
        around: dict[str, Any] = {"metadata": url, "identity": sts, "clock": clock}
        nobody = tmp_path / "nobody"
        chain = [
            (await got("chain", environ={**ENVIRON, **token}, home=tmp_path, **around)).id,
            (await got("chain", environ=token, home=tmp_path, **around)).expires_at == START + 3600 * SECOND,
            (await got("chain", home=tmp_path, **around)).id,
            (await got("chain", home=nobody, **around)).id,
        ]
    assert chain == ["id-env", True, "id-default", "STS.1"]


async def test_a_machine_that_is_not_one_of_the_clouds_does_not_end_the_chain() -> None:
    async with machine() as (_, url):
        environ = {"ALIBABA_CLOUD_CREDENTIALS_URI": f"{url}/latest/meta-data/ram/security-credentials/ferry"}
        assert (await got("chain", environ=environ)).id == "STS.1"


async def test_a_chain_without_keys_says_where_it_looked() -> None:
    error = await refused("chain")
    words = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ROLE_ARN", "config.json", "credentials.ini", "127.0.0.1:9")
    assert [word for word in words if word not in str(error)] == []


async def test_a_provider_that_does_not_answer_ends_the_chain(tmp_path: Path) -> None:
    write(tmp_path / CONFIG, profiles(profile("default")))
    error = await refused("chain", environ=with_token(tmp_path), home=tmp_path, identity=NOWHERE)
    assert "AssumeRoleWithOIDC at 127.0.0.1:9" in str(error)
