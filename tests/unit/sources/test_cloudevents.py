from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from imageferry.ports import Delivery, Sighting, Unreadable
from imageferry.sources.cloudevents import LARGEST, Codec, Told
from support.events import READY, binary, ready_bytes, ready_event

SEEN = Sighting("/build", "event-of-img-0yc6rie8", "tencent", "prod", "ap-guangzhou", "img-0yc6rie8")
ORIGIN = "kafka:image-events[3]@1041"


def read(body: bytes | None, headers: Any = (), **options: Any) -> list[Delivery]:
    return Codec([]).read(body, ORIGIN, headers, **options)


def reason(body: bytes | None, headers: Any = (), **options: Any) -> str:
    [found] = read(body, headers, **options)
    assert isinstance(found, Unreadable)
    assert (found.source, found.body) == (ORIGIN, (body or b"")[:LARGEST])
    return found.reason


def test_a_structured_event_is_a_sighting() -> None:
    assert read(ready_bytes()) == [SEEN]


def test_a_structured_event_with_its_content_type_is_a_sighting() -> None:
    headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
    assert read(ready_bytes(), headers) == [SEEN]


def test_structured_mode_wins_where_the_content_type_says_so_beside_binary_headers() -> None:
    headers = [("ce_id", b"other"), ("Content-Type", b"application/cloudevents+json")]
    assert read(ready_bytes(), headers) == [SEEN]


def test_a_binary_event_is_a_sighting() -> None:
    value, headers = binary(ready_event())
    assert read(value, headers) == [SEEN]


def test_binary_headers_may_be_in_upper_case() -> None:
    value, headers = binary(ready_event())
    assert read(value, [(key.upper(), text) for key, text in headers]) == [SEEN]


def test_other_headers_are_nothing_to_a_binary_event() -> None:
    value, headers = binary(ready_event())
    assert read(value, [("trace", b"\xff\x00"), *headers]) == [SEEN]


def test_every_event_of_a_batch_is_a_delivery_and_a_bad_one_spoils_no_other() -> None:
    bad = ready_event("img-2", data__cloud="aws")
    body = json.dumps([ready_event(), bad, 7, ready_event("img-3")]).encode()
    found = read(body)
    assert [type(one).__name__ for one in found] == ["Sighting", "Unreadable", "Unreadable", "Sighting"]
    assert [(one.source, one.body) for one in found if isinstance(one, Unreadable)] == [
        (f"{ORIGIN}#1", json.dumps(bad).encode()),
        (f"{ORIGIN}#2", b"7"),
    ]


def test_an_event_without_account_leaves_it_open() -> None:
    [found] = read(ready_bytes(data__account=None))
    assert isinstance(found, Sighting)
    assert found.account is None


@pytest.mark.parametrize("image", [17, {"os": ["wrong"]}, "text", None, []])
def test_a_wrong_fact_does_not_hide_an_image(image: object) -> None:
    event = ready_event()
    event["data"]["image"] = image
    assert read(json.dumps(event).encode()) == [SEEN]


@pytest.mark.parametrize(
    "more",
    [
        {"subject": "img-0yc6rie8"},
        {"dataschema": "https://example.com/schema"},
        {"myextension": 5, "traceparent": "00-1-2-01"},
        {"time": "2026-01-02T03:04:05+08:00"},
        {"datacontenttype": "application/vnd.image+json"},
    ],
)
def test_optional_attributes_and_extensions_are_taken(more: dict[str, Any]) -> None:
    assert read(ready_bytes(**more)) == [SEEN]


def test_null_attributes_count_as_absent() -> None:
    event = ready_event() | {"subject": None, "time": None, "someextension": None}
    assert read(json.dumps(event).encode()) == [SEEN]


def test_base64_data_is_unpacked() -> None:
    event = ready_event()
    event["data_base64"] = base64.b64encode(json.dumps(event.pop("data")).encode()).decode()
    assert read(json.dumps(event).encode()) == [SEEN]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (None, "the message is empty"),
        (b"", "the message is empty"),
        (b" \n", "the message is empty"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at position 7"),
        (b"{", "not JSON: Input data was truncated"),
        (b"[]", "the batch is empty"),
        (b"3", "this is a number; a JSON object, or an array of objects, was expected"),
        (b"{}", "neither a CloudEvent nor a record that is known here; it has no keys"),
        (b'{"b": 1, "a": 2}', "neither a CloudEvent nor a record that is known here; it has the keys 'a', 'b'"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON that is nested too deeply"),
        (b"x" * (LARGEST + 1), f"too large: {LARGEST + 1} bytes"),
        (ready_bytes(specversion=None), "not a CloudEvent: specversion missing"),
        (ready_bytes(specversion="0.3"), "'specversion' must be '1.0'"),
        (ready_bytes(id=None, source=None), "not a CloudEvent: id, source missing"),
        (ready_bytes(id=""), "'id' must not be None or empty"),
        (ready_bytes(id=7), "'id' must be a <class 'str'>"),
        (ready_bytes(id="a\u0000b"), "id is longer than 1024 characters or has control characters in it"),
        (ready_bytes(time="yesterday"), "time 'yesterday' is not an RFC 3339 time with its zone"),
        (ready_bytes(time="2026-01-02T03:04:05"), "is not an RFC 3339 time with its zone"),
        (ready_bytes(time=1760000000123), "time '1760000000123' is not an RFC 3339 time with its zone"),
        (ready_bytes(**{"Bad-Name": "x"}), "'Bad-Name' should only contain lowercase letters and numbers"),
        (ready_bytes(data=None), "data is missing; an object with cloud, region and image_id was expected"),
        (ready_bytes(data="text"), "data is text; an object"),
        (ready_bytes(data=None, data_base64="%"), "data_base64 is not base64"),
        (ready_bytes(data=None, data_base64=5), "data_base64 is not text"),
        (ready_bytes(data__image_id=None), "image_id missing in data"),
        (ready_bytes(data__image_id=None, data__region=None), "region, image_id missing in data"),
        (ready_bytes(data__image_id=5), "image_id is a number; text was expected"),
        (ready_bytes(data__account=100000000001), "account is a number; text was expected"),
        (ready_bytes(data__region=["x"]), "region is an array; text was expected"),
        (ready_bytes(data__region="a region"), "region 'a region' is not a name that a cloud gives"),
        (ready_bytes(data__image_id="img-1\n"), r"image_id 'img-1\n' is not a name that a cloud gives"),
        (
            ready_bytes(data__cloud="aws"),
            "cloud 'aws' is unknown; expected one of tencent, aliyun, huawei, jdcloud",
        ),
        (ready_bytes(type="com.example.x"), "events of type 'com.example.x' from '/build' are not known here"),
    ],
)
def test_what_cannot_be_read_says_precisely_why(body: bytes | None, said: str) -> None:
    assert said in reason(body)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ce_id": None}, "not a CloudEvent: id missing"),
        ({"ce_id": b"\xff"}, "header ce_id is not UTF-8"),
        ({"content-type": b"application/xml"}, "the data is 'application/xml'; application/json was expected"),
        ({"ce_specversion": b"2.0"}, "'specversion' must be '1.0'"),
    ],
)
def test_a_broken_binary_event_says_precisely_why(change: dict[str, bytes | None], said: str) -> None:
    value, headers = binary(ready_event())
    assert said in reason(value, list((dict(headers) | change).items()))


def test_an_overlong_value_is_quoted_in_part_only() -> None:
    assert len(reason(ready_bytes(data__cloud="x" * 10_000))) < 200


def test_of_a_body_that_is_too_large_only_the_beginning_is_kept() -> None:
    [found] = read(b"x" * (LARGEST * 2))
    assert isinstance(found, Unreadable)
    assert len(found.body) == LARGEST


VENDOR = {"specversion": "1.0", "id": "v1", "source": "cvm.cloud.tencent", "type": "cvm:CloudEvent:ApiCall"}
OF_VENDOR = Sighting("cvm.cloud.tencent", "v1", "tencent", None, "ap-guangzhou", "img-9")


def reader(envelope: Mapping[str, Any]) -> list[Sighting] | None:
    """Stands for a cloud's own reader."""
    match envelope:
        case {"type": "cvm:CloudEvent:ApiCall", "data": {"broken": what}} | {"eventName": "X", "broken": what}:
            if what == "bug":
                raise KeyError("secretId=AKIDxxxx")
            raise ValueError(f"the audit record has {what}")
        case {"type": "cvm:CloudEvent:ApiCall"} | {"eventName": "CreateImage"}:
            return [OF_VENDOR, OF_VENDOR._replace(image_id="img-10")]
        case {"eventName": _}:
            return []
    return None


def test_other_types_are_left_to_the_vendors_readers() -> None:
    found = Codec([lambda _: None, reader]).read(json.dumps(VENDOR).encode(), ORIGIN)
    assert found == [OF_VENDOR, OF_VENDOR._replace(image_id="img-10")]


def test_a_vendors_strange_time_and_version_are_its_readers_affair() -> None:
    strange = json.dumps(VENDOR | {"specversion": "0", "time": 1760000000123}).encode()
    assert len(Codec([reader]).read(strange, ORIGIN)) == 2


def test_a_bare_vendor_record_is_read_without_an_envelope() -> None:
    assert len(Codec([reader]).read(b'{"eventName": "CreateImage"}', ORIGIN)) == 2


def test_an_array_of_vendor_records_is_read_one_by_one() -> None:
    body = b'[{"eventName": "CreateImage"}, {"eventName": "RunInstances"}, {"other": 1}]'
    found = Codec([reader]).read(body, ORIGIN)
    assert [type(one).__name__ for one in found] == ["Sighting", "Sighting", "Unreadable"]


def test_a_vendor_event_in_binary_mode_reaches_its_reader() -> None:
    headers = [(f"ce_{name}", value.encode()) for name, value in VENDOR.items()]
    assert len(Codec([reader]).read(b'{"eventName": "CreateImage"}', ORIGIN, headers)) == 2


def test_a_vendor_record_that_asks_for_nothing_gives_nothing() -> None:
    assert Codec([reader]).read(b'{"eventName": "RunInstances"}', ORIGIN) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"region": "ap-guangzhou\0"}, "region 'ap-guangzhou\\x00' is not a name that a cloud gives"),
        ({"image_id": "img-1 "}, "image_id 'img-1 ' is not a name that a cloud gives"),
        ({"account": "x" * 129}, f"account '{'x' * 60}…' is not a name that a cloud gives"),
        ({"event_id": "1\0"}, "id is longer than 1024 characters or has control characters in it"),
        ({"source": "s" * 1025}, "source is longer than 1024 characters or has control characters in it"),
    ],
)
def test_what_a_reader_takes_out_of_a_record_is_checked_like_our_own(changed: dict[str, str], said: str) -> None:
    seen = Sighting("/cloud", "1", "tencent", "prod", "ap-guangzhou", "img-1")
    body = b'{"eventName": "CreateImage"}'
    assert Codec([lambda _: [seen]]).read(body, "here") == [seen]
    [found] = Codec([lambda _: [seen._replace(**changed)]]).read(body, "here")
    assert isinstance(found, Unreadable)
    assert found.reason == said


def test_a_readers_complaint_is_the_reason() -> None:
    [found] = Codec([reader]).read(b'{"eventName": "X", "broken": "no image id"}', ORIGIN)
    assert found == Unreadable(
        ORIGIN, "the audit record has no image id", b'{"eventName": "X", "broken": "no image id"}'
    )


def test_a_reader_that_breaks_makes_a_dead_letter_and_tells_no_secret() -> None:
    [found] = Codec([reader]).read(json.dumps(VENDOR | {"data": {"broken": "bug"}}).encode(), ORIGIN)
    assert isinstance(found, Unreadable)
    assert found.reason == "its reader failed with KeyError; this is a fault of imageferry"


def test_the_own_type_is_never_left_to_a_reader() -> None:
    def greedy(_: Mapping[str, Any]) -> list[Sighting] | None:
        return []

    assert Codec([greedy]).read(ready_bytes(someextension="x"), ORIGIN) == [SEEN]


BARE = b'{"cloud": "tencent", "region": "ap-guangzhou", "image_id": "img-1"}'


def test_bare_data_is_refused_where_it_is_not_expected() -> None:
    assert "neither a CloudEvent nor a record" in reason(BARE)


def test_bare_data_has_its_content_as_its_id() -> None:
    [first] = read(BARE, bare_source="file:events.ndjson")
    [again] = read(BARE + b"\n", bare_source="file:events.ndjson")
    assert first == again
    assert first[2:] == ("tencent", None, "ap-guangzhou", "img-1")
    assert first[0] == "file:events.ndjson"


def test_bare_data_of_another_image_has_another_id() -> None:
    [one] = read(BARE, bare_source="f")
    [two] = read(BARE.replace(b"img-1", b"img-2"), bare_source="f")
    assert one[1] != two[1]


def test_broken_bare_data_says_what_is_missing() -> None:
    assert reason(b'{"cloud": "tencent"}', bare_source="f") == "region, image_id missing in the object"


def test_the_facts_are_told_to_who_asks_for_them() -> None:
    event = ready_event()
    event["data"]["image"] = {"os": "linux", "size_gib": 20}
    assert Codec([]).told(json.dumps(event).encode(), ORIGIN) == [Told(SEEN, {"os": "linux", "size_gib": 20})]


def test_facts_that_are_no_object_are_none_at_all() -> None:
    event = ready_event()
    event["data"]["image"] = "linux"
    assert Codec([]).told(json.dumps(event).encode(), ORIGIN) == [Told(SEEN, {})]


def test_the_own_type_is_the_one_the_design_names() -> None:
    assert READY == "io.imageferry.image.ready"
