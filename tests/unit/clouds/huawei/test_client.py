from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.clouds.credentials import Around
from imageferry.clouds.huawei.adapter import APIS, HuaweiCloud, build
from imageferry.clouds.huawei.endpoints import identity, tokens
from imageferry.clouds.huawei.facts import FACTS
from imageferry.core.account import CredentialSpec, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.gates import OpenGate, RecordingPermit
from support.huawei_rehearsals import NOBODY, OTHER_REGION, PROJECT, REGION, image
from support.huawei_stages import KEYS, NOWHERE, huawei_account, new_job, staged
from support.sockets import Peer, listening

WRONG = CredentialSpec(source="static", values={**KEYS, "sk": "wrong-key-1"}, projects={REGION: PROJECT})
UNKNOWN = CredentialSpec(source="static", values=KEYS)
"""No project's id is configured."""


def temporary(token: str, **more: Any) -> dict[str, Any]:
    return {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": token, **more}


async def test_the_region_goes_into_the_endpoint_and_the_path_of_the_endpoint_is_kept() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b'HTTP/1.1 200 OK\r\ncontent-length: 14\r\n\r\n{"images": []}')

    async with listening(answering) as server:
        port = server.url.rpartition(":")[2]
        spec = CredentialSpec(source="static", values=KEYS, projects={"127.0.0.1": "project-1"})
        account = huawei_account(endpoint=f"http://{{region}}:{port}/gateway/", credentials=spec)
        cloud = HuaweiCloud(account, OpenGate(), FakeClock(), Metrics(), NOWHERE)
        await cloud.look("127.0.0.1", ["生产 1"])
        await cloud.aclose()
    head = server.requests[0].decode().lower()
    assert head.startswith("get /gateway/v2/cloudimages?id=%e7%94%9f%e4%ba%a7%201 http/1.1\r\n")
    assert f"host: 127.0.0.1:{port}\r\n" in head
    assert "x-project-id: project-1\r\n" in head
    assert "signedheaders=content-type;host;x-project-id;x-sdk-date," in head


async def test_the_builder_makes_an_adapter_of_the_account() -> None:
    cloud = build(huawei_account(), OpenGate(), FakeClock(), Metrics())
    await cloud.aclose()
    assert (cloud.account, cloud.facts) == ("prod", FACTS)


@pytest.mark.parametrize("signs", [["host", "x-sdk-date"], ["content-type", "host", "x-project-id", "x-sdk-date"]])
async def test_every_header_that_the_gateway_may_want_is_signed(signs: list[str]) -> None:
    async with staged(headers_to_sign=signs, project_header_needed=True) as stage:
        assert (await stage.image(image(stage.server))).state == "ready"


async def test_a_token_is_sent_and_signed() -> None:
    environ = {
        "HUAWEICLOUD_SDK_AK": KEYS["ak"],
        "HUAWEICLOUD_SDK_SK": KEYS["sk"],
        "HUAWEICLOUD_SDK_SECURITY_TOKEN": "token-1",
    }
    around = Around(environ, NOWHERE.home)
    spec = CredentialSpec(source="env", projects={REGION: PROJECT})
    signs = ["host", "x-sdk-date", "x-security-token"]
    async with staged(
        account={"credentials": spec}, around=around, keys=[temporary("token-1")], headers_to_sign=signs
    ) as stage:
        assert (await stage.image(image(stage.server))).state == "ready"


# --- keys and clocks -----------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_refused_once_and_not_tried_again() -> None:
    async with staged(account={"credentials": WRONG}) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
        assert stage.asked("ListImages") == 1
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code, stage.gate.classes) == ("auth", "APIGW.0301", ["auth"])
    assert "wrong-key-1" not in str(caught.value)
    assert "canonicalRequest" not in str(caught.value)


async def test_a_locked_key_is_not_tried_again_though_the_clock_is_off_too() -> None:
    async with staged(account={"credentials": WRONG}, bad_signatures_most=1) as stage:
        for _ in range(2):
            with pytest.raises(Refused):
                await stage.cloud.look(REGION, [NOBODY])
        stage.server.change({"clock_skew_seconds": 200.0})
        before = stage.asked("ListImages")
        with pytest.raises(Refused, match="reach the limit") as caught:
            await stage.cloud.look(REGION, [NOBODY])
        assert (stage.asked("ListImages") - before, caught.value.answer.klass) == (1, "auth")


@pytest.mark.parametrize("words", ["signature expired", "verify aksk signature fail"])
@pytest.mark.parametrize("skew", [1000.0, -1000.0])
async def test_a_clock_that_is_off_is_put_right_once_and_learned(skew: float, words: str) -> None:
    async with staged(clock_skew_seconds=skew, skew_words=words) as stage:
        image_id = image(stage.server)
        assert (await stage.image(image_id)).state == "ready"
        assert (stage.asked("ListImages"), stage.gate.classes) == (2, ["retry", "ok"])
        assert abs(stage.cloud.vendor_time(START) - START - skew * SECOND) <= SECOND
        await stage.image(image_id)
        assert stage.asked("ListImages") == 3


async def test_a_submit_with_a_clock_that_is_off_asks_the_gate_for_its_second_try() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.server.change({"clock_skew_seconds": 1000.0})
        stage.gate.entered.clear()
        assert isinstance(await stage.submit(job), Accepted)
        assert stage.gate.entered == [(REGION, "export")]
    assert (stage.permit.answer and stage.permit.answer.klass, stage.gate.classes[-1]) == ("retry", "ok")


async def test_a_submit_whose_second_try_finds_the_account_closed_is_refused_and_never_raises() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        job = await stage.export()
        stage.server.change({"clock_skew_seconds": 1000.0})
        answer = await stage.refused(job)
    assert (answer.klass, answer.vendor_code) == ("auth", "APIGW.0301")


@pytest.mark.parametrize("changed", [KEYS["ak"], "another-key"])
async def test_keys_that_were_replaced_are_read_anew_once(tmp_path: Path, changed: str) -> None:
    def write(ak: str, token: str) -> None:
        (tmp_path / "keys").write_text(f"[basic]\nak = {ak}\nsk = {KEYS['sk']}\nsecurity_token = {token}\n")

    key = {**temporary("token-2"), "secret_id": changed}
    write(KEYS["ak"], "token-1")
    spec = CredentialSpec(source="file", path=str(tmp_path / "keys"), projects={REGION: PROJECT})
    async with staged(account={"credentials": spec}, keys=[key]) as stage:
        with pytest.raises(Refused, match="APIGW"):
            await stage.cloud.look(REGION, [NOBODY])
        assert stage.gate.classes == ["auth"]
        write(changed, "token-2")
        assert (await stage.image(image(stage.server))).state == "ready"
    assert stage.gate.classes == ["auth", "retry", "ok"]


@pytest.mark.parametrize("code", ["IAM.0082", "APIGW.0302", "IMG.0238"])
async def test_what_the_keys_may_not_do_is_not_asked_for_again(code: str) -> None:
    async with staged(denied={"ListImages": code}) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
        assert (caught.value.answer.klass, caught.value.answer.vendor_code) == ("auth", code)
        assert stage.asked("ListImages") == 1


async def test_without_keys_nothing_is_sent_and_the_account_is_to_blame() -> None:
    async with staged() as stage:
        job = await stage.export()
        account = huawei_account(credentials=CredentialSpec(source="env", projects={REGION: PROJECT}))
        cloud = HuaweiCloud(account, OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("auth", answer)


async def test_a_cloud_that_is_not_there_was_sent_nothing() -> None:
    async with staged() as stage:
        job = await stage.export()
        cloud = HuaweiCloud(huawei_account(), OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("never_sent", answer)


# --- projects ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_prefix", [True, False])
async def test_a_project_is_found_out_once_and_kept(*, by_prefix: bool) -> None:
    options = {"projects": {f"{REGION}_team": "7" * 32}, "projects_by_prefix": by_prefix}
    async with staged(account={"credentials": UNKNOWN}, project_header_needed=True, **options) as stage:
        image_id = image(stage.server)
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(stage.image, image_id)
        assert (stage.asked("KeystoneListProjects"), stage.asked("ListImages")) == (1, 5)
        assert stage.gate.entered[0] == (REGION, "read")


async def test_a_configured_project_is_not_asked_for() -> None:
    async with staged() as stage:
        await stage.image(image(stage.server))
        assert stage.asked("KeystoneListProjects") == 0


async def test_a_project_that_is_not_there_says_what_to_write() -> None:
    async with staged(account={"credentials": UNKNOWN}, projects_listed=False) as stage:
        with pytest.raises(Refused, match=f"no project named {REGION} .* credentials.projects") as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert (caught.value.answer.klass, stage.gate.classes) == ("permanent_config", ["ok"])


async def test_keys_that_may_not_list_projects_say_what_to_do() -> None:
    async with staged(account={"credentials": UNKNOWN}, denied={"KeystoneListProjects": "IAM.0082"}) as stage:
        with pytest.raises(Refused, match="grant iam:projects:listProjects, or write the project's id") as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["auth"])


async def test_an_identity_service_that_has_no_such_path_makes_no_image_gone() -> None:
    async with staged(account={"credentials": UNKNOWN}) as stage:
        stage.misbehave("status", "KeystoneListProjects", status=404)
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert caught.value.answer.klass == "permanent_config"


@pytest.mark.parametrize("action", ["export", "copy"])
async def test_a_submit_finds_its_project_out_first_with_permits_of_its_own(action: str) -> None:
    async with staged() as known, staged(account={"credentials": UNKNOWN}) as stage:
        made = await (known.export() if action == "export" else known.copy())
        image(stage.server, image_id=made.image_id)
        assert isinstance(await stage.submit(made), Accepted)
        assert stage.gate.entered == [(REGION, "read"), (REGION, action)]
    assert stage.permit.answer == Answer("never_sent", "the project's id is not known yet")


@pytest.mark.parametrize(
    ("fault", "klass"),
    [
        ({"fault": "status", "status": 503}, "never_sent"),
        ({"fault": "throttle"}, "never_sent"),
        ({"fault": "drop"}, "never_sent"),
        ({"fault": "code", "code": "IAM.0082"}, "auth"),
    ],
)
async def test_a_submit_whose_project_is_not_told_was_not_sent(fault: dict[str, Any], klass: str) -> None:
    async with staged(account={"credentials": UNKNOWN}) as stage:
        job = stage.ready(
            new_job("export", NOBODY, "archive-north"), Image(place=new_job("export", "", "").place, id=NOBODY)
        )
        stage.misbehave(action="KeystoneListProjects", **fault)
        answer = await stage.refused(job)
        assert (answer.klass, stage.asked("ExportImage")) == (klass, 0)


async def test_a_submit_of_a_closed_account_that_needs_its_project_was_not_sent() -> None:
    async with staged(gate=OpenGate(closed_after=0), account={"credentials": UNKNOWN}) as stage:
        job = stage.ready(
            new_job("export", NOBODY, "archive-north"), Image(place=new_job("export", "", "").place, id=NOBODY)
        )
        assert (await stage.refused(job)).klass == "never_sent"


async def test_a_region_that_does_not_answer_holds_up_no_other() -> None:
    async with staged(account={"credentials": UNKNOWN, "timeouts": Timeouts(request=1.5)}) as stage:
        there = image(stage.server, region=OTHER_REGION)
        stage.misbehave("hang", "KeystoneListProjects", count=1)
        ended: list[str] = []

        async def hang() -> None:
            with pytest.raises(Refused):
                await stage.cloud.look(REGION, [NOBODY])
            ended.append(REGION)

        async with anyio.create_task_group() as group:
            group.start_soon(hang)
            while not stage.asked("KeystoneListProjects"):
                await anyio.lowlevel.checkpoint()
            await stage.image(there, OTHER_REGION)
            ended.append(OTHER_REGION)
    assert ended == [OTHER_REGION, REGION]


@pytest.mark.parametrize(
    ("region", "iam", "sts"),
    [
        ("cn-north-4", "https://iam.cn-north-4.myhuaweicloud.com", "https://sts.cn-north-4.myhuaweicloud.com"),
        ("cn-north-9", "https://iam.cn-north-9.myhuaweicloud.com", "https://sts.cn-north-4.myhuaweicloud.com"),
        ("af-north-1", "https://iam.myhuaweicloud.com", "https://sts.cn-north-4.myhuaweicloud.com"),
        ("eu-west-101", "https://iam.myhuaweicloud.eu", "https://sts.cn-north-4.myhuaweicloud.com"),
    ],
)
def test_a_region_without_identity_hosts_of_its_own_is_served_by_another(region: str, iam: str, sts: str) -> None:
    account = huawei_account(identity_endpoint=FACTS.identity_endpoint)
    assert (identity(account, region), tokens(account, region, {})) == (iam, sts)


def test_a_configured_identity_endpoint_serves_everything() -> None:
    account = huawei_account(identity_endpoint="https://id.{region}.example.com/")
    environ = {"HUAWEICLOUD_SDK_STS_ENDPOINT": "https://sts.example.com"}
    expected = "https://id.af-north-1.example.com"
    assert (identity(account, "af-north-1"), tokens(account, "af-north-1", environ)) == (expected, expected)


def test_an_environment_may_say_where_tokens_come_from() -> None:
    account = huawei_account(identity_endpoint=FACTS.identity_endpoint)
    environ = {"HUAWEICLOUD_SDK_STS_ENDPOINT": "https://sts.example.com"}
    assert tokens(account, REGION, environ) == "https://sts.example.com"


# --- metrics -------------------------------------------------------------------------------------------------------


async def test_requests_are_counted_under_the_names_that_are_preset() -> None:
    async with staged(account={"credentials": UNKNOWN}, job_paths=["project"]) as stage:
        job = await stage.running(await stage.export())
        await stage.running(await stage.copy())
        await stage.follow(job, overdue=True)
        families = [f for f in stage.metrics.registry.collect() if f.name == "imageferry_requests"]
        apis = {sample.labels["api"] for family in families for sample in family.samples}
    assert apis == set(APIS)


async def test_forty_submits_at_once_are_all_accepted() -> None:
    async with staged(exports_running=None, image_quota=None) as stage:
        jobs = [await stage.export(image(stage.server)) for _ in range(40)]
        accepted: list[object] = []

        async def submit(job: Any) -> None:
            accepted.append(await stage.cloud.submit(job, RecordingPermit()))

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(submit, job)
    assert sum(isinstance(each, Accepted) for each in accepted) == 40


async def test_a_closed_account_is_never_asked_for_its_projects() -> None:
    async with staged(gate=OpenGate(closed_after=0), account={"credentials": UNKNOWN}) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.look(REGION, [NOBODY])
        assert stage.asked("KeystoneListProjects") == 0


def test_the_rehearsals_project_is_the_stages() -> None:
    assert HuaweiOptions().project_id(REGION) == PROJECT
