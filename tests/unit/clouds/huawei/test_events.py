from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.huawei.events import sightings
from imageferry.ports import Sighting

IMAGE = "3f7185de-b59a-4bb8-aa1d-7a513528b0e9"
SOURCE_IMAGE = "1ab4df10-0000-4bb8-aa1d-7a513528b0e9"
TRACE_ID = "4abc3a67-b773-11e6-8412-8f0ed3cc97c6"
PROJECT = "0123456789abcdef0123456789abcdef"
TOPIC = f"urn:smn:cn-north-4:{PROJECT}:images"


def job(**changes: Any) -> dict[str, Any]:
    return {
        "status": "SUCCESS",
        "job_type": "imsCreateImageByInstance",
        "job_id": "9a17",
        "entities": {"image_id": IMAGE, "image_name": "web-golden"},
        "error_code": None,
        "fail_reason": None,
        **changes,
    }


def trace(**changes: Any) -> dict[str, Any]:
    """The last trace of a finished create."""
    return {
        "trace_id": TRACE_ID,
        "trace_name": "createImage",
        "service_type": "IMS",
        "resource_type": "ims",
        "resource_id": IMAGE,
        "resource_name": "web-golden",
        "trace_rating": "normal",
        "trace_type": "SystemAction",
        "code": "200",
        "time": 1768464990000,
        "record_time": 1768464990000,
        "project_id": PROJECT,
        "user": {},
        "source_ip": "",
        "request": "",
        "response": json.dumps(job()),
        **changes,
    }


def event(data: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": TRACE_ID,
        "source": "HC.IMS",
        "type": "IMS:CloudTrace:SystemAction",
        "datacontenttype": "application/json",
        "time": "2026-01-15T08:16:30.167931174Z",
        "subject": "ims",
        "ttl": "4000",
        "dataschema": "",
        "data": trace() if data is None else data,
        **changes,
    }


def message(text: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "type": "Notification",
        "topic_urn": TOPIC,
        "message_id": "88d6b1d4-2a3b-4c5d-8e9f-000000000001",
        "message": json.dumps(trace()) if text is None else text,
        "subject": "CTS",
        "timestamp": "2019-08-12T22:40:56Z",
        "signature": "c2ln",
        "signature_version": "v1",
        "signing_cert_url": "https://smn.cn-north-4.myhuaweicloud.com/cert.pem",
        "unsubscribe_url": "https://console.example.com/unsubscribe",
        **changes,
    }


def seen(
    image_id: str = IMAGE, region: str = f"project:{PROJECT}", event_id: str = TRACE_ID, account: str | None = None
) -> Sighting:
    return Sighting("HC.IMS", event_id, "huawei", account, region, image_id)


@pytest.mark.parametrize(
    "envelope",
    [trace(), event(), event(json.dumps(trace())), {"cts": trace()}, event({"cts": trace()})],
    ids=["bare", "eventgrid", "eventgrid-text", "functiongraph", "eventgrid-functiongraph"],
)
def test_a_trace_is_the_same_sighting_in_every_envelope(envelope: dict[str, Any]) -> None:
    assert sightings(envelope) == [seen()]


@pytest.mark.parametrize("kind", ["ApiCall", "ConsoleAction", "SystemAction"])
def test_every_kind_of_call_is_read(kind: str) -> None:
    assert sightings(event(trace(trace_type=kind), type=f"IMS:CloudTrace:{kind}")) == [seen()]


@pytest.mark.parametrize("name", ["createImage", "updateImage"])
def test_every_call_that_may_make_an_image_is_read(name: str) -> None:
    assert sightings(trace(trace_name=name)) == [seen()]


def test_the_calls_answer_may_be_an_object() -> None:
    assert sightings(trace(response=job())) == [seen()]


@pytest.mark.parametrize(
    ("changes", "image_id"),
    [
        ({"resource_id": SOURCE_IMAGE}, IMAGE),
        ({"response": "", "resource_id": SOURCE_IMAGE}, SOURCE_IMAGE),
        ({"response": "{broken", "resource_id": SOURCE_IMAGE}, SOURCE_IMAGE),
        ({"response": "", "resource_id": "", "request": json.dumps({"image_id": IMAGE})}, IMAGE),
        ({"response": json.dumps({"image_id": IMAGE}), "resource_id": ""}, IMAGE),
    ],
)
def test_the_image_is_looked_for_in_the_answer_before_all_else(changes: dict[str, Any], image_id: str) -> None:
    assert sightings(trace(**changes)) == [seen(image_id)]


def test_an_image_may_stand_in_the_jobs_below() -> None:
    entities = {"sub_jobs_result": [{"entities": {"image_id": IMAGE}}, {"entities": {"image_id": SOURCE_IMAGE}}]}
    assert sightings(trace(resource_id="", response=job(entities=entities))) == [
        seen(IMAGE, event_id=f"{TRACE_ID}/{IMAGE}"),
        seen(SOURCE_IMAGE, event_id=f"{TRACE_ID}/{SOURCE_IMAGE}"),
    ]


def test_the_first_of_two_traces_names_no_image_yet() -> None:
    assert sightings(trace(resource_id="", response=json.dumps({"job_id": "9a17"}))) == []


def test_a_copy_within_a_region_is_a_sighting_of_the_new_image() -> None:
    answer = job(job_type="imsCopyImageInRegionJob")
    assert sightings(trace(trace_name="copyImage", resource_id=SOURCE_IMAGE, response=answer)) == [seen()]


def test_a_copy_to_another_region_is_a_sighting_there() -> None:
    made = trace(
        trace_name="copyImage",
        resource_id=SOURCE_IMAGE,
        request=json.dumps({"name": "x", "region": "cn-east-3"}),
        response=job(job_type="imsCrossRegionCopyImageJob"),
    )
    assert sightings(made) == [seen(region="cn-east-3")]


@pytest.mark.parametrize("kind", ["imsCrossRegionCopyImageJob", "imsCopyImageCrossUserJob"])
def test_a_copy_into_a_region_that_is_not_named_sights_nothing(kind: str) -> None:
    assert sightings(trace(trace_name="copyImage", response=job(job_type=kind))) == []


def test_a_copy_that_names_no_new_image_is_no_sighting_of_its_source() -> None:
    assert sightings(trace(trace_name="copyImage", resource_id=SOURCE_IMAGE, response=job(entities={}))) == []


@pytest.mark.parametrize("name", ["deleteImage", "exportImage", "addMember", "addTag", "createServer", None])
def test_other_calls_are_ours_but_sight_nothing(name: str | None) -> None:
    assert sightings(trace(trace_name=name)) == []


def test_a_trace_of_another_service_sights_nothing() -> None:
    assert sightings(trace(service_type="ECS")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"trace_rating": "warning"},
        {"trace_rating": "incident"},
        {"trace_rating": None, "trace_status": "warning"},
        {"code": 400},
        {"code": "403"},
        {"response": job(status="FAIL")},
        {"response": job(status="failed")},
    ],
)
def test_a_call_that_failed_sights_nothing(changes: dict[str, Any]) -> None:
    assert sightings(trace(**changes)) == []


@pytest.mark.parametrize("changes", [{"trace_rating": ""}, {"code": 200}, {"code": None}, {"trace_status": "normal"}])
def test_every_way_to_write_success_is_known(changes: dict[str, Any]) -> None:
    assert sightings(trace(**changes)) == [seen()]


def test_a_region_in_the_envelope_stands_before_the_project() -> None:
    assert sightings(event(region="cn-north-4")) == [seen(region="cn-north-4")]


@pytest.mark.parametrize(
    "who",
    [
        {"domain_id": "d-1", "user": {"domain": {"id": "d-2"}}},
        {"user": {"domain": {"id": "d-1", "name": "n"}, "account_id": "d-2"}},
        {"user": json.dumps({"domain": {"id": "d-1"}})},
        {"user": {"account_id": "d-1"}},
    ],
)
def test_the_account_is_that_of_who_asked(who: dict[str, Any]) -> None:
    assert sightings(trace(**who)) == [seen(account="d-1")]


def test_of_who_asked_only_the_account_is_taken() -> None:
    user = {"id": "u-1", "name": "alice", "access_key_id": "AKsecret", "domain": {"id": "d-1", "name": "acme"}}
    shown = repr(sightings(trace(user=user, source_ip="203.0.113.7")))
    assert not any(word in shown for word in ("alice", "AKsecret", "acme", "u-1", "203.0.113.7"))


# --- topics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [json.dumps(trace()), trace(), json.dumps({"cts": trace()})])
def test_a_trace_in_a_message_is_where_its_topic_is(text: Any) -> None:
    assert sightings(message(text)) == [seen(region="cn-north-4")]


def test_an_event_in_a_message_is_read_too() -> None:
    assert sightings(message(json.dumps(event()))) == [seen(region="cn-north-4")]


def test_a_text_in_a_message_is_searched_for_the_image() -> None:
    text = f"IMS createImage normal, resource {IMAGE} by alice"
    assert sightings(message(text)) == [
        seen(region="cn-north-4", event_id="88d6b1d4-2a3b-4c5d-8e9f-000000000001"),
    ]


@pytest.mark.parametrize("text", [f"ECS deleteServer {IMAGE}", "hello", json.dumps({"alarm": "cpu"}), ""])
def test_a_message_about_something_else_sights_nothing(text: str) -> None:
    assert sightings(message(text)) == []


def test_a_text_sights_no_more_than_a_handful() -> None:
    ids = [f"00000000-0000-4000-8000-{number:012d}" for number in range(20)]
    assert len(sightings(message(f"createImage {' '.join(ids)}")) or []) == 5


def test_the_end_of_a_subscription_sights_nothing() -> None:
    assert sightings(message(type="UnsubscribeConfirmation")) == []


# --- what is not ours, and what cannot be read ---------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"source": "HC.OBS"}, {"type": "IMS:Other:Thing"}])
def test_another_event_of_this_cloud_sights_nothing(changes: dict[str, Any]) -> None:
    assert sightings(event(**changes)) == []


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"source": "acs.ecs", "type": "ecs:ActionTrail:ApiCall", "data": {"eventName": "CreateImage"}},
        {"source": "cvm.cloud.tencent", "type": "cvm:CloudEvent:ApiCall", "data": {}},
        {"eventName": "CreateImage", "eventRegion": "ap-guangzhou", "eventType": "ApiCall"},
        {"type": "Notification", "topic_urn": "arn:aws:sns:us-east-1:1:t", "message": "createImage"},
        {"source": 7, "type": None},
        {"cts": "nothing"},
    ],
)
def test_events_of_others_are_not_ours(foreign: dict[str, Any]) -> None:
    assert sightings(foreign) is None


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (event("nothing"), "carries no trace"),
        (trace(resource_id="", response=""), "names no image"),
        (trace(resource_id="i-1", response=""), "names no image"),
        (trace(project_id=""), "neither a region nor a project"),
        (trace(trace_id=""), "has no id"),
        (message("createImage of something"), "names no image"),
        (message(type="SubscriptionConfirmation", subscribe_url="https://x/?token=abc"), "open its subscribe_url"),
    ],
)
def test_what_is_ours_but_cannot_be_read_says_why(envelope: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sightings(envelope)


def test_the_link_that_confirms_a_subscription_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="subscribe_url") as caught:
        sightings(message(type="SubscriptionConfirmation", subscribe_url="https://x/?token=abc"))
    assert "token=abc" not in str(caught.value)
