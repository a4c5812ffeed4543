"""Roles at every cloud, taken over real HTTP from the rehearsals' own token services."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from imageferry.clouds.aliyun import roles as aliyun
from imageferry.clouds.credentials import PAUSE, Around, Asked, Keys
from imageferry.clouds.huawei import credentials as huawei
from imageferry.clouds.jdcloud import credentials as jdcloud
from imageferry.clouds.tencent import credentials as tencent
from imageferry.clouds.wire import Wire
from imageferry.core.times import SECOND
from imageferry.errors import Refused
from imageferry.rehearsal.misbehaviour import HEAD_OBJECT, Misbehaviour
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry import secrets
from imageferry.telemetry.metrics import Metrics
from imageferry.telemetry.secrets import forget_secret, scrub
from support.clocks import START, FakeClock
from support.role_scenes import KINDS, Scene, role_scene

CLOUDS = tuple(KINDS)
STRICT = tuple(name for name, kind in KINDS.items() if kind.external_ids)
EXTERNAL_ID = "made-up-external-id"

every_cloud = pytest.mark.parametrize("cloud", CLOUDS)


@pytest.fixture(autouse=True)
def _forgotten_afterwards() -> Iterator[None]:
    """A rehearsal's chance is seeded: its temporary keys are other rehearsals' request ids."""
    before = set(secrets._vault._values)
    yield
    for value in set(secrets._vault._values) - before:
        forget_secret(value)


@every_cloud
async def test_the_api_takes_the_keys_of_a_role(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        keys = await scene.credentials.get()
        assert await scene.looks()
        [session] = scene.server.world.sessions
    assert keys == Keys(session.secret_id, session.secret_key, session.token, keys.expires_at)
    assert (scene.taken(), scene.gate.classes) == (1, ["ok"])


@every_cloud
async def test_a_roles_keys_hold_as_long_as_was_asked_for(cloud: str) -> None:
    async with role_scene(cloud, role={"duration": 3600.0}) as scene:
        assert (await scene.credentials.get()).expires_at == START + 3600 * SECOND


@every_cloud
async def test_a_roles_keys_are_renewed_before_they_end_and_once_for_all_who_ask(cloud: str) -> None:
    async with role_scene(cloud, role={"duration": 3600.0}) as scene:
        first = await scene.credentials.get()
        scene.clock.jump(3299)
        assert await scene.credentials.get() == first
        scene.clock.jump(1)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(scene.credentials.get)
        assert await scene.credentials.get() != first
        assert await scene.looks()
    assert scene.taken() == 2


@every_cloud
async def test_keys_that_the_vendor_ends_early_are_read_anew_once(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        assert await scene.looks()
        scene.end_sessions()
        assert await scene.looks()
    assert (scene.taken(), scene.gate.classes) == (2, ["ok", "retry", "ok"])


@every_cloud
async def test_the_storage_takes_a_roles_keys_and_newer_ones_where_they_end_early(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        assert await scene.missing()
        scene.end_sessions()
        assert await scene.missing()
        assert await scene.missing()
        assert scene.taken() == 2


@every_cloud
async def test_a_bucket_that_may_not_be_looked_into_is_not_asked_without_end(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        assert await scene.missing()
        before = scene.server.requests.asked(HEAD_OBJECT)
        scene.server.change({"unreadable_buckets": [scene.kind.bucket]})
        assert not await scene.missing()
        assert (scene.taken(), scene.server.requests.asked(HEAD_OBJECT) - before) == (2, 2)


@every_cloud
async def test_a_role_that_is_not_given_is_named_with_what_to_do(cloud: str) -> None:
    name = KINDS[cloud].facts.role.example + "2"
    async with role_scene(cloud, role={"name": name}) as scene:
        with pytest.raises(Refused) as caught:
            await scene.credentials.get()
    assert caught.value.answer.klass == "auth"
    assert f"the role {name}" in str(caught.value)
    assert "look whether it exists and trusts these keys" in str(caught.value)
    assert scene.taken() == 1


@every_cloud
async def test_wrong_base_keys_do_not_become_a_role(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        scene.server.change({"keys": [{"secret_id": REHEARSAL_KEY.secret_id, "secret_key": "another"}]})
        with pytest.raises(Refused) as caught:
            await scene.credentials.get()
    assert caught.value.answer.klass == "auth"


@pytest.mark.parametrize("cloud", STRICT)
async def test_a_role_is_given_for_its_external_id_only(cloud: str) -> None:
    name = KINDS[cloud].facts.role.example
    async with role_scene(cloud, role={"external_id": EXTERNAL_ID}, external_ids={name: EXTERNAL_ID}) as scene:
        assert await scene.looks()
    async with role_scene(cloud, role={"external_id": "other-id"}, external_ids={name: EXTERNAL_ID}) as scene:
        with pytest.raises(Refused) as caught:
            await scene.credentials.get()
    assert "other-id" not in str(caught.value)


@every_cloud
@pytest.mark.parametrize("skew", [-1800.0, 1800.0])
async def test_a_clock_that_is_off_is_put_right_by_the_vendors_and_keys_end_by_our_own(cloud: str, skew: float) -> None:
    async with role_scene(cloud, clock_skew_seconds=skew) as scene:
        keys = await scene.credentials.get()
    assert keys.expires_at is not None
    assert abs(keys.expires_at - (START + scene.account.credentials.role.duration * SECOND)) <= SECOND  # type: ignore[union-attr]
    assert scene.taken() == 2


@every_cloud
async def test_while_the_token_service_is_away_keys_that_hold_are_used_and_then_nothing_is_sent(cloud: str) -> None:
    async with role_scene(cloud, role={"duration": 3600.0}) as scene:
        first = await scene.credentials.get()
        scene.server.misbehave(_away(scene.kind.assume))
        scene.clock.jump(3400)
        assert await scene.credentials.get() == first
        scene.clock.jump(300)
        with pytest.raises(Refused) as caught:
            await scene.credentials.get()
    assert caught.value.answer.klass == "never_sent"


@every_cloud
async def test_a_token_service_that_is_too_busy_is_asked_again_later(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        scene.server.misbehave(_away(scene.kind.assume, "throttle"))
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await scene.credentials.get()
        assert scene.taken() == 1
        scene.server.behave()
        scene.clock.jump(PAUSE)
        assert await scene.looks()
    assert caught.value.answer.klass == "never_sent"


@every_cloud
async def test_a_role_may_be_taken_with_the_keys_of_another(cloud: str) -> None:
    async with role_scene(cloud) as scene:
        first = await scene.credentials.get()
        assume = scene.credentials._assume
        assert assume is not None
        keys = await assume(scene.credentials._asked, first, scene.kind.role())
    assert [each.secret_id for each in scene.server.world.sessions] == [first.id, keys.id]


VENDORS = {
    "tencent": (tencent, "https://sts.ap-guangzhou.tencentcloudapi.com/"),
    "aliyun": (aliyun, "https://sts.cn-hangzhou.aliyuncs.com/"),
    "huawei": (huawei, "https://iam.cn-north-4.myhuaweicloud.com/v3.0/OS-CREDENTIAL/securitytokens"),
    "jdcloud": (jdcloud, "https://sts.jdcloud-api.com/v1/sessionToken%3AassumeRole"),
}
"""Cloud -> what signs there, and where it asks unless something else is configured."""


@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_role_is_asked_for_at_the_vendors_own_address(cloud: str) -> None:
    (module, url), kind, clock = VENDORS[cloud], KINDS[cloud], FakeClock()
    account = kind.account(identity_endpoint=kind.facts.identity_endpoint)
    asked = Asked(account, Around({}, Path("/nowhere")), Wire(account, clock, Metrics()), clock)
    request = module._sign(asked, Keys("id-1", "secret-1", "token-1"), kind.role(), START)
    assert (request.method, request.url.partition("?")[0]) == ("POST", url)
    assert "secret-1" not in f"{request.url} {request.headers} {request.body!r}"
    assert {name.lower(): value for name, value in request.headers.items()}["host"] == url.split("/")[2]


@every_cloud
@pytest.mark.parametrize("source", ["env", "chain"])
async def test_a_role_is_taken_with_the_keys_that_a_source_finds(cloud: str, source: str) -> None:
    environ = dict(zip(KINDS[cloud].variables, (REHEARSAL_KEY.secret_id, REHEARSAL_KEY.secret_key), strict=True))
    async with role_scene(cloud, source=source, around=Around(environ, Path("/nowhere"))) as scene:
        assert await scene.looks()
        assert await scene.looks()
    assert (scene.taken(), scene.gate.classes) == (1, ["ok", "ok"])


@every_cloud
async def test_a_source_without_keys_takes_no_role(cloud: str) -> None:
    async with role_scene(cloud, source="env") as scene:
        with pytest.raises(Refused, match="the environment has no") as caught:
            await scene.credentials.get()
    assert (caught.value.answer.klass, scene.taken()) == ("auth", 0)


@pytest.mark.parametrize(("encoding", "requests"), [("base64", 1), ("raw", 2)])
async def test_jdclouds_other_way_to_write_a_token_is_tried_before_the_role_is_taken_again(
    encoding: str, requests: int
) -> None:
    async with role_scene("jdcloud", session_encoding=encoding) as scene:
        assert await scene.looks()
        assert (scene.taken(), scene.server.requests.asked("describeImages")) == (1, requests)


# --- secrets -------------------------------------------------------------------------------------------------------


@every_cloud
async def test_no_secret_is_in_an_error_a_log_or_a_repr(cloud: str) -> None:
    faults = [
        {"role": {"name": KINDS[cloud].facts.role.example + "2", "external_id": EXTERNAL_ID}},
        {"role": {"external_id": EXTERNAL_ID}},
    ]
    told: list[str] = []
    hidden = {REHEARSAL_KEY.secret_key, EXTERNAL_ID}
    with capture_logs() as lines:
        for fault in faults:
            async with role_scene(cloud, **fault) as scene:
                for step in (scene.credentials.get, scene.looks, scene.looks):
                    told += await _said(step)
                    scene.end_sessions()
                    scene.server.misbehave(_away(scene.kind.assume, count=1))
                told += [repr(each) for each in (asked(scene), scene.account, scene.account.credentials.role)]
                hidden |= {key.secret_key for key in scene.server.world.sessions}
                hidden |= {key.token for key in scene.server.world.sessions}
    everything = "\n".join((*told, *map(repr, lines)))
    assert len(hidden) >= 4
    assert [secret for secret in hidden - {""} if secret in everything] == []


async def test_base_keys_are_hidden_too_and_what_was_replaced_is_forgotten() -> None:
    async with role_scene("tencent", role={"duration": 3600.0}) as scene:
        first = await scene.credentials.get()
        assert scrub(f"{REHEARSAL_KEY.secret_key} {first.secret} {first.token}") == "[redacted] [redacted] [redacted]"
        scene.clock.jump(3500)
        await scene.credentials.get()
        assert scrub(f"{first.secret} {first.token}") == f"{first.secret} {first.token}"
        assert scrub(REHEARSAL_KEY.secret_key) == "[redacted]"


async def test_where_no_way_to_take_a_role_is_known_the_keys_are_not_used_without_it() -> None:
    async with role_scene("tencent") as scene:
        scene.credentials._assume = None
        with pytest.raises(Refused, match="roles cannot be taken at tencent"):
            await scene.credentials.get()


def asked(scene: Scene) -> Asked:
    return scene.credentials._asked


def _away(action: str, fault: Any = "status", **more: Any) -> Misbehaviour:
    given = {"status": 503, **more} if fault == "status" else more
    return Misbehaviour(fault=fault, action=action, **given)


async def _said(step: Callable[[], Awaitable[object]]) -> list[str]:
    """What a step that may fail says of it, its causes and frames included."""
    try:
        await step()
    except Refused as refused:
        return ["".join(traceback.format_exception(refused)), repr(refused), repr(refused.answer)]
    return []
