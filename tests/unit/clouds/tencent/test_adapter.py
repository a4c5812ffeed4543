from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.clouds.credentials import Around
from imageferry.clouds.registry import APIS as REGISTERED
from imageferry.clouds.registry import CLOUDS, READERS
from imageferry.clouds.tencent import codes
from imageferry.clouds.tencent.adapter import APIS, TencentCloud, build
from imageferry.clouds.tencent.events import sightings
from imageferry.core.account import CredentialSpec, Polls, Timeouts
from imageferry.core.answers import Answer
from imageferry.core.image import Image, Place
from imageferry.core.job import Job, job_key, unique_part
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Absent, Accepted, Finding, Following, Found, Gone, Lost, Progress, Unclear
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import RATES, REHEARSAL_KEY
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.metrics import Metrics
from support.accounts import tencent_account
from support.clocks import START, FakeClock
from support.gates import OpenGate, RecordingPermit
from support.rehearsals import BUCKET, OTHER_REGION, REGION, image, served, tencent
from support.sockets import Peer, listening

PLACE = Place("tencent", "prod", REGION)


@dataclass
class Stage:
    """A rehearsal, the adapter that talks to it, and the time both live in."""

    server: TencentRehearsal
    cloud: TencentCloud
    gate: OpenGate
    clock: FakeClock
    metrics: Metrics

    async def image(self, image_id: str, region: str = REGION) -> Image:
        found = (await self.cloud.look(region, [image_id]))[image_id]
        assert isinstance(found, Image)
        return found

    async def export(self, image_id: str, bucket: str = BUCKET, **options: Any) -> Job:
        """An export job, frozen and about to be sent."""
        return self.ready(new_job("export", image_id, bucket, options), await self.image(image_id))

    async def copy(self, image_id: str, region: str = OTHER_REGION, **options: Any) -> Job:
        """A copy job, frozen and about to be sent."""
        return self.ready(new_job("copy", image_id, region, options), await self.image(image_id))

    def ready(self, job: Job, seen: Image) -> Job:
        frozen = self.cloud.freeze(job, seen)
        request = json.loads(json.dumps(frozen.request))
        sent_at = self.cloud.vendor_time(self.clock.now())
        return replace(job, request=request, made_name=frozen.made_name, sent_at=sent_at)

    async def submit(self, job: Job) -> Accepted | Answer:
        self.permit = RecordingPermit()
        answer = await self.cloud.submit(job, self.permit)
        assert self.permit.answer is not None, "the permit was not judged"
        return answer

    async def running(self, job: Job) -> Job:
        """Submit it; the job as the ledger then has it."""
        accepted = await self.submit(job)
        assert isinstance(accepted, Accepted), accepted
        return self.as_running(job, accepted.task_ref, accepted.object_keys)

    def as_running(self, job: Job, task_ref: str, keys: tuple[str, ...]) -> Job:
        now = self.clock.now()
        return replace(job, state="running", task_ref=task_ref, object_keys=keys, submitted_at=now, sent_at=None)

    async def find(self, job: Job, *taken: str) -> Finding:
        return await self.cloud.find(job, set(taken))

    async def follow(self, job: Job, *, overdue: bool = False) -> Progress:
        [told] = await self.cloud.follow(REGION, [Following(job, overdue)])
        return told

    async def polls(self, job: Job, *, overdue: bool = False) -> tuple[Job, Progress]:
        """Follow it once; the job as the ledger has it afterwards."""
        told = await self.follow(job, overdue=overdue)
        keys = job.object_keys if told.object_keys is None else told.object_keys
        return replace(job, memo=json.loads(json.dumps(dict(told.memo))), object_keys=keys), told

    def asked(self, action: str) -> int:
        return self.server.requests.asked(action)

    def misbehave(self, fault: str, action: str | None = "ExportImages", **more: Any) -> None:
        self.server.misbehave(Misbehaviour(fault=fault, action=action, **more))  # type: ignore[arg-type] # a test's word


@asynccontextmanager
async def staged(
    clock: FakeClock | None = None,
    gate: OpenGate | None = None,
    account: Mapping[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Stage]:
    clock, gate, metrics = clock or FakeClock(), gate or OpenGate(), Metrics()
    server = tencent(clock, **{"rates": dict.fromkeys(RATES), **options})
    async with served(server) as base_url:
        configured = tencent_account(base_url, **{"polls": Polls(tasks=30.0, images=30.0), **(account or {})})
        cloud = TencentCloud(configured, gate, clock, metrics, Around({}, Path("/nowhere")))
        try:
            yield Stage(server, cloud, gate, clock, metrics)
        finally:
            await cloud.aclose()


def new_job(action: Any, image_id: str, destination: str, options: Mapping[str, Any] | None = None) -> Job:
    key = job_key(PLACE, image_id, action, destination)
    return Job(
        id=key[:16],
        key=key,
        place=PLACE,
        image_id=image_id,
        image_name="web-1",
        action=action,
        destination=destination,
        options=options or {},
        policies=("p",),
        state="submitting",
        reason="",
        priority=0,
        version=1,
        created_at=START,
        due_at=START,
        give_up_at=START,
    )


# --- what it is ----------------------------------------------------------------------------------------------------


def test_the_registry_has_it_and_its_reader() -> None:
    assert (CLOUDS["tencent"], REGISTERED["tencent"], sightings in READERS) == (build, APIS, True)


async def test_the_region_goes_into_the_endpoint_and_the_signature_into_its_own_host() -> None:
    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b'HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{"Response": {}}')

    async with listening(answering) as server:
        port = server.url.rpartition(":")[2]
        account = tencent_account(endpoint=f"http://{{region}}:{port}/ignored")
        cloud = TencentCloud(account, OpenGate(), FakeClock(), Metrics(), Around({}, Path("/nowhere")))
        await cloud.look("127.0.0.1", ["img-00000000"])
        await cloud.aclose()
    head = server.requests[0].decode().lower()
    assert head.startswith("post / http/1.1\r\n")
    assert f"host: 127.0.0.1:{port}\r\n" in head
    assert "/2026-01-01/cvm/tc3_request" in head


# --- looking -------------------------------------------------------------------------------------------------------


async def test_an_image_is_read_with_every_fact() -> None:
    async with staged() as stage:
        image_id = image(
            stage.server,
            name="web-1",
            size_gib=50,
            data_disks_gib=(10,),
            tags={"env": "prod"},
            created_at=START - 3600 * SECOND,
            encrypted=True,
        )
        seen = await stage.image(image_id)
        disks = stage.server.world.store.image(REGION, image_id, START).disks  # type: ignore[union-attr] # it is there
    assert seen == Image(
        place=PLACE,
        id=image_id,
        name="web-1",
        os="linux",
        os_name="Ubuntu Server 22.04 LTS 64bit",
        arch="x86_64",
        size_gib=50,
        state="ready",
        visibility="private",
        encrypted=None,
        tags={"env": "prod"},
        created_at=START - 3600 * SECOND,
        extra={
            "disks": [
                {"usage": "SYSTEM_DISK", "snapshot": disks[0].snapshot_id, "size": 50},
                {"usage": "DATA_DISK", "snapshot": disks[1].snapshot_id, "size": 10},
            ]
        },
    )


@pytest.mark.parametrize(
    ("facts", "name", "value"),
    [
        ({"platform": "Windows", "os_name": "x"}, "os", "windows"),
        ({"platform": "Other Linux", "os_name": "my WINDOWS build"}, "os", "windows"),
        ({"platform": "FreeBSD", "os_name": "FreeBSD 13"}, "os", "other"),
        ({"platform": "", "os_name": "?"}, "os", "other"),
        ({"platform": "TencentOS"}, "os", "linux"),
        ({"architecture": "arm"}, "arch", "aarch64"),
        ({"architecture": "arm_64"}, "arch", "aarch64"),
        ({"architecture": "i386"}, "arch", "i386"),
        ({"architecture": "riscv"}, "arch", "other"),
        ({"image_type": "PUBLIC_IMAGE"}, "visibility", "public"),
        ({"image_type": "SHARED_IMAGE"}, "visibility", "shared"),
        ({"image_type": "MARKET_IMAGE"}, "visibility", "market"),
        ({"ready_seconds": 60.0}, "state", "pending"),
        ({"fails": True}, "state", "failed"),
        ({"tags": {}}, "tags", {}),
        ({"without_snapshots": True}, "extra", {"disks": []}),
    ],
)
async def test_a_vendors_word_becomes_the_common_one(facts: dict[str, Any], name: str, value: object) -> None:
    async with staged() as stage:
        seen = await stage.image(image(stage.server, **facts))
    assert getattr(seen, name) == value


@pytest.mark.parametrize("options", [{"zulu_times": True}, {"zulu_times": False, "null_for_empty": False}])
async def test_both_ways_to_write_times_and_empty_lists_are_read(options: dict[str, Any]) -> None:
    async with staged(**options) as stage:
        seen = await stage.image(image(stage.server, created_at=START))
    assert (seen.created_at, seen.tags) == (START, {})


async def test_a_state_that_nobody_knows_is_not_ready_yet() -> None:
    async with staged(state_while_copying="DREAMING") as stage:
        image_id = image(stage.server)
        await stage.running(await stage.copy(image_id))
        assert (await stage.image(image_id)).state == "pending"


async def test_a_hundred_images_are_one_request_and_more_are_more() -> None:
    async with staged() as stage:
        ids = [image(stage.server) for _ in range(130)]
        found = await stage.cloud.look(REGION, ids)
        assert all(isinstance(found[each], Image) for each in ids)
        assert (stage.asked("DescribeImages"), stage.gate.classes) == (2, ["ok", "ok"])


async def test_an_unknown_id_that_is_left_out_is_gone() -> None:
    async with staged(unknown_ids="empty") as stage:
        known = image(stage.server)
        found = await stage.cloud.look(REGION, [known, "img-unknown1"])
        assert found["img-unknown1"] == Gone(f"the cloud does not have img-unknown1 in {REGION}")
        assert isinstance(found[known], Image)
        assert stage.asked("DescribeImages") == 1


@pytest.mark.parametrize("names_culprit", [True, False])
async def test_three_unknown_ids_do_not_poison_a_hundred_and_cost_a_handful(names_culprit: bool) -> None:  # noqa: FBT001 - a parameter of a test
    async with staged(unknown_ids="error", names_culprit=names_culprit) as stage:
        known = [image(stage.server) for _ in range(97)]
        unknown = ["img-unknown1", "img-unknown2", "not an id at all"]
        found = await stage.cloud.look(REGION, [*known[:50], *unknown, *known[50:]])
        assert [each for each in found if isinstance(found[each], Gone)] == unknown
        assert all(isinstance(found[each], Image) for each in known)
        assert stage.asked("DescribeImages") <= 6


async def test_unknown_ids_are_kept_out_of_later_batches_for_a_while() -> None:
    async with staged(unknown_ids="error") as stage:
        ids = [image(stage.server) for _ in range(20)] + ["img-unknown1"]
        await stage.cloud.look(REGION, ids)
        before = stage.asked("DescribeImages")
        found = await stage.cloud.look(REGION, ids)
        assert isinstance(found["img-unknown1"], Gone)
        assert stage.asked("DescribeImages") - before == 2
        assert stage.server.requests.answered("InvalidImageId") == 1


async def test_an_id_that_was_unknown_and_appears_is_seen() -> None:
    async with staged(unknown_ids="error") as stage:
        await stage.cloud.look(REGION, ["img-00000001"])
        image(stage.server, image_id="img-00000001")
        assert (await stage.image("img-00000001")).state == "ready"
        assert (await stage.image("img-00000001")).state == "ready"


async def test_a_poisoned_batch_among_very_many_images_costs_no_more_than_its_filters() -> None:
    async with staged(unknown_ids="error", image_quota=None) as stage:
        known = [image(stage.server) for _ in range(900)]
        found = await stage.cloud.look(REGION, [*known[-24:], "img-unknown1"])
        assert isinstance(found["img-unknown1"], Gone)
        assert sum(isinstance(each, Image) for each in found.values()) == 24
        assert stage.asked("DescribeImages") == 1 + 1 + 5


async def test_images_of_others_are_found_in_a_poisoned_batch_too() -> None:
    async with staged(unknown_ids="error") as stage:
        known = [image(stage.server) for _ in range(10)] + [image(stage.server, image_type="PUBLIC_IMAGE")]
        found = await stage.cloud.look(REGION, [*known, "img-unknown1"])
        assert all(isinstance(found[each], Image) for each in known)


async def test_one_unknown_id_alone_is_one_request() -> None:
    async with staged(unknown_ids="error") as stage:
        assert isinstance((await stage.cloud.look(REGION, ["img-unknown1"]))["img-unknown1"], Gone)
        assert stage.asked("DescribeImages") == 1


async def test_images_that_an_answer_leaves_out_for_its_length_are_not_gone() -> None:
    asked: list[dict[str, Any]] = []

    async def cutting_off(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            asked.append(json.loads(request.partition(b"\r\n\r\n")[2]))
            shown = {"ImageId": "img-00000001" if "ImageIds" in asked[-1] else "img-00000002"}
            total = 2 if "ImageIds" in asked[-1] else 1
            body = json.dumps({"Response": {"TotalCount": total, "ImageSet": [shown]}}).encode()
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async with listening(cutting_off) as server:
        cloud = build(tencent_account(server.url), OpenGate(), FakeClock(), Metrics())
        found = await cloud.look(REGION, ["img-00000001", "img-00000002"])
        await cloud.aclose()
    assert all(isinstance(each, Image) for each in found.values())
    assert asked[0] == {"ImageIds": ["img-00000001", "img-00000002"], "Limit": 100}


async def test_a_look_that_is_refused_raises_the_answer() -> None:
    async with staged() as stage:
        stage.misbehave("throttle", "DescribeImages")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code, bool(answer.request_id)) == ("throttled", "RequestLimitExceeded", True)
    assert stage.gate.classes == ["throttled"]


@pytest.mark.parametrize(("fault", "klass"), [("status", "retry"), ("garbage", "retry"), ("drop", "unanswered")])
async def test_a_look_without_a_readable_answer_is_told_apart(fault: str, klass: str) -> None:
    async with staged() as stage:
        stage.misbehave(fault, "DescribeImages")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
    assert (caught.value.answer.klass, stage.gate.classes) == (klass, [klass])


async def test_text_plain_answers_and_deprecation_warnings_are_read() -> None:
    async with staged(answer_type="text/plain", deprecated_warning=True) as stage:
        assert (await stage.image(image(stage.server))).state == "ready"


async def test_a_closed_account_is_not_asked() -> None:
    async with staged(gate=OpenGate(closed_after=0)) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.asked("DescribeImages") == 0


@pytest.mark.parametrize("error", [b"{}", b'"broken"', b"[" * 50_000])
async def test_an_error_without_a_code_leaves_open_whether_the_submit_was_carried_out(error: bytes) -> None:
    body = b'{"Response": {"RequestId": "r-1", "Error": ' + error + b"}}"

    async def answering(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    async with staged() as stage, listening(answering) as server:
        job = await stage.export(image(stage.server))
        cloud = TencentCloud(
            tencent_account(server.url), OpenGate(), FakeClock(), Metrics(), Around({}, Path("/nowhere"))
        )
        answer = await cloud.submit(job, RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert answer.klass == "unanswered"


# --- freezing ------------------------------------------------------------------------------------------------------


async def test_an_export_is_frozen_to_the_byte_with_the_keys_it_will_have() -> None:
    async with staged() as stage:
        image_id = image(stage.server, data_disks_gib=(10,))
        job = await stage.export(image_id, prefix="prod", format="qcow2", role="Exporter", disks="all")
        accepted = await stage.submit(replace(job, request={**job.request, "body": job.request["body"]}))
    unique = unique_part(job.key)
    assert json.loads(job.request["body"]) == {
        "ImageIds": [image_id],
        "BucketName": BUCKET,
        "ExportFormat": "QCOW2",
        "FileNamePrefixList": [f"prod-{unique}"],
        "OnlyExportRootDisk": False,
        "RoleName": "Exporter",
    }
    assert isinstance(accepted, Answer)
    assert accepted.vendor_code == "AuthFailure.CamRoleNameAuthenticateFailed"


@pytest.mark.parametrize(("disks", "count"), [("system", 1), ("all", 3)])
async def test_the_predicted_keys_are_those_that_the_cloud_names(disks: str, count: int) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, data_disks_gib=(10, 20)), format="vhd", disks=disks)
        accepted = await stage.submit(job)
    assert isinstance(accepted, Accepted)
    assert (list(accepted.object_keys), len(accepted.object_keys)) == (job.request["keys"], count)


async def test_without_a_prefix_the_unique_part_stands_alone() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
    assert json.loads(job.request["body"])["FileNamePrefixList"] == [unique_part(job.key)]


@pytest.mark.parametrize(
    ("options", "beginning"), [({}, "web-1"), ({"name": "given"}, "given"), ({"name": "x" * 60}, "x" * 47)]
)
async def test_a_copy_is_frozen_with_a_name_of_its_own_that_fits(options: dict[str, str], beginning: str) -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        job = await stage.copy(image_id, **options)
    name = f"{beginning}-{unique_part(job.key)}"
    assert (job.made_name, len(name) <= 60) == (name, True)
    assert json.loads(job.request["body"]) == {
        "ImageIds": [image_id],
        "DestinationRegions": [OTHER_REGION],
        "ImageName": name,
        "ImageSetRequired": True,
    }


# --- submitting ----------------------------------------------------------------------------------------------------


async def test_an_accepted_export_tells_task_request_and_objects() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.id, task.request_id, task.objects)
    assert stage.permit.answer == Answer("ok", "", request_id=task.request_id)


async def test_an_accepted_copy_tells_the_new_image() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        accepted = await stage.submit(job)
        [task] = stage.server.tasks
    assert accepted == Accepted(task.new_image_id, task.request_id)


@pytest.mark.parametrize(
    ("action", "api", "table"), [("export", "ExportImages", codes.EXPORT), ("copy", "SyncImages", codes.COPY)]
)
async def test_every_code_comes_back_with_its_class_and_request_id(
    action: str, api: str, table: dict[str, str]
) -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        job = await (stage.export(image_id) if action == "export" else stage.copy(image_id))
        for code, klass in table.items():
            stage.misbehave("code", api, code=code, message="because", count=1)
            answer = await stage.submit(job)
            request = next(each for each in reversed(stage.server.requests.last) if each.action == api)
            about_running = code == "LimitExceeded.ExportImageTaskLimitExceeded"
            assert answer == Answer(klass, "because", code, request.request_id, about_running=about_running)  # type: ignore[arg-type] # a class
            assert stage.permit.answer == answer


@pytest.mark.parametrize("fault", ["status", "garbage", "drop"])
@pytest.mark.parametrize("work", ["none", "done"])
async def test_a_submit_without_a_readable_answer_is_unanswered_and_sent_once(fault: str, work: str) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave(fault, work=work)
        answer = await stage.submit(job)
        assert isinstance(answer, Answer)
        assert (answer.klass, stage.asked("ExportImages")) == ("unanswered", 1)
        assert len(stage.server.tasks) == (work == "done")


async def test_a_submit_that_hangs_is_unanswered_at_the_deadline() -> None:
    async with staged(account={"timeouts": Timeouts(request=1.0)}) as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("hang")
        answer = await stage.submit(job)
    assert isinstance(answer, Answer)
    assert answer.klass == "unanswered"


async def test_a_cloud_that_is_not_there_was_sent_nothing() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        cloud = TencentCloud(tencent_account(), OpenGate(), stage.clock, Metrics(), Around({}, Path("/nowhere")))
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("never_sent", answer)


async def test_a_success_that_names_no_task_is_unanswered() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        body = {**json.loads(job.request["body"]), "DryRun": True}
        answer = await stage.submit(replace(job, request={"body": json.dumps(body), "keys": ["k"]}))
    assert isinstance(answer, Answer)
    assert (answer.klass, bool(answer.request_id)) == ("unanswered", True)


async def test_a_copy_that_names_no_new_image_is_unanswered() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        body = {**json.loads(job.request["body"]), "ImageSetRequired": False}
        answer = await stage.submit(replace(job, request={"body": json.dumps(body)}))
    assert isinstance(answer, Answer)
    assert answer.klass == "unanswered"


async def test_without_keys_nothing_is_sent_and_the_account_is_to_blame() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        account = tencent_account(credentials=CredentialSpec(source="env"))
        cloud = TencentCloud(account, OpenGate(), stage.clock, Metrics(), Around({}, Path("/nowhere")))
        answer = await cloud.submit(job, permit := RecordingPermit())
        await cloud.aclose()
    assert isinstance(answer, Answer)
    assert (answer.klass, permit.answer) == ("auth", answer)


async def test_a_wrong_key_is_refused_once_and_not_tried_again() -> None:
    wrong = CredentialSpec(source="static", values={"secret_id": REHEARSAL_KEY.secret_id, "secret_key": "wrong-key-1"})
    async with staged(account={"credentials": wrong}) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.asked("DescribeImages") == 1
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["auth"])
    assert "wrong-key-1" not in str(caught.value)


@pytest.mark.parametrize("skew", [400.0, -400.0])
async def test_a_clock_that_is_off_is_put_right_once_and_learned(skew: float) -> None:
    async with staged(clock_skew_seconds=skew) as stage:
        image_id = image(stage.server)
        assert (await stage.image(image_id)).state == "ready"
        assert (stage.asked("DescribeImages"), stage.gate.classes) == (2, ["retry", "ok"])
        assert abs(stage.cloud.vendor_time(START) - START - skew * SECOND) <= SECOND
        await stage.image(image_id)
        assert stage.asked("DescribeImages") == 3


async def test_a_submit_with_a_clock_that_is_off_asks_the_gate_for_its_second_try() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.server.change({"clock_skew_seconds": 400.0})
        stage.gate.entered.clear()
        assert isinstance(await stage.submit(job), Accepted)
        assert stage.gate.entered == [(REGION, "export")]
    assert (stage.permit.answer and stage.permit.answer.klass, stage.gate.classes[-1]) == ("retry", "ok")


async def test_a_submit_whose_second_try_finds_the_account_closed_is_refused_and_never_raises() -> None:
    async with staged(gate=OpenGate(closed_after=1)) as stage:
        job = await stage.export(image(stage.server))
        stage.server.change({"clock_skew_seconds": 400.0})
        answer = await stage.submit(job)
    assert isinstance(answer, Answer)
    assert (answer.klass, answer.vendor_code) == ("auth", "AuthFailure.SignatureExpire")


async def test_an_old_token_is_replaced_once(tmp_path: Path) -> None:
    def write(token: str) -> None:
        keys = {"secretId": REHEARSAL_KEY.secret_id, "secretKey": REHEARSAL_KEY.secret_key, "token": token}
        (tmp_path / "keys").write_text(json.dumps(keys))

    key = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key, "token": "token-2"}
    write("token-1")
    spec = CredentialSpec(source="file", path=str(tmp_path / "keys"))
    async with staged(account={"credentials": spec}, keys=[key]) as stage:
        with pytest.raises(Refused, match="TokenFailure"):
            await stage.cloud.look(REGION, ["img-00000001"])
        assert stage.gate.classes == ["auth"]
        write("token-2")
        image_id = image(stage.server)
        assert (await stage.image(image_id)).state == "ready"
    assert stage.gate.classes == ["auth", "retry", "ok"]


async def test_a_name_that_our_own_earlier_copy_has_is_that_copy() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        earlier = image(stage.server, region=OTHER_REGION, name=job.made_name, created_at=START - 86_400 * SECOND)
        accepted = await stage.submit(job)
    assert isinstance(accepted, Accepted)
    assert accepted.task_ref == earlier


async def test_a_name_that_a_failed_copy_has_is_for_a_person() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        image(stage.server, region=OTHER_REGION, name=job.made_name, fails=True)
        answer = await stage.submit(job)
    assert isinstance(answer, Answer)
    assert (answer.klass, answer.vendor_code) == ("permanent_config", "InvalidImageName.Duplicate")


async def test_a_taken_name_that_cannot_be_looked_up_is_looked_into_later() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        image(stage.server, region=OTHER_REGION, name=job.made_name)
        stage.misbehave("throttle", "DescribeImages")
        answer = await stage.submit(job)
    assert isinstance(answer, Answer)
    assert (answer.klass, answer.vendor_code) == ("retry", "InvalidImageName.Duplicate")


async def test_requests_are_counted_under_the_names_that_are_preset() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        await stage.running(await stage.copy(image(stage.server)))
        await stage.follow(job)
        families = [f for f in stage.metrics.registry.collect() if f.name == "imageferry_requests"]
        apis = {sample.labels["api"] for family in families for sample in family.samples}
    assert apis == set(APIS)


# --- solving a doubt about an export -------------------------------------------------------------------------------


async def test_a_lost_export_that_runs_is_not_taken_for_absent() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("drop", work="done", dry_runs=False)
        await stage.submit(job)
        found = await stage.find(job)
    assert isinstance(found, Unclear)
    assert "may be our own task" in found.reason
    assert found.answer is not None
    assert found.answer.klass == "wait_image"


@pytest.mark.parametrize("shape", ["answer", "error"])
@pytest.mark.parametrize("spelling", [{}, {"upper_case_extension": True}, {"keys_keep_slash": True}])
async def test_a_lost_export_that_ended_is_found_and_followed_to_its_success(
    shape: str, spelling: dict[str, bool]
) -> None:
    async with staged(dry_run_shape=shape, **spelling) as stage:
        job = await stage.export(image(stage.server, data_disks_gib=(10,)), format="qcow2")
        stage.misbehave("drop", work="done", dry_runs=False)
        await stage.submit(job)
        stage.clock.jump(400)
        found = await stage.find(job)
        assert isinstance(found, Found)
        [task] = stage.server.tasks
        assert (found.object_keys, found.task_ref) == (task.objects, f"found:{job.sent_at}")
        job = stage.as_running(job, found.task_ref, found.object_keys)
        job, _ = await stage.polls(job)
        _, told = await stage.polls(job)
    assert told.verdict == "succeeded"


@pytest.mark.parametrize("shape", ["answer", "error"])
async def test_an_export_that_never_began_is_absent_but_not_for_certain(shape: str) -> None:
    async with staged(dry_run_shape=shape) as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("drop", count=1)
        await stage.submit(job)
        assert await stage.find(job) == Absent("the image is free, and none of the objects is there")
        assert stage.gate.entered[-1] == (REGION, "export")


async def test_the_dry_run_comes_before_the_objects() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        await stage.find(job)
        actions = [request.action for request in stage.server.requests.last]
    assert actions[:2] == ["DescribeImages", "ExportImages"]
    assert set(actions[2:]) == {"HeadObject"}


async def test_a_probe_starts_nothing() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        await stage.find(job)
        assert stage.server.tasks == []


async def test_objects_that_are_older_than_the_send_are_not_the_lost_task() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(3600)
        again = replace(job, sent_at=stage.clock.now(), submitted_at=None, task_ref="", object_keys=())
        assert isinstance(await stage.find(again), Absent)


async def test_some_of_the_objects_are_unclear() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server, data_disks_gib=(10,)))
        stage.misbehave("object_missing")
        stage.misbehave("drop", work="done", count=1)
        await stage.submit(job)
        stage.clock.jump(400)
        assert await stage.find(job) == Unclear("the image is free, but only 1 of 2 objects are there")


async def test_an_image_whose_disks_are_not_known_is_unclear() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        seen = replace(await stage.image(image_id), extra={})
        job = stage.ready(new_job("export", image_id, BUCKET), seen)
        found = await stage.find(job)
    assert isinstance(found, Unclear)
    assert "its disks were not known" in found.reason


async def test_a_disk_without_a_snapshot_makes_the_names_unknown_so_that_nothing_looks_absent() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        disks = [{"usage": "SYSTEM_DISK", "snapshot": None, "size": 50}]
        job = stage.ready(
            new_job("export", image_id, BUCKET), replace(await stage.image(image_id), extra={"disks": disks})
        )
        found = await stage.find(job)
    assert isinstance(found, Unclear)
    assert "its disks were not known" in found.reason


async def test_a_bucket_that_may_not_be_read_is_unclear() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        found = await stage.find(await stage.export(image(stage.server)))
    assert isinstance(found, Unclear)
    assert found.answer is not None
    assert found.answer.klass == "permanent_config"


@pytest.mark.parametrize(
    "code",
    [
        "RequestLimitExceeded",
        "InternalError",
        "LimitExceeded.ExportImageTaskLimitExceeded",
        "InvalidParameterValue.BucketNotFound",
        "AuthFailure.SignatureFailure",
    ],
)
async def test_a_dry_run_that_is_refused_for_something_else_proves_nothing(code: str) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("code", code=code)
        found = await stage.find(job)
    assert isinstance(found, Unclear)
    assert found.answer is not None
    assert found.answer.vendor_code == code


async def test_a_lost_export_that_ended_is_found_even_if_the_dry_run_tells_nothing() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("drop", work="done", count=1)
        await stage.submit(job)
        stage.clock.jump(400)
        stage.misbehave("code", code="LimitExceeded.ExportImageTaskLimitExceeded")
        assert isinstance(await stage.find(job), Found)


@pytest.mark.parametrize("code", sorted(codes.NEVER_ACCEPTED))
async def test_a_refusal_for_what_an_image_is_proves_that_nothing_runs(code: str) -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("code", code=code)
        found = await stage.find(job)
    assert isinstance(found, Absent)
    assert found.certain


async def test_an_image_that_is_gone_leaves_only_its_objects_to_look_for() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.server.remove_image(REGION, job.image_id)
        assert isinstance(await stage.find(job), Absent)


async def test_a_dry_run_without_an_answer_is_unclear() -> None:
    async with staged() as stage:
        job = await stage.export(image(stage.server))
        stage.misbehave("drop")
        found = await stage.find(job)
    assert isinstance(found, Unclear)
    assert found.answer is not None
    assert found.answer.klass == "unanswered"


# --- solving a doubt about a copy ----------------------------------------------------------------------------------


async def test_a_lost_copy_is_found_by_its_name() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        stage.misbehave("drop", "SyncImages", work="done")
        await stage.submit(job)
        found = await stage.find(job)
        [task] = stage.server.tasks
    assert isinstance(found, Found)
    assert found.task_ref == task.new_image_id


async def test_another_jobs_copy_is_never_adopted() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        other = image(stage.server, region=OTHER_REGION, name=job.made_name)
        assert isinstance(await stage.find(job), Found)
        assert isinstance(await stage.find(job, other), Absent)


async def test_an_image_whose_name_only_begins_alike_is_not_ours() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        image(stage.server, region=OTHER_REGION, name=job.made_name + "x")
        assert isinstance(await stage.find(job), Absent)


async def test_a_copy_that_is_older_than_the_send_is_not_the_lost_one() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        image(stage.server, region=OTHER_REGION, name=job.made_name, created_at=START - 61 * SECOND)
        assert isinstance(await stage.find(job), Absent)


async def test_a_copy_that_never_began_is_absent_but_not_for_certain() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        assert await stage.find(job) == Absent(f"{OTHER_REGION} has no image named {job.made_name}")
        assert stage.gate.entered[-2:] == [(REGION, "read"), (OTHER_REGION, "read")]


async def test_a_busy_source_may_be_our_own_copy() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        job = await stage.copy(image_id)
        await stage.running(await stage.copy(image_id, "ap-beijing"))
        assert await stage.find(job) == Unclear("the image is busy; it may be our own copy")


async def test_a_lost_copy_that_failed_ends_the_doubt() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        stage.misbehave("task_fails", "SyncImages")
        stage.misbehave("drop", "SyncImages", work="done")
        await stage.submit(job)
        stage.clock.jump(400)
        found = await stage.find(job)
    assert isinstance(found, Lost)


async def test_a_name_among_hundreds_alike_is_found() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        for number in range(250):
            image(stage.server, region=OTHER_REGION, name=f"{job.made_name}{number}")
        ours = image(stage.server, region=OTHER_REGION, name=job.made_name)
        found = await stage.find(job)
    assert isinstance(found, Found)
    assert found.task_ref == ours


async def test_a_doubt_about_a_copy_raises_what_the_cloud_refused() -> None:
    async with staged() as stage:
        job = await stage.copy(image(stage.server))
        stage.misbehave("throttle", "DescribeImages")
        with pytest.raises(Refused):
            await stage.find(job)


# --- following an export -------------------------------------------------------------------------------------------


async def test_an_export_that_runs_is_running_and_costs_no_request_to_the_api() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server, data_disks_gib=(10,))))
        before = len(stage.gate.entered)
        told = await stage.follow(job)
    assert (told.verdict, told.reason, told.soon) == ("running", "0 of 2 objects are there", False)
    assert len(stage.gate.entered) == before


async def test_objects_must_be_seen_twice_the_same_and_the_image_at_rest() -> None:
    async with staged(object_grows_seconds=30.0) as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        job, first = await stage.polls(job)
        stage.clock.jump(40)
        job, grown = await stage.polls(job)
        job, last = await stage.polls(job)
    assert [(each.verdict, each.soon) for each in (first, grown, last)] == [
        ("running", True),
        ("running", True),
        ("succeeded", False),
    ]
    assert last.reason == f"1 object of {20 << 30} bytes in {BUCKET}"


async def test_objects_seen_once_are_not_enough_because_another_export_of_the_image_saw_its_own_twice() -> None:
    async with staged() as stage:
        once = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        twice, _ = await stage.polls(replace(once, id="other"))
        told = await stage.cloud.follow(REGION, [Following(once, overdue=False), Following(twice, overdue=False)])
    assert [each.verdict for each in told] == ["running", "succeeded"]


async def test_an_image_that_is_still_busy_keeps_its_export_running() -> None:
    async with staged(state_while_exporting="SYNCING") as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        stage.server.world.store.image(REGION, job.image_id, 0).exporting_until = 1 << 62  # type: ignore[union-attr] # it is there
        job, told = await stage.polls(job)
    assert (told.verdict, told.soon) == ("running", True)
    assert told.reason == "every object is there; the image is still busy"


async def test_exports_that_are_whole_share_one_look_at_their_images() -> None:
    async with staged(exports_running=None) as stage:
        jobs = [await stage.running(await stage.export(image(stage.server))) for _ in range(10)]
        stage.clock.jump(10)
        first = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
        memos = {told.job_id: told.memo for told in first}
        before = stage.asked("DescribeImages")
        again = [Following(replace(job, memo=memos[job.id]), overdue=False) for job in jobs]
        told = await stage.cloud.follow(REGION, again)
        assert {each.verdict for each in told} == {"succeeded"}
        assert stage.asked("DescribeImages") - before == 1


async def test_an_empty_object_is_not_whole() -> None:
    async with staged() as stage:
        stage.misbehave("object_empty")
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        _, told = await stage.polls(job)
    assert (told.verdict, told.reason) == ("running", "0 of 1 objects are there")


async def test_an_object_of_an_earlier_export_does_not_count() -> None:
    async with staged() as stage:
        first = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(3600)
        job = stage.as_running(first, "2", first.object_keys)
        told = await stage.follow(job)
    assert (told.verdict, told.reason) == ("running", "0 of 1 objects are there")


async def test_a_key_that_keeps_its_slash_is_found_and_told() -> None:
    async with staged(keys_keep_slash=True) as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(40)
        job, told = await stage.polls(job)
        assert told.object_keys == stage.server.tasks[0].objects
        job, told = await stage.polls(job)
    assert told.verdict == "succeeded"


async def test_an_image_that_vanishes_before_its_objects_fails_at_the_second_look() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export(image(stage.server)))
        stage.server.remove_image(REGION, job.image_id)
        stage.clock.jump(31)
        job, first = await stage.polls(job)
        job, second = await stage.polls(job)
    assert [(each.verdict, each.soon) for each in (first, second)] == [("running", True), ("failed", False)]
    assert second.reason.startswith("0 of 1 objects are there, and the image is gone")


async def test_whether_the_image_is_still_there_is_looked_at_only_now_and_then() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export(image(stage.server)))
        before = stage.asked("DescribeImages")
        for _ in range(6):
            stage.clock.jump(16)
            job, told = await stage.polls(job)
            assert told.verdict == "running"
        assert stage.asked("DescribeImages") - before == 3


async def test_an_image_that_was_deleted_after_its_export_does_not_undo_it() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        stage.server.remove_image(REGION, job.image_id)
        job, told = await stage.polls(job)
    assert told.verdict == "succeeded"


async def test_a_look_that_fails_at_the_end_keeps_it_running() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        job, _ = await stage.polls(job)
        stage.misbehave("throttle", "DescribeImages", count=1)
        job, told = await stage.polls(job)
        assert (told.verdict, told.soon, told.answer and told.answer.klass) == ("running", True, "throttled")
        job, told = await stage.polls(job)
    assert told.verdict == "succeeded"


async def test_a_bucket_that_may_not_be_read_is_said_and_fails_at_the_deadline() -> None:
    async with staged(unreadable_buckets=[BUCKET]) as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        early, late = await stage.follow(job), await stage.follow(job, overdue=True)
    assert (early.verdict, late.verdict) == ("running", "failed")
    assert "HTTP 403" in early.reason
    assert late.answer is not None
    assert late.answer.klass == "permanent_config"


async def test_a_storage_that_is_down_does_not_fail_an_export_even_at_the_deadline() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.misbehave("status", "HeadObject")
        told = await stage.follow(job, overdue=True)
    assert told.verdict == "running"


async def test_an_overdue_export_that_still_runs_is_running() -> None:
    async with staged(export_seconds=7200) as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        told = await stage.follow(job, overdue=True)
    assert told.verdict == "running"
    assert told.reason.startswith("past its deadline, but still running")


@pytest.mark.parametrize("shape", ["answer", "error"])
async def test_an_overdue_export_that_left_nothing_has_vanished(shape: str) -> None:
    async with staged(dry_run_shape=shape) as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export(image(stage.server)))
        stage.clock.jump(10)
        told = await stage.follow(job, overdue=True)
        actions = [request.action for request in stage.server.requests.last]
    assert (told.verdict, told.reason) == ("vanished", "the task ended, but 0 of 1 objects are there")
    assert actions.index("HeadObject") > max(i for i, name in enumerate(actions) if name == "ExportImages")


async def test_an_overdue_export_whose_image_is_gone_has_failed() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails")
        job = await stage.running(await stage.export(image(stage.server)))
        stage.server.remove_image(REGION, job.image_id)
        assert (await stage.follow(job, overdue=True)).verdict == "failed"


@pytest.mark.parametrize("code", ["RequestLimitExceeded", "InvalidParameterValue.BucketNotFound"])
async def test_an_overdue_export_of_which_nothing_is_told_goes_on(code: str) -> None:
    async with staged() as stage:
        job = await stage.running(await stage.export(image(stage.server)))
        stage.misbehave("code", code=code)
        told = await stage.follow(job, overdue=True)
    assert (told.verdict, told.answer and told.answer.vendor_code) == ("running", code)


async def test_a_closed_account_leaves_every_job_running() -> None:
    async with staged() as stage:
        export = await stage.running(await stage.export(image(stage.server)))
        copy = await stage.running(await stage.copy(image(stage.server)))
        stage.gate._closed_after = 0
        stage.clock.jump(40)
        told = await stage.cloud.follow(REGION, [Following(export, overdue=True), Following(copy, overdue=True)])
    assert sorted(each.verdict for each in told) == ["running", "running"]


# --- following a copy ----------------------------------------------------------------------------------------------


async def test_a_copy_runs_until_the_new_image_is_ready() -> None:
    async with staged() as stage:
        job = await stage.running(await stage.copy(image(stage.server)))
        early = await stage.follow(job)
        stage.clock.jump(10)
        late = await stage.follow(job)
    assert (early.verdict, late.verdict) == ("running", "succeeded")
    assert stage.gate.entered[-1] == (OTHER_REGION, "read")


async def test_a_copy_that_fails_has_failed() -> None:
    async with staged() as stage:
        stage.misbehave("task_fails", "SyncImages")
        job = await stage.running(await stage.copy(image(stage.server)))
        stage.clock.jump(10)
        assert (await stage.follow(job)).verdict == "failed"


@pytest.mark.parametrize("unknown_ids", ["empty", "error"])
async def test_a_copy_whose_new_image_stays_gone_has_failed_once_it_cannot_show_late(unknown_ids: str) -> None:
    async with staged(copy_failure="gone", unknown_ids=unknown_ids) as stage:
        stage.misbehave("task_fails", "SyncImages")
        job = await stage.running(await stage.copy(image(stage.server)))
        told = []
        for seconds in (10, 10, 41):
            stage.clock.jump(seconds)
            job, progress = await stage.polls(job)
            told.append(progress.verdict)
    assert told == ["running", "running", "failed"]


async def test_copies_are_looked_at_once_a_destination() -> None:
    async with staged(copies_running=None) as stage:
        regions = [OTHER_REGION, "ap-beijing"]
        jobs = [await stage.running(await stage.copy(image(stage.server), r)) for r in regions for _ in range(5)]
        stage.gate.entered.clear()
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs])
    assert sorted(each.job_id for each in told) == sorted(job.id for job in jobs)
    assert sorted(stage.gate.entered) == [("ap-beijing", "read"), (OTHER_REGION, "read")]


async def test_a_destination_that_does_not_answer_holds_up_no_other() -> None:
    async with staged() as stage:
        jobs = {r: await stage.running(await stage.copy(image(stage.server), r)) for r in (OTHER_REGION, "ap-beijing")}
        stage.clock.jump(10)
        stage.misbehave("status", "DescribeImages", region="ap-beijing")
        told = await stage.cloud.follow(REGION, [Following(job, overdue=False) for job in jobs.values()])
    verdicts = {each.job_id: each.verdict for each in told}
    assert verdicts == {jobs[OTHER_REGION].id: "succeeded", jobs["ap-beijing"].id: "running"}


async def test_exports_and_copies_are_followed_together() -> None:
    async with staged() as stage:
        export = await stage.running(await stage.export(image(stage.server)))
        copy = await stage.running(await stage.copy(image(stage.server)))
        told = await stage.cloud.follow(REGION, [Following(export, overdue=False), Following(copy, overdue=False)])
    assert {each.job_id for each in told} == {export.id, copy.id}


# --- many at once --------------------------------------------------------------------------------------------------


async def test_forty_submits_at_once_are_all_accepted() -> None:
    async with staged(exports_running=None) as stage:
        jobs = [await stage.export(image(stage.server)) for _ in range(40)]
        accepted: list[object] = []

        async def submit(job: Job) -> None:
            accepted.append(await stage.cloud.submit(job, RecordingPermit()))

        async with anyio.create_task_group() as group:
            for job in jobs:
                group.start_soon(submit, job)
    assert sum(isinstance(each, Accepted) for each in accepted) == 40
