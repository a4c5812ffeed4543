from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.clouds.aliyun import endpoints
from imageferry.clouds.aliyun.adapter import APIS, AliyunCloud, build
from imageferry.clouds.aliyun.client import Client, Signature, flat
from imageferry.clouds.aliyun.facts import FACTS
from imageferry.clouds.credentials import Around
from imageferry.core.account import CredentialSpec, Timeouts
from imageferry.core.image import Image
from imageferry.core.times import SECOND
from imageferry.errors import CircuitOpen, Refused
from imageferry.ports import Accepted
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.telemetry.metrics import Metrics
from support.aliyun_rehearsals import REGION, image
from support.aliyun_stages import NOWHERE, Stage, aliyun_account, staged
from support.clocks import START, FakeClock
from support.gates import OpenGate
from support.sockets import Peer, listening

SIGNATURES: list[Signature] = ["acs3", "rpc_v1"]
KEYS = {"access_key_id": REHEARSAL_KEY.secret_id, "access_key_secret": REHEARSAL_KEY.secret_key}
WRONG = CredentialSpec(source="static", values={**KEYS, "access_key_secret": "wrong-key-1"})
NOBODY = "m-bp1nobody00000000000"
IMAGES = b'{"RequestId": "r", "TotalCount": 0, "Images": {"Image": []}}'


def temporary(token: str, **more: Any) -> dict[str, Any]:
    key = {"secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    return {**key, "token": token, **more}


def with_token(token: str) -> CredentialSpec:
    return CredentialSpec(source="static", values={**KEYS, "security_token": token})


def nonces(stage: Stage, *given: str) -> None:
    client: Client = stage.cloud._client
    client._nonce = iter(given).__next__


async def answering(peer: Peer) -> None:
    while await peer.request() is not None:
        await peer.answer(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(IMAGES), IMAGES))


async def heard(signature: Signature, **changes: Any) -> tuple[str, str]:
    """What one look sends, as text; and the port it was sent to."""
    async with listening(answering) as server:
        port = server.url.rpartition(":")[2]
        switches = {"signature": signature}
        account = aliyun_account(endpoint=f"http://{{region}}:{port}", switches=switches, **changes)
        cloud = AliyunCloud(account, OpenGate(), FakeClock(), Metrics(), NOWHERE, nonce=lambda: "n-1")
        await cloud.look("127.0.0.1", ["m-生产"])
        await cloud.aclose()
    return server.requests[0].decode(), port


async def test_a_request_is_a_post_with_everything_in_its_query_and_only_the_needed_headers_signed() -> None:
    head, port = await heard("acs3")
    asked = (
        "POST /?ImageId=m-%E7%94%9F%E4%BA%A7&PageNumber=1&PageSize=100&RegionId=127.0.0.1"
        "&Status=Creating%2CWaiting%2CAvailable%2CUnAvailable%2CCreateFailed%2CDeprecated HTTP/1.1\r\n"
    )
    assert head.startswith(asked)
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
    assert {name.lower(): lines[name] for name in lines if name.lower() in ("host", "accept")} == {
        "host": f"127.0.0.1:{port}",
        "accept": "application/json",
    }
    assert "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version" in head
    assert lines["x-acs-date"] == "2026-01-01T00:00:00Z"


async def test_the_older_signature_stands_in_the_query_too() -> None:
    head, _ = await heard("rpc_v1")
    query = head.split(" ")[1]
    assert "&Format=JSON&" in query
    assert "&Signature=" in query
    assert "&SignatureMethod=HMAC-SHA1&SignatureNonce=n-1&SignatureVersion=1.0&" in query
    assert "x-acs-" not in head


@pytest.mark.parametrize("signature", SIGNATURES)
async def test_both_signatures_are_believed_alone(signature: Signature) -> None:
    rehearsed = {"acs3": "acs3", "rpc_v1": "rpc1"}[signature]
    async with staged(signature=signature, signatures=[rehearsed]) as stage:
        assert (await stage.image(image(stage.server, name="生产 a*b~c+d"))).name == "生产 a*b~c+d"


@pytest.mark.parametrize("signature", SIGNATURES)
async def test_a_token_is_sent_and_signed(signature: Signature) -> None:
    account = {"credentials": with_token("token/+=1")}
    async with staged(signature=signature, account=account, keys=[temporary("token/+=1")]) as stage:
        assert (await stage.image(image(stage.server))).state == "ready"


async def test_the_path_of_an_endpoint_is_kept_and_signed() -> None:
    head, _ = await heard("acs3")
    async with listening(answering) as server:
        account = aliyun_account(endpoint=f"{server.url}/gateway/")
        cloud = AliyunCloud(account, OpenGate(), FakeClock(), Metrics(), NOWHERE, nonce=lambda: "n-1")
        await cloud.look("127.0.0.1", ["m-生产"])
        await cloud.aclose()
    there = server.requests[0].decode()
    assert there.startswith("POST /gateway?ImageId=")
    assert head.rpartition("Signature=")[2] != there.rpartition("Signature=")[2]


async def test_the_builder_makes_an_adapter_of_the_account() -> None:
    cloud = build(aliyun_account(), OpenGate(), FakeClock(), Metrics())
    await cloud.aclose()
    assert (cloud.account, cloud.facts) == ("prod", FACTS)


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("cn-beijing", "https://ecs.cn-beijing.aliyuncs.com"),
        ("cn-hangzhou", "https://ecs-cn-hangzhou.aliyuncs.com"),
        ("cn-shanghai-finance-1", "https://ecs-cn-hangzhou.aliyuncs.com"),
        ("cn-north-2-gov-1", "https://ecs.aliyuncs.com"),
    ],
)
def test_regions_without_a_host_of_their_own_are_asked_elsewhere(region: str, host: str) -> None:
    assert endpoints.images(aliyun_account(endpoint=FACTS.endpoint), region) == host


def test_a_configured_endpoint_serves_every_region() -> None:
    account = aliyun_account("https://ecs-vpc.{region}.aliyuncs.com/")
    assert endpoints.images(account, "cn-hangzhou") == "https://ecs-vpc.cn-hangzhou.aliyuncs.com"


def test_pairs_are_numbered_from_one() -> None:
    assert flat("Tag", {"a": "1", "b": ""}) == {
        "Tag.1.Key": "a",
        "Tag.1.Value": "1",
        "Tag.2.Key": "b",
        "Tag.2.Value": "",
    }


async def test_every_request_is_counted_under_one_of_the_names_that_the_adapter_declares() -> None:
    async with staged(objects_shown="never") as stage:
        running = await stage.running(await stage.export())
        stage.clock.jump(10)
        await stage.ends(running)
        await stage.lost(await stage.copy())
        counted = {
            sample.labels["api"] for family in stage.metrics.requests_total.collect() for sample in family.samples
        }
    assert counted == set(APIS)


# --- keys and clocks -----------------------------------------------------------------------------------------------


async def test_a_wrong_key_is_refused_once_and_not_tried_again() -> None:
    async with staged(account={"credentials": WRONG}) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code, stage.gate.classes) == ("auth", "SignatureDoesNotMatch", ["auth"])
    assert answer.message == "Specified signature is not matched with our calculation."


@pytest.mark.parametrize("signature", SIGNATURES)
async def test_what_the_vendor_echoes_of_a_request_is_not_told(signature: Signature) -> None:
    words = {**KEYS, "access_key_secret": "wrong-key-1", "security_token": "token/+=1"}
    account = {"credentials": CredentialSpec(source="static", values=words)}
    async with staged(signature=signature, account=account, keys=[temporary("token/+=1")]) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert caught.value.answer.vendor_code == "SignatureDoesNotMatch"
    assert [word for word in ("token", "wrong-key-1", "string to sign") if word in str(caught.value)] == []


@pytest.mark.parametrize("signature", SIGNATURES)
@pytest.mark.parametrize("skew", [1000.0, -1000.0])
async def test_a_clock_that_is_off_is_put_right_once_and_learned(skew: float, signature: Signature) -> None:
    async with staged(signature=signature, clock_skew_seconds=skew) as stage:
        image_id = image(stage.server)
        assert (await stage.image(image_id)).state == "ready"
        assert (stage.asked("DescribeImages"), stage.gate.classes) == (2, ["retry", "ok"])
        assert abs(stage.cloud.vendor_time(START) - START - skew * SECOND) <= SECOND
        await stage.image(image_id)
        assert stage.asked("DescribeImages") == 3


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
    assert (answer.klass, answer.vendor_code) == ("auth", "InvalidTimeStamp.Expired")


async def test_a_clock_that_the_vendor_never_believes_is_told_once() -> None:
    async with staged() as stage:
        stage.misbehave("code", "DescribeImages", code="InvalidTimeStamp.Expired")
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["retry", "auth"])


async def test_a_nonce_that_was_used_is_replaced_once() -> None:
    async with staged() as stage:
        image_id = image(stage.server)
        nonces(stage, "one", "one", "two")
        await stage.image(image_id)
        assert (await stage.image(image_id)).state == "ready"
    assert stage.gate.classes == ["ok", "retry", "ok"]


async def test_an_export_with_a_used_nonce_is_looked_for_and_not_sent_again() -> None:
    async with staged() as stage:
        nonces(stage, "one", "one")
        job = await stage.export()
        answer = await stage.refused(job)
        assert stage.asked("ExportImage") == 1
    assert (answer.klass, answer.vendor_code) == ("retry", "SignatureNonceUsed")


async def test_a_copy_with_a_used_nonce_is_sent_again_with_its_token() -> None:
    async with staged() as stage:
        nonces(stage, "one", "one", "two")
        assert isinstance(await stage.submit(await stage.copy()), Accepted)


@pytest.mark.parametrize("changed", [REHEARSAL_KEY.secret_id, "another-key"])
async def test_keys_that_were_replaced_are_read_anew_once(tmp_path: Path, changed: str) -> None:
    path = tmp_path / "credentials.ini"
    words = "[default]\ntype = access_key\naccess_key_id = {}\naccess_key_secret = {}\n"
    path.write_text(words.format(changed, "old-key-1"), encoding="utf-8")
    spec = CredentialSpec(source="file", path=str(path))
    async with staged(account={"credentials": spec}) as stage:
        with pytest.raises(Refused):
            await stage.cloud.look(REGION, [NOBODY])
        path.write_text(words.format(*KEYS.values()), encoding="utf-8")
        assert (await stage.image(image(stage.server))).state == "ready"
    assert stage.gate.classes == ["auth", "retry", "ok"]


async def test_a_token_that_has_run_out_is_renewed_once_and_then_told(tmp_path: Path) -> None:
    path = tmp_path / "config.json"

    def write(key_id: str, token: str) -> None:
        secret = KEYS["access_key_secret"]
        words = {"name": "a", "mode": "StsToken", "access_key_id": key_id, "access_key_secret": secret}
        path.write_text(json.dumps({"current": "a", "profiles": [{**words, "sts_token": token}]}))

    old = temporary("old-token-1", secret_id="STS.old", expires_at=START - SECOND)
    new = temporary("new-token-1", secret_id="STS.new")
    spec = CredentialSpec(source="file", path=str(path))
    write("STS.old", "old-token-1")
    async with staged(account={"credentials": spec}, keys=[old, new]) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
        assert (caught.value.answer.vendor_code, stage.gate.classes) == ("InvalidSecurityToken.Expired", ["auth"])
        write("STS.new", "new-token-1")
        assert (await stage.image(image(stage.server))).state == "ready"
    assert stage.gate.classes == ["auth", "retry", "ok"]


async def test_a_missing_permission_does_not_read_the_keys_anew() -> None:
    async with staged(denied={"DescribeImages": "Forbidden.RAM"}, encoded_denials=True) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["auth"])


async def test_without_keys_nothing_is_sent() -> None:
    spec = CredentialSpec(source="env")
    async with staged(account={"credentials": spec}, around=Around({}, NOWHERE.home)) as stage:
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
        assert stage.asked("DescribeImages") == 0
    assert (caught.value.answer.klass, stage.gate.classes) == ("auth", ["auth"])


# --- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["usual", "lower_case", "xml"])
async def test_a_refusal_is_read_in_every_shape(shape: str) -> None:
    async with staged(error_shape=shape) as stage:
        stage.misbehave("throttle", "DescribeImages", count=1)
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    answer = caught.value.answer
    assert (answer.klass, answer.vendor_code) == ("throttled", "Throttling.User")
    assert answer.request_id


@pytest.mark.parametrize(("millis", "seconds"), [(1500, 1.5), (None, 60.0)])
async def test_what_is_throttled_waits_as_long_as_the_vendor_says_or_for_the_next_minute(
    millis: int | None, seconds: float
) -> None:
    async with staged(retry_after_ms=millis) as stage:
        stage.misbehave("throttle", "ExportImage", count=1)
        answer = await stage.refused(await stage.export())
    assert (answer.klass, answer.retry_after) == ("throttled", seconds)


@pytest.mark.parametrize("fault", ["drop", "garbage", "status"])
async def test_an_answer_that_is_lost_leaves_a_submit_open_and_a_read_to_be_asked_again(fault: str) -> None:
    async with staged() as stage:
        job = await stage.export()
        stage.misbehave(fault, None, count=2)
        assert (await stage.refused(job)).klass == "unanswered"
        with pytest.raises(Refused) as caught:
            await stage.cloud.look(REGION, [NOBODY])
    assert caught.value.answer.klass in ("retry", "unanswered")


async def test_a_slow_answer_is_given_up_at_its_deadline() -> None:
    async with staged(account={"timeouts": Timeouts(request=1.0)}) as stage:
        job = await stage.export()
        stage.misbehave("hang", "ExportImage", count=1)
        with anyio.fail_after(20):
            assert (await stage.refused(job)).klass == "unanswered"


async def test_a_closed_account_is_told_to_the_reader() -> None:
    async with staged(gate=OpenGate(closed_after=0)) as stage:
        with pytest.raises(CircuitOpen):
            await stage.cloud.look(REGION, [NOBODY])


async def test_the_reads_of_a_look_are_paced_where_they_are_asked() -> None:
    async with staged() as stage:
        assert isinstance(await stage.image(image(stage.server)), Image)
    assert stage.gate.entered == [(REGION, "read")]
