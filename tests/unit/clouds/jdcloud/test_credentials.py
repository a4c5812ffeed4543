from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from imageferry.clouds.credentials import Around, Credentials, Keys
from imageferry.clouds.jdcloud.credentials import ROLE, SOURCES
from imageferry.clouds.wire import Wire
from imageferry.core.account import CredentialSpec
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.telemetry.http import serving
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.jdcloud_stages import jdcloud_account

NOWHERE = "http://127.0.0.1:9"
SECRET = "made-up-secret-value"
ENVIRON = {"JDCLOUD_ACCESS_KEY": "id-env", "JDCLOUD_SECRET_KEY": SECRET}
OTHERWISE = {"JDCLOUD_ACCESS_KEY_ID": "id-other", "JDCLOUD_SECRET_ACCESS_KEY": SECRET}
INI = (
    f"[default]\naccess_key = id-ini\nsecret_key = {SECRET}\nregion_id = cn-north-1\n"
    "[ops]\naccess_key = id-ops\nsecret_key = x%y\n"
)


@asynccontextmanager
async def credentials(
    spec: CredentialSpec,
    *,
    environ: Mapping[str, str] | None = None,
    home: Path = Path("/nowhere"),
    metadata: str = NOWHERE,
    clock: FakeClock | None = None,
) -> AsyncIterator[Credentials]:
    clock = clock or FakeClock()
    account = jdcloud_account(NOWHERE, credentials=spec)
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


async def test_static_keys_are_those_of_the_configuration() -> None:
    values = {"access_key": "id-1", "secret_key": SECRET, "session_token": "t-1"}
    async with credentials(CredentialSpec(source="static", values=values)) as keys:
        assert await keys.get() == Keys("id-1", SECRET, "t-1")


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        (ENVIRON, Keys("id-env", SECRET)),
        (OTHERWISE, Keys("id-other", SECRET)),
        ({**ENVIRON, **OTHERWISE}, Keys("id-env", SECRET)),
        ({**ENVIRON, "JDCLOUD_SESSION_TOKEN": "t-1"}, Keys("id-env", SECRET, "t-1")),
    ],
)
async def test_the_environment_gives_keys_under_either_names(environ: dict[str, str], keys: Keys) -> None:
    assert await got("env", environ=environ) == keys


async def test_an_environment_without_keys_names_every_variable() -> None:
    error = await refused("env", environ={"JDCLOUD_ACCESS_KEY": ""})
    assert error.answer.klass == "auth"
    assert "JDCLOUD_ACCESS_KEY and JDCLOUD_SECRET_KEY" in str(error)
    assert "JDCLOUD_ACCESS_KEY_ID and JDCLOUD_SECRET_ACCESS_KEY" in str(error)


async def test_the_command_lines_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / ".jdc/config", INI)
    assert await got("file", home=tmp_path) == Keys("id-ini", SECRET)


async def test_its_current_profile_is_the_one_that_is_read(tmp_path: Path) -> None:
    write(tmp_path / ".jdc/config", INI)
    write(tmp_path / ".jdc/current", "ops\n")
    assert await got("file", home=tmp_path) == Keys("id-ops", "x%y")


async def test_a_configured_profile_comes_before_the_current_one(tmp_path: Path) -> None:
    write(tmp_path / ".jdc/config", INI)
    write(tmp_path / ".jdc/current", "ops\n")
    assert (await got("file", profile="default", home=tmp_path)).id == "id-ini"


async def test_a_configured_path_is_read_instead(tmp_path: Path) -> None:
    assert (await got("file", path=str(write(tmp_path / "mine.ini", INI)))).id == "id-ini"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"secret_key = {SECRET}\n", "is not an INI file"),
        (f"[other]\nsecret_key = {SECRET}\n", "has no access_key and secret_key for profile default"),
        (f"[default]\nsecret_key = {SECRET}\n", "for profile default by half: there is no access_key"),
    ],
)
async def test_a_bad_file_is_named_and_never_quoted(tmp_path: Path, text: str, reason: str) -> None:
    path = write(tmp_path / "bad", text)
    error = await refused("file", path=str(path))
    assert (error.answer.klass, reason in str(error), str(path) in str(error)) == ("auth", True, True)
    assert SECRET not in str(error)


async def test_a_chain_looks_into_the_environment_first(tmp_path: Path) -> None:
    write(tmp_path / ".jdc/config", INI)
    assert (await got("chain", environ=ENVIRON, home=tmp_path)).id == "id-env"
    assert (await got("chain", home=tmp_path)).id == "id-ini"


async def test_a_chain_without_keys_names_every_place_and_asks_no_metadata_server(tmp_path: Path) -> None:
    async with metadata_server({"Code": "success"}) as (base_url, asked):
        error = await refused("chain", home=tmp_path, metadata=base_url)
    assert error.answer.klass == "auth"
    assert "JDCLOUD_ACCESS_KEY" in str(error)
    assert str(tmp_path / ".jdc/config") in str(error)
    assert asked == []


# --- the machine's role --------------------------------------------------------------------------------------------


@asynccontextmanager
async def metadata_server(answer: object, status: int = 200) -> AsyncIterator[tuple[str, list[str]]]:
    asked: list[str] = []

    async def gives(request: Request) -> Response:
        asked.append(request.url.path)
        return JSONResponse(answer, status)

    async with serving(Starlette(routes=[Route(ROLE, gives)]), "127.0.0.1", 0, drain=1) as (host, port):
        yield f"http://{host}:{port}", asked


GIVEN = {"Code": "success", "accessKey": "id-1", "secretKey": SECRET, "sessionToken": "t-1"}


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, 1200),
        ({"expiration": "2026-01-01T01:00:00Z"}, 3600),
        ({"expiration": "2026-01-01 09:00:00"}, 1200),
        ({"Code": "Success"}, 1200),
    ],
)
async def test_a_machines_role_gives_temporary_keys_that_are_read_anew_in_time(
    more: dict[str, str], seconds: int
) -> None:
    async with metadata_server({**GIVEN, **more}) as (base_url, _):
        keys = await got("instance", metadata=base_url)
    assert keys == Keys("id-1", SECRET, "t-1", START + seconds * SECOND)


async def test_keys_whose_end_is_not_told_are_used_for_a_quarter_of_an_hour() -> None:
    clock = FakeClock()
    async with (
        metadata_server(GIVEN) as (base_url, asked),
        credentials(CredentialSpec(source="instance"), metadata=base_url, clock=clock) as keys,
    ):
        counts = []
        for seconds in (0, 899, 1):
            clock.jump(seconds)
            await keys.get()
            counts.append(len(asked))
    assert counts == [1, 1, 2]


@pytest.mark.parametrize("answer", [{"Code": "fail"}, {**GIVEN, "sessionToken": ""}, [], {}])
async def test_a_machine_without_keys_says_so(answer: object) -> None:
    async with metadata_server(answer) as (base_url, _):
        error = await refused("instance", metadata=base_url)
    assert (error.answer.klass, "gives no keys" in str(error), SECRET in str(error)) == ("auth", True, False)


async def test_a_machine_without_a_role_says_so() -> None:
    async with metadata_server({}, 404) as (base_url, _):
        assert "this machine has no role" in str(await refused("instance", metadata=base_url))


async def test_a_metadata_server_that_fails_is_asked_again_later() -> None:
    async with metadata_server({}, 500) as (base_url, _):
        assert (await refused("instance", metadata=base_url)).answer.klass == "never_sent"
