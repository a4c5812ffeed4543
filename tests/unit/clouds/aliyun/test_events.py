from __future__ import annotations

import json
from typing import Any

import pytest

from imageferry.clouds.aliyun.events import sightings
from imageferry.ports import Sighting

ACCOUNT = "1000000000000000"

# The sample of the vendor's documentation, put together from its documented fields.
RECORD: dict[str, Any] = {
    "acsRegion": "cn-hangzhou",
    "apiVersion": "2014-05-26",
    "eventCategory": "Management",
    "eventId": "9f0c1111",
    "eventName": "CreateImage",
    "eventRW": "Write",
    "eventSource": "ecs-cn-hangzhou.aliyuncs.com",
    "eventTime": "2024-03-05T06:07:07Z",
    "eventType": "ApiCall",
    "eventVersion": "1",
    "recipientAccountId": ACCOUNT,
    "requestId": "9f0c2222",
    "serviceName": "Ecs",
    "sourceIpAddress": "192.0.2.7",
    "userAgent": "some-agent",
    "requestParameters": {"RegionId": "cn-hangzhou", "InstanceId": "i-bp1aaaa", "ImageName": "web-01"},
    "responseElements": {"RequestId": "9f0c2222", "ImageId": "m-bp1new"},
    "referencedResources": {"ACS::ECS::Image": ["m-bp1new"], "ACS::ECS::Instance": ["i-bp1aaaa"]},
    "userIdentity": {"type": "ram-user", "accountId": "77", "principalId": "2", "userName": "verysecretname"},
}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "9f0c1111",
    "source": "acs.ecs",
    "type": "ecs:ActionTrail:ApiCall",
    "time": "2024-03-05T06:07:08Z",
    "aliyunaccountid": ACCOUNT,
    "aliyunregionid": "cn-hangzhou",
    "aliyuneventbusname": "default",
}
NOTICE: dict[str, Any] = {
    "product": "ECS",
    "name": "Image:StateChange",
    "level": "INFO",
    "id": "2256A988",
    "ver": "1.0",
    "userId": ACCOUNT,
    "regionId": "cn-hangzhou",
    "resourceId": f"acs:ecs:cn-hangzhou:{ACCOUNT}:image/m-bp1new",
    "content": {"resourceId": "m-bp1new", "resourceType": "ALIYUN::ECS::Image", "state": "Available"},
}
SEEN = Sighting("acs.ecs", "9f0c1111", "aliyun", ACCOUNT, "cn-hangzhou", "m-bp1new")


def record(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**RECORD, **changes}.items() if value is not None}


def event(data: Any = RECORD, **changes: Any) -> dict[str, Any]:
    return {**ENVELOPE, "data": data, **changes}


# --- ActionTrail ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "ecs:ActionTrail:ApiCall",
        "ecs:ActionTrail:ConsoleOperation",
        "ecs:ActionTrail:AliyunServiceEvent",
        "actiontrail:ActionTrail:ApiCall",
    ],
)
def test_a_call_that_makes_an_image_is_a_sighting(kind: str) -> None:
    assert sightings(event(type=kind)) == [SEEN]


def test_a_bare_record_is_the_same_sighting() -> None:
    assert sightings(RECORD) == [SEEN]


def test_a_record_written_as_text_is_read_too() -> None:
    assert sightings(event(json.dumps(RECORD))) == [SEEN]


@pytest.mark.parametrize("name", ["CreateImage", "ImportImage", "ModifyImageAttribute"])
@pytest.mark.parametrize("version", [{"eventVersion": 1}, {"apiVersion": "*"}, {"eventType": "ConsoleOperation"}])
def test_every_call_after_which_there_may_be_a_new_image_counts(name: str, version: dict[str, Any]) -> None:
    assert sightings(record(eventName=name, **version)) == [SEEN]


@pytest.mark.parametrize(
    "places",
    [
        {"responseElements": {"ImageId": "m-bp1new"}, "referencedResources": None},
        {"responseElements": json.dumps({"ImageId": "m-bp1new"})},
        {"responseElements": {}, "referencedResources": {"ACS::ECS::Image": ["m-bp1new"]}},
        {"responseElements": None, "referencedResources": None, "resourceName": "m-bp1new"},
        {"responseElements": None, "referencedResources": None, "requestParameters": {"ImageId": "m-bp1new"}},
    ],
)
def test_the_image_is_found_wherever_it_is_named(places: dict[str, Any]) -> None:
    assert sightings(record(**places)) == [SEEN]


def test_several_images_are_several_sightings() -> None:
    seen = sightings(record(responseElements=None, referencedResources={"ACS::ECS::Image": ["m-a", "m-b", "m-a"]}))
    assert seen is not None
    assert [(each.event_id, each.image_id) for each in seen] == [("9f0c1111/m-a", "m-a"), ("9f0c1111/m-b", "m-b")]


def copied(**changes: Any) -> dict[str, Any]:
    asked = {"RegionId": "cn-hangzhou", "ImageId": "m-bp1old", "DestinationRegionId": "cn-shanghai"}
    resources = {"ACS::ECS::Image": ["m-bp1old", "m-uf6new"]}
    answered = {"ImageId": "m-uf6new"}
    given = {"requestParameters": asked, "responseElements": answered, "referencedResources": resources}
    return record(eventName="CopyImage", **{**given, **changes})


@pytest.mark.parametrize("changes", [{}, {"responseElements": {}}, {"responseElements": None}])
def test_a_copy_is_sighted_in_the_region_that_it_goes_to(changes: dict[str, Any]) -> None:
    assert sightings(copied(**changes)) == [SEEN._replace(region="cn-shanghai", image_id="m-uf6new")]


def test_a_copy_that_names_only_its_source_is_nothing_new() -> None:
    only = {"responseElements": None, "referencedResources": {"ACS::ECS::Image": ["m-bp1old"]}}
    assert sightings(copied(**only)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"errorCode": "InvalidParameter"},
        {"eventName": "DeleteImage"},
        {"eventName": "ExportImage"},
        {"eventName": "RunInstances"},
        {"serviceName": "Vpc", "eventSource": "vpc.aliyuncs.com"},
    ],
)
def test_what_failed_or_makes_no_image_is_nothing(changes: dict[str, Any]) -> None:
    assert sightings(record(**changes)) == []
    assert sightings(event(record(**changes))) == []


def test_the_account_may_stand_in_the_envelope_alone() -> None:
    assert sightings(event(record(recipientAccountId=None))) == [SEEN]
    assert sightings(record(recipientAccountId=None)) == [SEEN._replace(account=None)]


def test_of_who_asked_nothing_is_taken() -> None:
    shown = repr((sightings(event()), sightings(RECORD)))
    assert [word for word in ("verysecretname", "192.0.2.7", "some-agent", "'77'") if word in shown] == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"responseElements": None, "referencedResources": None}, "names no image"),
        ({"acsRegion": "", "requestParameters": None}, "names no region"),
        ({"eventId": "", "requestId": ""}, "has no id"),
    ],
)
def test_a_record_that_cannot_be_read_says_why(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sightings(record(**changes))


@pytest.mark.parametrize("data", [None, "", "no json", [], {}])
def test_an_event_without_its_record_says_so(data: Any) -> None:
    with pytest.raises(ValueError, match="carries no record"):
        sightings(event(data))


# --- notices -------------------------------------------------------------------------------------------------------


def test_a_notice_of_an_image_that_is_available_is_a_sighting_bare_or_in_an_event() -> None:
    seen = SEEN._replace(event_id="2256A988")
    assert sightings(NOTICE) == [seen]
    assert sightings(event(NOTICE, type="ecs:Image:StateChange", id="e-1")) == [seen._replace(event_id="e-1")]


@pytest.mark.parametrize("content", [{}, {"state": "Creating", "resourceId": "m-bp1new"}])
def test_any_other_state_is_nothing(content: dict[str, str]) -> None:
    assert sightings({**NOTICE, "content": content}) == []


def test_a_notice_names_its_image_in_one_of_two_places() -> None:
    seen = sightings({**NOTICE, "content": {"state": "Available"}})
    assert seen is not None
    assert [each.image_id for each in seen] == ["m-bp1new"]


def test_one_that_names_none_says_so() -> None:
    with pytest.raises(ValueError, match="names no image"):
        sightings({**NOTICE, "content": {"state": "Available"}, "resourceId": ""})


def test_a_snapshot_that_is_complete_names_no_image() -> None:
    content = {"result": "accomplished", "snapshotId": "s-bp1", "snapshotType": "user", "diskId": "d-bp1"}
    notice = {**NOTICE, "name": "Snapshot:CreateSnapshotCompleted", "content": content}
    assert sightings(notice) == []
    assert sightings(event(notice, type="ecs:Snapshot:CreateSnapshotCompleted")) == []


# --- Cloud Config --------------------------------------------------------------------------------------------------


def item(**changes: Any) -> dict[str, Any]:
    data = {"resourceId": "m-bp1new", "resourceType": "ACS::ECS::Image", "regionId": "cn-hangzhou", **changes}
    kind = "config:Config:ConfigurationItemChangeNotification"
    return event(data, source="acs.config", type=kind, id="c-1", aliyunregionid="cn-shanghai")


def test_an_image_that_cloud_config_has_recorded_is_a_sighting_in_its_own_region() -> None:
    assert sightings(item()) == [SEEN._replace(event_id="c-1")]


def test_its_region_may_stand_in_its_configuration() -> None:
    assert sightings(item(regionId="", configuration='{"RegionId": "cn-hangzhou"}')) == [SEEN._replace(event_id="c-1")]


@pytest.mark.parametrize("changes", [{"resourceId": "i-bp1"}, {"regionId": ""}, {"resourceType": "ACS::ECS::Instance"}])
def test_anything_else_that_it_has_recorded_is_nothing(changes: dict[str, str]) -> None:
    assert sightings(item(**changes)) == []


# --- others --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "foreign",
    [
        {},
        {"source": "jcloud.vm", "detailType": "x", "detail": {}},
        {"source": "cvm.cloud.tencent", "type": "cvm:CloudEvent:ApiCall", "data": {}},
        {"eventName": "CreateImage", "eventRegion": "ap-guangzhou", "eventType": "ApiCall"},
        {"eventName": "CreateImage", "serviceApiVersion": "1", "eventSource": "vm.jdcloud-api.com"},
        {"trace_name": "createImage", "service_type": "IMS"},
        {"source": 7, "type": None},
        {"source": "acs.ecs"},
        {"product": "ECS", "name": 1},
    ],
)
def test_events_of_others_are_not_ours(foreign: dict[str, Any]) -> None:
    assert sightings(foreign) is None


@pytest.mark.parametrize("source", ["acs.oss", "acs.rds"])
def test_events_of_the_clouds_other_services_are_nothing(source: str) -> None:
    assert sightings(event(source=source)) == []
