from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.jdcloud.events import sightings
from imageferry.ports import Sighting

IMAGE = "img-fake000029"

SAMPLE = json.loads("""
{"version": "", "id": "1xo6n4...", "source": "jcloud.vm", "detailType": "StatusNotification", "pin": "account-pin",
 "region": "cn-east-1", "time": "2021-03-18T11:49:46+0800", "resources": ["i-fake000001"],
 "detail": {"eventAction": "CreateImage", "eventState": "Executed", "eventTime": "2021-02-25 20:13:39",
            "instanceId": "i-fake000001"}}
""")
"""The vendor's own."""


def notice(**detail: Any) -> dict[str, Any]:
    return {**SAMPLE, "detail": {**SAMPLE["detail"], **detail}}


def record(**changes: Any) -> dict[str, Any]:
    return {
        "eventTime": 1760000000000,
        "eventVersion": "1",
        "service": "vm",
        "serviceApiVersion": "v1",
        "eventName": "createImage",
        "eventSource": "console",
        "eventId": "audit-1",
        "eventType": "ApiCall",
        "region": "cn-north-1",
        "ip": "192.0.2.7",
        "userAgent": "agent",
        "errorCode": "",
        "requestId": "request-1",
        "account": "account-pin",
        "accessKeyId": "AKverysecret",
        "resources": [{"resourceType": "instance", "resource": "i-fake000001"}],
        "request": '{"regionId":"cn-north-1"}',
        "response": json.dumps({"requestId": "request-1", "result": {"imageId": IMAGE}}),
        **changes,
    }


def seen(image_id: str = IMAGE, region: str = "cn-north-1", event_id: str = "audit-1") -> Sighting:
    return Sighting("audittrail.jdcloud.vm", event_id, "jdcloud", "account-pin", region, image_id)


# --- notices -------------------------------------------------------------------------------------------------------


def test_the_vendors_sample_names_no_image_and_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"names an instance and no image; expected detail\.imageId.*polling"):
        sightings(SAMPLE)


def test_a_notice_to_which_the_image_was_added_is_a_sighting_of_it() -> None:
    expected = Sighting("jcloud.vm", "1xo6n4...", "jdcloud", "account-pin", "cn-east-1", IMAGE)
    assert sightings(notice(imageId=IMAGE)) == [expected]


def test_an_image_among_the_resources_is_seen_too() -> None:
    [sighting] = sightings({**SAMPLE, "resources": ["i-fake000001", IMAGE]}) or []
    assert sighting.image_id == IMAGE


def test_that_an_image_is_begun_sights_nothing() -> None:
    assert sightings(notice(eventState="Executing")) == []


@pytest.mark.parametrize(
    "action", ["StateChange", "SystemFailure.Reboot", "InstanceExpiration.Soon", "AccountArrearage.Now", None]
)
def test_other_notices_sight_nothing(action: str | None) -> None:
    assert sightings(notice(eventAction=action)) == []


def test_a_notice_of_another_service_sights_nothing() -> None:
    assert sightings({**SAMPLE, "source": "jcloud.rds"}) == []


@pytest.mark.parametrize(("field", "reason"), [("id", "has no id"), ("region", "names no region")])
def test_a_notice_without_id_or_region_says_so(field: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sightings({**notice(imageId=IMAGE), field: ""})


def test_a_notice_without_a_pin_leaves_the_account_open() -> None:
    [sighting] = sightings({**notice(imageId=IMAGE), "pin": ""}) or []
    assert sighting.account is None


# --- audit records -------------------------------------------------------------------------------------------------


def test_a_record_is_a_sighting_of_the_image_that_the_call_answered() -> None:
    assert sightings(record()) == [seen()]


@pytest.mark.parametrize("name", ["CreateImage", "importImage", "convertImage", "createImageFromSnapshots"])
def test_every_call_that_makes_an_image_is_read(name: str) -> None:
    assert sightings(record(eventName=name)) == [seen()]


@pytest.mark.parametrize(
    "answer", [{"result": {"imageId": IMAGE}}, {"imageId": IMAGE}, json.dumps({"imageId": IMAGE})], ids=str
)
def test_the_calls_answer_may_be_whole_or_bare_an_object_or_a_string(answer: object) -> None:
    assert sightings(record(response=answer)) == [seen()]


def test_without_an_answer_the_resources_name_the_image() -> None:
    about = [{"resourceType": "image", "resource": IMAGE}]
    assert sightings(record(response="", resources=about)) == [seen()]


def test_the_resource_of_a_conversion_is_its_source_and_not_seen() -> None:
    with pytest.raises(ValueError, match="names no image"):
        sightings(record(eventName="convertImage", response="", resources=[{"resource": IMAGE}]))


def test_a_record_without_an_event_id_goes_by_its_request() -> None:
    assert sightings(record(eventId="")) == [seen(event_id="request-1")]


def test_copies_are_sightings_of_each_new_image_where_it_is() -> None:
    made = [{"sourceImageId": IMAGE, "destinationImageId": f"img-new{n}"} for n in (1, 2)]
    told = record(
        eventName="copyImages", request={"destinationRegion": "cn-east-2"}, response={"result": {"copyImages": made}}
    )
    assert sightings(told) == [seen(f"img-new{n}", "cn-east-2", f"audit-1/img-new{n}") for n in (1, 2)]


@pytest.mark.parametrize("changes", [{"response": ""}, {"request": ""}])
def test_a_copy_that_does_not_list_its_images_or_region_is_no_sighting_of_its_source(changes: dict[str, str]) -> None:
    made = [{"sourceImageId": IMAGE, "destinationImageId": "img-new1"}]
    whole = {"request": {"destinationRegion": "cn-east-2"}, "response": {"copyImages": made}}
    about = [{"resourceType": "image", "resource": IMAGE}]
    assert sightings(record(eventName="copyImages", resources=about, **{**whole, **changes})) == []


@pytest.mark.parametrize("changes", [{"eventName": "deleteImage"}, {"service": "disk"}, {"errorCode": "403"}])
def test_other_calls_and_refused_ones_sight_nothing(changes: dict[str, str]) -> None:
    assert sightings(record(**changes)) == []


@pytest.mark.parametrize("code", [0, "0", "", None, 200])
def test_every_way_to_write_success_is_known(code: object) -> None:
    assert sightings(record(errorCode=code)) == [seen()]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"response": ""}, "names no image"),
        ({"region": ""}, "names no region"),
        ({"eventId": "", "requestId": ""}, "has no id"),
    ],
)
def test_a_record_that_cannot_be_read_says_why(changes: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sightings(record(**changes))


def test_of_who_asked_only_the_account_is_taken() -> None:
    shown = repr(sightings(record()))
    assert [word for word in ("AKverysecret", "192.0.2.7", "agent") if word in shown] == []


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"source": "acs.ecs", "type": "ecs:ActionTrail:ApiCall", "data": {"eventName": "CreateImage"}},
        {"source": "cvm.cloud.tencent", "type": "cvm:CloudEvent:ApiCall", "data": {}},
        {"eventName": "CreateImage", "acsRegion": "cn-hangzhou", "eventSource": "ecs.aliyuncs.com"},
        {"eventName": "CreateImage", "eventRegion": "ap-guangzhou", "eventType": "ApiCall"},
        {"source": "jcloud.vm"},
        {"source": 7, "detailType": None},
    ],
)
def test_events_of_others_are_not_ours(foreign: dict[str, Any]) -> None:
    assert sightings(foreign) is None
