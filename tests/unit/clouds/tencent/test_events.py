from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.tencent.events import sightings
from imageferry.ports import Sighting

IMAGE = "img-0yc6rie8"
EVENT_ID = "13a3f42d-7258-4ada-da6d-023a333b4662"


def record(**changes: Any) -> dict[str, Any]:
    return {
        "eventID": "audit-1",
        "eventName": "CreateImage",
        "eventType": "ApiCall",
        "actionType": "Write",
        "resourceType": "cvm",
        "eventRegion": "ap-guangzhou",
        "eventTime": 1760000000,
        "apiErrorCode": 0,
        "errorCode": "0",
        "requestParameters": '{"InstanceId":"ins-6pb6lrmy","ImageName":"myImage"}',
        "responseElements": json.dumps({"ImageId": IMAGE, "RequestId": "71e69b56"}),
        "requestID": "71e69b56",
        "userIdentity": {
            "accountId": "100000000001",
            "type": "CAMUser",
            "secretId": "AKIDverysecret",
            "sessionContext": {"token": "session-token"},
        },
        **changes,
    }


def event(data: Any = None, **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": EVENT_ID,
        "source": "cvm.cloud.tencent",
        "type": "cvm:CloudEvent:ApiCall",
        "subject": "img-subject1",
        "time": 1760000000123,
        "region": "ap-guangzhou",
        "datacontenttype": "application/json;charset=utf-8",
        "tags": {},
        "data": record() if data is None else data,
        **changes,
    }


def seen(image_id: str = IMAGE, region: str = "ap-guangzhou", event_id: str = EVENT_ID) -> Sighting:
    return Sighting("cvm.cloud.tencent", event_id, "tencent", "100000000001", region, image_id)


def test_a_whole_event_is_a_sighting_of_the_image_that_the_call_answered() -> None:
    assert sightings(event()) == [seen()]


def test_a_bare_record_is_the_same_under_its_own_id() -> None:
    assert sightings(record()) == [seen(event_id="audit-1")]


def test_a_bare_record_without_an_event_id_goes_by_its_request() -> None:
    bare = record()
    del bare["eventID"]
    assert sightings(bare) == [seen(event_id="71e69b56")]


@pytest.mark.parametrize("kind", ["ApiCall", "ConsoleCall", "MiniProgramCall"])
def test_every_kind_of_call_is_read(kind: str) -> None:
    assert sightings(event(type=f"cvm:CloudEvent:{kind}")) == [seen()]


@pytest.mark.parametrize("answer", [{"ImageId": IMAGE}, json.dumps({"ImageId": IMAGE})], ids=["object", "string"])
def test_the_calls_answer_may_be_an_object_or_a_string(answer: object) -> None:
    assert sightings(event(record(responseElements=answer))) == [seen()]


def test_the_record_may_be_a_string_too() -> None:
    assert sightings(event(json.dumps(record()))) == [seen()]


@pytest.mark.parametrize(
    ("changes", "image_id"),
    [
        ({"resourceName": f"qcs::cvm:ap-guangzhou:uin/1:image/{IMAGE}"}, "img-subject1"),
        ({"responseElements": "{broken"}, "img-subject1"),
        ({"responseElements": None}, "img-subject1"),
    ],
)
def test_without_an_answer_the_subject_names_the_image(changes: dict[str, Any], image_id: str) -> None:
    assert sightings(event(record(**{"responseElements": "", **changes}))) == [seen(image_id)]


@pytest.mark.parametrize("field", ["resourceName", "resourceSet", "resources"])
def test_without_a_subject_the_resources_name_the_image(field: str) -> None:
    data = record(responseElements="", **{field: [f"image/{IMAGE}"]})
    assert sightings(event(data, subject="ins-6pb6lrmy")) == [seen()]


def test_what_only_begins_like_an_image_id_is_none() -> None:
    with pytest.raises(ValueError, match="CreateImage names no image"):
        sightings(event(record(responseElements='{"ImageId":"img-12345678extra"}'), subject="img-short"))


def test_a_copy_is_a_sighting_of_each_new_image_where_it_is() -> None:
    made = {"ImageSet": [{"Region": "ap-shanghai", "ImageId": "img-aaaaaaa1"}]}
    data = record(eventName="SyncImages", responseElements=json.dumps(made))
    assert sightings(event(data)) == [seen("img-aaaaaaa1", "ap-shanghai")]


def test_a_copy_to_two_regions_is_two_sightings_that_no_one_takes_for_repeats() -> None:
    made = [{"Region": "ap-shanghai", "ImageId": "img-aaaaaaa1"}, {"Region": "ap-beijing", "ImageId": "img-bbbbbbb2"}]
    data = record(eventName="SyncImages", responseElements={"ImageSet": made})
    assert sightings(event(data)) == [
        seen("img-aaaaaaa1", "ap-shanghai", f"{EVENT_ID}/img-aaaaaaa1"),
        seen("img-bbbbbbb2", "ap-beijing", f"{EVENT_ID}/img-bbbbbbb2"),
    ]


def test_a_copy_that_does_not_list_its_images_is_no_sighting_of_its_source() -> None:
    assert sightings(event(record(eventName="SyncImages", responseElements='{"ImageSet":[]}'))) == []


@pytest.mark.parametrize("name", ["ModifyImageAttribute", "DeleteImages", "ExportImages", "RunInstances", None])
def test_other_calls_are_ours_but_sight_nothing(name: str | None) -> None:
    assert sightings(event(record(eventName=name))) == []


@pytest.mark.parametrize("changes", [{"apiErrorCode": "LimitExceeded"}, {"apiErrorCode": 4000}, {"errorCode": "1"}])
def test_a_call_that_was_refused_sights_nothing(changes: dict[str, Any]) -> None:
    assert sightings(event(record(**changes))) == []


@pytest.mark.parametrize("code", [0, "0", "", None])
def test_every_way_to_write_success_is_known(code: object) -> None:
    assert sightings(event(record(apiErrorCode=code, errorCode=code))) == [seen()]


@pytest.mark.parametrize("changes", [{"type": "cvm:ErrorEvent:ping"}, {"source": "cos.cloud.tencent"}])
def test_another_event_of_this_cloud_sights_nothing(changes: dict[str, Any]) -> None:
    assert sightings(event(**changes)) == []


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"source": "acs.ecs", "type": "ecs:ActionTrail:ApiCall", "data": {"eventName": "CreateImage"}},
        {"eventName": "CreateImage", "acsRegion": "cn-hangzhou", "eventType": "ApiCall"},
        {"eventName": "CreateImage", "awsRegion": "us-east-1", "eventSource": "ec2.amazonaws.com"},
        {"source": "cvm.cloud.tencent.example.org", "type": "cvm:CloudEvent:ApiCall"},
        {"source": 7, "type": None},
    ],
)
def test_events_of_others_are_not_ours(foreign: dict[str, Any]) -> None:
    assert sightings(foreign) is None


@pytest.mark.parametrize(
    ("envelope", "reason"),
    [
        (event("nothing"), "carries no audit record"),
        (event(record(responseElements=""), subject="ins-1"), "names no image"),
        (event(record(eventRegion=""), region=""), "names no region"),
        (event(record(eventID="", requestID=""), id=""), "has no id"),
    ],
)
def test_what_is_ours_but_cannot_be_read_says_why(envelope: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sightings(envelope)


def test_an_unknown_account_stays_unknown() -> None:
    [sighting] = sightings(event(record(userIdentity=None))) or []
    assert sighting.account is None


def test_of_who_asked_only_the_account_is_taken() -> None:
    shown = repr(sightings(event()))
    assert "AKIDverysecret" not in shown
    assert "session-token" not in shown
