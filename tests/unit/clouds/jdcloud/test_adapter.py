from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.clouds.credentials import Around
from imageferry.clouds.jdcloud.adapter import APIS, JdCloud, build
from imageferry.clouds.jdcloud.events import sightings
from imageferry.clouds.registry import APIS as REGISTERED
from imageferry.clouds.registry import CLOUDS, READERS
from imageferry.core.account import CredentialSpec, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image
from imageferry.core.job import Job
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted, Following, Gone
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.clocks import START, FakeClock
from support.gates import OpenGate, RecordingPermit
from support.jdcloud_rehearsals import OTHER_REGION, REGION, image
from support.jdcloud_stages import NOWHERE, PLACE, jdcloud_account, staged
from support.sockets import Peer, listening

WRONG = {"access_key": REHEARSAL_KEY.secret_id, "secret_key": "wrong-key-1"}
TOKEN_KEYS = {
    "access_key": REHEARSAL_KEY.secret_id,
    "secret_key": REHEARSAL_KEY.secret_key,
    "session_token": "token/+=1",
}
TOKEN_SPEC = CredentialSpec(source="static", values=TOKEN_KEYS)
TOKEN_KEY = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": "token/+=1"}


# --- what it is ----------------------------------------------------------------------------------------------------


def test_the_registry_has_it_and_its_reader() -> None:
    assert (CLOUDS["jdcloud"], REGISTERED["jdcloud"], sightings in READERS) == (build, APIS, True)


@pytest.mark.parametrize(
    ("endpoint", "scope"), [("https://vm.example.com", "*"), ("http://vm.internal.{region}.example.com", REGION)]
)
async def test_an_endpoint_with_a_region_makes_a_lane_of_each(endpoint: str, scope: str) -> None:
    cloud = build(jdcloud_account(endpoint), OpenGate(), FakeClock(), Metrics())
    assert cloud.scope(REGION, "export") == scope
    await cloud.aclose()


async def test_a_request_goes_to_the_regions_host_under_the_endpoints_path_and_is_signed_for_vm() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b'HTTP/1.1 200 OK\r\ncontent-length: 26\r\n\r\n{"result": {"images": []}}')

    async with listening(answering) as server:
        port = server.url.rpartition(":")[2]
        account = jdcloud_account(endpoint=f"http://{{region}}:{port}/gate%20way")
        cloud = JdCloud(account, OpenGate(), FakeClock(), Metrics(), NOWHERE, nonce=lambda: "nonce-1")
        await cloud.look("127.0.0.1", ["img-1"])
        await cloud.aclose()
    head = server.requests[0].decode().lower()
    assert head.startswith("get /gate%20way/v1/regions/127.0.0.1/images?ids.1=img-1&pagenumber=1&pagesize=100 http/1.1")
    assert f"host: 127.0.0.1:{port}\r\n" in head
    assert "x-jdcloud-date: 20260101t000000z\r\nx-jdcloud-nonce: nonce-1\r\n" in head
    assert "/20260101/127.0.0.1/vm/jdcloud2_request, " in head
    assert "signedheaders=content-type;host;x-jdcloud-date;x-jdcloud-nonce, " in head


# --- looking -------------------------------------------------------------------------------------------------------


async def test_an_image_is_read_with_every_fact() -> None:
    async with staged() as stage:
        image_id = image(
            stage.server, name="web-1", size_gib=50, data_disks_gib=(10,), created_at=START - 3600 * SECOND
        )
        seen = await stage.image(image_id)
    assert seen == Image(
        place=PLACE,
        id=image_id,
        name="web-1",
        os="linux",
        os_name="Ubuntu 22.04",
        arch="x86_64",
        size_gib=50,
        state="ready",
        visibility="private",
        encrypted=False,
        tags={},
        created_at=START - 3600 * SECOND,
        extra={"data_disks": 1, "root_device": "cloudDisk", "imported": False},
    )


@pytest.mark.parametrize(
    ("facts", "name", "value"),
    [
        ({"platform": "Windows", "os_name": "Windows Server 2019"}, "os", "windows"),
        ({"platform": "Windows", "os_name": "Windows Server 2019"}, "os_name", "Windows Server 2019"),
        ({"architecture": "aarch64"}, "arch", "aarch64"),
        ({"architecture": "i386"}, "arch", "i386"),
        ({"architecture": "riscv"}, "arch", "other"),
        ({"image_type": "PUBLIC_IMAGE"}, "visibility", "public"),
        ({"image_type": "SHARED_IMAGE"}, "visibility", "shared"),
        ({"image_type": "MARKET_IMAGE"}, "visibility", "market"),
        ({"extra": {"community": True}}, "visibility", "public"),
        ({"ready_seconds": 60.0}, "state", "pending"),
        ({"fails": True}, "state", "failed"),
        ({"extra": {"deleting": True}}, "state", "gone"),
        ({"encrypted": True}, "encrypted", True),
        ({"extra": {"root_device": "localDisk"}, "without_snapshots": True}, "encrypted", None),
    ],
)
async def test_a_vendors_word_becomes_the_common_one(facts: dict[str, Any], name: str, value: object) -> None:
    async with staged() as stage:
        seen = await stage.image(image(stage.server, **facts))
    assert getattr(seen, name) == value


@pytest.mark.parametrize(("shown", "told"), [("encrypted", True), ("encrypt", True), ("absent", None)])
async def test_encryption_is_read_under_both_names_and_stays_unknown_where_nothing_is_said(
    shown: str, told: object
) -> None:
    async with staged(shows_encrypted=shown) as stage:
        assert (await stage.image(image(stage.server, encrypted=True))).encrypted is told


async def test_an_api_that_is_too_old_to_tell_imports_leaves_that_unknown() -> None:
    async with staged(shows_imported=False) as stage:
        assert "imported" not in (await stage.image(image(stage.server))).extra


async def test_a_status_that_nobody_knows_is_not_ready_yet() -> None:
    async with staged(pending_word="dreaming") as stage:
        assert (await stage.image(image(stage.server, ready_seconds=60.0))).state == "pending"


@pytest.mark.parametrize("cuts", [True, False])
async def test_a_hundred_images_are_two_requests_that_no_page_cuts_off(cuts: bool) -> None:  # noqa: FBT001 - a parameter of a test
    async with staged(limit_cuts_ids=cuts) as stage:
        ids = [image(stage.server) for _ in range(100)]
        found = await stage.cloud.look(REGION, ids)
        assert all(isinstance(found[each], Image) for each in ids)
        assert (stage.asked("describeImages"), stage.gate.classes) == (2, ["ok", "ok"])


async def test_an_unknown_id_that_is_left_out_is_gone() -> None:
    async with staged(unknown_ids="empty") as stage:
        known = image(stage.server)
        found = await stage.cloud.look(REGION, [known, "img-unknown1"])
        assert found["img-unknown1"] == Gone(f"the cloud does not have img-unknown1 in {REGION}")
        assert isinstance(found[known], Image)
        assert stage.asked("describeImages") == 1


async def test_three_unknown_ids_do_not_poison_a_hundred_and_cost_a_handful() -> None:
    async with staged(unknown_ids="error") as stage:
        known = [image(stage.server) for _ in range(97)]
        unknown = ["img-unknown1", "img-unknown2", "not an id at all"]
        found = await stage.cloud.look(REGION, [*known[:20], *unknown, *known[20:]])
        assert [each for each in found if isinstance(found[each], Gone)] == unknown
        assert all(isinstance(found[each], Image) for each in known)
        assert stage.asked("describeImages") == 1 + 1 + 3 + 1


async def test_unknown_ids_are_kept_out_of_later_batches_for_a_while() -> None:
    async with staged(unknown_ids="error") as stage:
        ids = [image(stage.server) for _ in range(20)] + ["img-unknown1"]
        await stage.cloud.look(REGION, ids)
        before = stage.asked("describeImages")
        found = await stage.cloud.look(REGION, ids)
        assert isinstance(found["img-unknown1"], Gone)
        assert stage.asked("describeImages") - before == 2
        stage.clock.jump(601)
        await stage.cloud.look(REGION, ids)
        assert stage.asked("describeImages") - before > 4


async def test_an_id_that_was_unknown_and_appears_is_seen() -> None:
    async with staged(unknown_ids="error") as stage:
        await stage.cloud.look(REGION, ["img-00000001"])
        image(stage.server, image_id="img-00000001")
        assert (await stage.image("img-00000001")).state == "ready"


async def test_images_of_others_are_found_in_a_poisoned_batch_too() -> None:
    async with staged(unknown_ids="error") as stage:
        known = [image(stage.server, image_type="PUBLIC_IMAGE") for _ in range(20)]
        found = await stage.cloud.look(REGION, [*known, "img-unknown1"])
        assert all(isinstance(found[each], Image) for each in known)
        assert isinstance(found["img-unknown1"], Gone)


async def test_an_answer_to_ids_that_comes_in_pages_is_read_whole() -> None:
    rows = [{"imageId": f"img-{n}", "status": "ready"} for n in range(3)]

    async def answering(peer: Peer) -> None:
        while (asked := await peer.request()) is not None:
            page = int(asked.partition(b"pageNumber=")[2][:1])
            body = json.dumps({"result": {"images": rows[page - 1 : page], "totalCount": 3}}).encode()
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with listening(answering) as server:
        cloud = JdCloud(jdcloud_account(server.url), OpenGate(), FakeClock(), Metrics(), NOWHERE)
        found = await cloud.look(REGION, ["img-0", "img-1", "img-2"])
        await cloud.aclose()
    assert [look.id for look in found.values() if isinstance(look, Image)] == ["img-0", "img-1", "img-2"]


async def test_a_region_that_is_refused_makes_no_image_gone() -> None:
    async with staged() as stage:
        with pytest.raises(Refused, match="Invalid region 'mars'"):
            await stage.cloud.look("mars", ["img-1", "img-2"])


@pytest.mark.parametrize("with_status_200", [True, False])
async def test_a_look_that_is_refused_raises_the_answer_whatever_its_http_status(with_status_200: bool) -> None:  # noqa: FBT001 - a parameter of a test
    async with staged(errors_with_status_200=with_status_200, retry_after_seconds=7) as stage:
        stage.misbehave("throttle", "describeImages")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code, answer.retry_after) == ("throttled", "RATE_LIMIT", 7.0)
    assert answer.request_id
    assert stage.gate.classes == ["throttled"]


@pytest.mark.parametrize(
    ("fault", "klass"),
    [({"fault": "status"}, "retry"), ({"fault": "garbage"}, "retry"), ({"fault": "drop"}, "unanswered")],
)
async def test_a_look_without_a_readable_answer_is_told_apart(fault: dict[str, Any], klass: str) -> None:
    async with staged() as stage:
        stage.misbehave(action="describeImages", **fault)
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
    assert (caught.value.answer.klass, stage.gate.classes) == (klass, [klass])


async def test_a_closed_account_is_not_asked() -> None:
    async with staged(gate=OpenGate(closed_after=0)) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.asked("describeImages") == 0


# --- who asks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", ["access_error", "apigw"])
async def test_a_wrong_key_is_refused_once_and_not_tried_again(codes: str) -> None:
    async with staged(
        account={"credentials": CredentialSpec(source="static", values=WRONG)}, gateway_codes=codes
    ) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.server.requests.outcomes.total() == 1
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["auth"])
    assert "wrong-key-1" not in str(caught.value)


@pytest.mark.parametrize("status", ["PERMISSION_DENIED", "APIGW_MFA_FAIL", "APIGW_ROLE_NO_TRUST"])
async def test_what_a_key_may_not_do_is_not_tried_again(status: str) -> None:
    async with staged(
        denied={"describeImages": status}, account={"credentials": TOKEN_SPEC}, keys=[TOKEN_KEY]
    ) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.asked("describeImages") == 1
    assert (caught.value.answer.klass, caught.value.answer.vendor_code) == ("auth", status)


@pytest.mark.parametrize("skew", [1000.0, -1000.0])
async def test_a_clock_that_is_off_is_put_right_once_and_learned(skew: float) -> None:
    async with staged(clock_skew_seconds=skew) as stage:
        image_id = image(stage.server)
        assert (await stage.image(image_id)).state == "ready"
        assert (stage.asked("describeImages"), stage.gate.classes) == (2, ["retry", "ok"])
        assert abs(stage.cloud.vendor_time(START) - START - skew * SECOND) <= SECOND
        await stage.image(image_id)
        assert stage.asked("describeImages") == 3


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
    assert (answer.klass, answer.vendor_code) == ("auth", "ACCESS_ERROR")


async def test_a_nonce_that_was_used_is_replaced_at_once() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        numbers = iter([1, 1, 2])
        cloud = JdCloud(
            jdcloud_account(stage.cloud._client._endpoint),
            stage.gate,
            stage.clock,
            Metrics(),
            NOWHERE,
            nonce=lambda: next(numbers),
        )
        await cloud.look(REGION, [image_id])
        found = await cloud.look(REGION, [image_id])
        await cloud.aclose()
    assert isinstance(found[image_id], Image)
    assert stage.gate.classes == ["ok", "retry", "ok"]


@pytest.mark.parametrize(("encoding", "requests"), [("base64", 1), ("either", 1), ("raw", 2)])
async def test_a_token_is_taken_in_either_encoding_and_the_right_one_is_remembered(
    encoding: str, requests: int
) -> None:
    async with staged(account={"credentials": TOKEN_SPEC}, keys=[TOKEN_KEY], session_encoding=encoding) as stage:
        image_id = image(stage.server)
        await stage.image(image_id)
        assert stage.asked("describeImages") == requests
        await stage.image(image_id)
        assert stage.asked("describeImages") == requests + 1


async def test_many_who_ask_at_once_settle_on_one_encoding() -> None:
    async with staged(account={"credentials": TOKEN_SPEC}, keys=[TOKEN_KEY], session_encoding="raw") as stage:
        image_id = image(stage.server)
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(stage.image, image_id)
        assert stage.gate.classes.count("ok") == 8


async def test_a_token_that_is_wrong_costs_two_requests() -> None:
    wrong = {**TOKEN_KEYS, "session_token": "wrong-token"}
    spec = CredentialSpec(source="static", values=wrong)
    async with staged(account={"credentials": spec}, keys=[TOKEN_KEY]) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["retry", "auth"])


async def test_an_old_token_is_replaced_once(tmp_path: Path) -> None:
    def write(token: str) -> None:
        words = f"access_key = {REHEARSAL_KEY.secret_id}\nsecret_key = {REHEARSAL_KEY.secret_key}\n"
        (tmp_path / "config").write_text(f"[default]\n{words}session_token = {token}\n")

    spec = CredentialSpec(source="file", path=str(tmp_path / "config"))
    around = Around({}, tmp_path)
    write("token-1")
    async with staged(account={"credentials": spec}, around=around, keys=[{**TOKEN_KEY, "token": "token-1"}]) as stage:
        image_id = image(stage.server)
        await stage.image(image_id)
        stage.server.change({"keys": [{**TOKEN_KEY, "token": "token-2"}]})
        write("token-2")
        assert (await stage.image(image_id)).state == "ready"
    assert stage.gate.classes == ["ok", "retry", "ok"]


async def test_the_newer_algorithm_is_taken_where_it_is_chosen() -> None:
    async with staged(algorithms=["JDCLOUD3"]) as stage:
        image_id = image(stage.server)
        account = jdcloud_account(stage.cloud._client._endpoint, switches={"signature": "jdcloud3"})
        cloud = JdCloud(account, stage.gate, stage.clock, Metrics(), NOWHERE)
        found = await cloud.look(REGION, [image_id])
        await cloud.aclose()
    assert isinstance(found[image_id], Image)


async def test_without_keys_nothing_is_sent_and_the_account_is_to_blame() -> None:
    async with staged() as stage:
        job = await stage.export()
        account = jdcloud_account(credentials=CredentialSpec(source="env"))
        cloud = JdCloud(account, OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("auth", answer)


# --- submitting, whatever it is ------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["export", "copy"])
@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
@pytest.mark.parametrize("work", ["none", "done"])
async def test_a_submit_without_a_readable_answer_is_unanswered_and_sent_once(
    action: str, fault: str, work: str
) -> None:
    async with staged() as stage:
        job = await (stage.export() if action == "export" else stage.copy())
        api = "exportImage" if action == "export" else "copyImages"
        stage.misbehave(fault, api, work=work)
        answer = await stage.refused(job)
        assert (answer.klass, stage.asked(api)) == ("unanswered", 1)
        assert len(stage.server.tasks) == (work == "done")


async def test_a_submit_that_hangs_is_unanswered_at_the_deadline() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("hang")
        account = jdcloud_account(stage.cloud._client._endpoint, timeouts=Timeouts(request=1.0))
        cloud = JdCloud(account, OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("unanswered", answer)


@pytest.mark.parametrize(("status", "klass"), [(408, "retry"), (413, "permanent_config"), (429, "throttled")])
async def test_a_page_for_people_goes_by_its_http_status(status: int, klass: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("status", status=status)
        assert (await stage.refused(job)).klass == klass


async def test_a_cloud_that_is_not_there_was_sent_nothing() -> None:
    async with staged() as stage:
        job = await stage.export()
        cloud = JdCloud(jdcloud_account(), OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("never_sent", answer)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("retry-after: 12", 12.0),
        ("retry-after: 99999999999", 3600.0),
        ("date: Thu, 01 Jan 2026 00:00:00 GMT\r\nretry-after: Thu, 01 Jan 2026 00:01:30 GMT", 90.0),
        ("retry-after: soon", None),
        ("x-nothing: 1", None),
    ],
)
async def test_how_long_to_wait_is_read_however_it_is_written(header: str, seconds: float | None) -> None:
    body = b'{"requestId": "r-1", "error": {"code": 429, "status": "RATE_LIMIT", "message": "slowly"}}'

    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            head = f"HTTP/1.1 429 Too Many\r\n{header}\r\ncontent-length: {len(body)}\r\n\r\n"
            await peer.answer(head.encode() + body)

    async with listening(answering) as server:
        cloud = JdCloud(jdcloud_account(server.url), OpenGate(), FakeClock(), Metrics(), NOWHERE)
        with pytest.raises(Refused) as caught:
            await cloud.look(REGION, ["img-1"])
        await cloud.aclose()
    assert caught.value.answer == Answer("throttled", "slowly", "RATE_LIMIT", "r-1", retry_after=seconds)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"result": null}',
        b'{"result": []}',
        b'{"result": {"taskId": null}}',
        b'{"result": {}, "error": {"code": 0, "status": "", "message": ""}}',
        b'{"result": {"taskId": "1"}, "error": null, "x": ' + b"[" * 100_000,
    ],
)
async def test_a_success_that_names_no_task_is_unanswered(body: bytes) -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))

    async with staged() as stage, listening(answering) as server:
        job = await stage.export()
        cloud = JdCloud(jdcloud_account(server.url), OpenGate(), stage.clock, Metrics(), NOWHERE)
        answer = await cloud.submit(job, RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert answer.klass == "unanswered"


# --- refusals that explain nothing ---------------------------------------------------------------------------------


async def test_an_unexplained_refusal_waits_three_times_ten_minutes_apart_and_is_then_for_a_person() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code="FAILED_PRECONDITION", message="the moon is full")
        answers = []
        for _ in range(4):
            answers.append(await stage.refused(job))
            stage.clock.jump(600)
    assert [(each.klass, each.retry_after) for each in answers] == [("wait_image", 600.0)] * 3 + [
        ("permanent_config", None)
    ]
    assert answers[3].message == "the moon is full; said 4 times"
    assert all(each.vendor_code == "FAILED_PRECONDITION" and each.request_id for each in answers)


async def test_an_unexplained_refusal_that_is_asked_about_too_soon_does_not_count() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code="FAILED_PRECONDITION", message="the moon is full")
        await stage.refused(job)
        answers = []
        for _ in range(5):
            stage.clock.jump(100)
            answers.append(await stage.refused(job))
    assert [each.retry_after for each in answers] == [500.0, 400.0, 300.0, 200.0, 100.0]


async def test_an_unexplained_refusal_of_an_image_that_is_not_ready_waits_for_the_image() -> None:
    async with staged() as stage:
        job = await stage.export()
        image(stage.server, image_id=job.image_id, ready_seconds=60.0)
        stage.misbehave("code", code="FAILED_PRECONDITION", message="the moon is full")
        answer = await stage.refused(job)
    assert (answer.klass, answer.message) == ("wait_image", "the moon is full; the image is not ready")


async def test_an_unexplained_refusal_of_an_image_that_is_gone_is_about_the_image() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.server.remove_image(REGION, job.image_id)
        stage.misbehave("code", code="FAILED_PRECONDITION", message="the moon is full")
        assert (await stage.refused(job)).klass == "permanent_image"


async def test_an_unexplained_refusal_whose_image_cannot_be_read_waits() -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave("code", code="FAILED_PRECONDITION", message="the moon is full")
        stage.misbehave("throttle", "describeImages")
        answer = await stage.refused(job)
    assert (answer.klass, answer.retry_after) == ("wait_image", None)
    assert "how the image is was not answered" in answer.message


async def test_an_explained_refusal_costs_no_look() -> None:
    async with staged() as stage:
        job = await stage.export()
        before = stage.asked("describeImages")
        stage.misbehave("code", code="FAILED_PRECONDITION", message="The image 'x' is busy")
        assert (await stage.refused(job)).klass == "wait_image"
        assert stage.asked("describeImages") == before


# --- everything together -------------------------------------------------------------------------------------------


async def test_requests_are_counted_under_the_names_that_are_preset() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export())
        await stage.running(await stage.copy())
        stage.clock.jump(10)
        await stage.follow(job)
        families = [f for f in stage.metrics.registry.collect() if f.name == "imageferry_requests"]
        apis = {sample.labels["api"] for family in families for sample in family.samples}
    assert apis == set(APIS)


async def test_exports_and_copies_are_followed_together() -> None:
    async with staged() as stage:
        export, copy = await stage.running(await stage.export()), await stage.running(await stage.copy())
        told = await stage.cloud.follow(REGION, [Following(export, overdue=False), Following(copy, overdue=False)])
    assert {each.job_id for each in told} == {export.id, copy.id}


@pytest.mark.parametrize("klass", ["retry", "throttled"])
async def test_a_job_that_succeeds_after_a_bad_answer_ends_with_a_good_one(klass: Any) -> None:
    async with staged() as stage:
        export, copy = await stage.running(await stage.export()), await stage.running(await stage.copy())
        stage.clock.jump(10)
        export, _ = await stage.polls(export)
        answers = [(await stage.follow(replace(job, klass=klass, request_id="r-1"))).answer for job in (export, copy)]
        good = (await stage.follow(replace(copy, klass="ok"))).answer
    assert [(each.klass, each.request_id) for each in answers if each] == [("ok", "r-1")] * 2
    assert good is None


async def test_a_closed_account_leaves_every_job_running() -> None:
    async with staged() as stage:
        export, copy = await stage.running(await stage.export()), await stage.running(await stage.copy())
        stage.gate._closed_after = 0
        told = await stage.cloud.follow(REGION, [Following(export, overdue=True), Following(copy, overdue=True)])
    assert [each.verdict for each in told] == ["running", "running"]


async def test_forty_submits_at_once_are_all_accepted() -> None:
    async with staged() as stage:
        jobs = [await stage.export() for _ in range(40)]
        accepted: list[object] = []

        async def submit(job: Job) -> None:
            accepted.append(await stage.cloud.submit(job, RecordingPermit()))

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(submit, job)
    assert sum(isinstance(each, Accepted) for each in accepted) == 40


async def test_copies_into_another_region_are_seen_there() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.copy())
        assert (await stage.image(job.task_ref, OTHER_REGION)).state == "pending"
