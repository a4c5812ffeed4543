"""Any other JSON through a source's mapping."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import ValidationError

from imageferry.ports import Delivery, Sighting, Unreadable
from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.mapping import Mapper, MappingSpec
from support.events import binary, ready_bytes, ready_event

SPEC = {
    "cloud": "'tencent'",
    "region": "detail.region",
    "image_id": "detail.imageId",
    "account": "detail.account",
    "id": "detail.buildId",
    "image": {"name": "detail.name"},
}
BUILT: dict[str, Any] = {
    "event": "built",
    "detail": {
        "region": "ap-guangzhou",
        "imageId": "img-1",
        "account": "prod",
        "buildId": "build-7",
        "name": "prod-web",
    },
}
SEEN = Sighting("kafka:builds", "build-7", "tencent", "prod", "ap-guangzhou", "img-1")


def mapper(**changes: Any) -> Mapper:
    return Mapper(MappingSpec.model_validate({k: v for k, v in (SPEC | changes).items() if v is not None}))


def body(**detail: Any) -> bytes:
    """The pipeline's message; None leaves a part of ``detail`` out."""
    kept = {name: value for name, value in (BUILT["detail"] | detail).items() if value is not None}
    return json.dumps(BUILT | {"detail": kept}).encode()


def read(content: bytes, headers: Any = (), *mappers: Mapper, **options: Any) -> list[Delivery]:
    return Codec([], mappers or (mapper(),)).read(content, "here", headers, mapped_source="kafka:builds", **options)


def reason(content: bytes, *mappers: Mapper, **options: Any) -> str:
    [found] = read(content, (), *mappers, **options)
    assert isinstance(found, Unreadable)
    assert (found.source, found.body) == ("here", content)
    return found.reason


def test_a_message_of_a_pipeline_is_a_sighting() -> None:
    assert read(body()) == [SEEN]


def test_its_facts_are_for_plan() -> None:
    told = Codec([], [mapper()]).told(body(), "here", mapped_source="kafka:builds")
    assert told == [Told(SEEN, {"name": "prod-web"})]


def test_an_array_of_messages_is_a_sighting_each() -> None:
    batch = b"[" + body() + b"," + body(imageId="img-2", buildId="build-8") + b"]"
    assert [one.event_id for one in read(batch) if isinstance(one, Sighting)] == ["build-7", "build-8"]


def test_an_account_may_be_left_out() -> None:
    assert read(body(account=None)) == [SEEN._replace(account=None)]


def test_whole_numbers_are_ids() -> None:
    assert read(body(account=100000000001, buildId=7)) == [SEEN._replace(account="100000000001", event_id="7")]


def test_without_an_id_the_content_is_what_the_event_is_known_by() -> None:
    content = body()
    [found] = read(content, (), mapper(id=None))
    assert found == SEEN._replace(event_id=hashlib.sha256(content).hexdigest())


def test_an_id_that_is_not_there_is_the_content_too() -> None:
    content = body(buildId=None)
    assert read(content) == [SEEN._replace(event_id=hashlib.sha256(content).hexdigest())]


def test_our_own_event_is_read_as_such_first() -> None:
    assert read(ready_bytes("img-9")) == [
        Sighting("/build", "event-of-img-9", "tencent", "prod", "ap-guangzhou", "img-9")
    ]


def test_a_record_of_a_cloud_is_read_as_such_first() -> None:
    codec = Codec([lambda _: [SEEN._replace(source="the cloud")]], [mapper()])
    assert codec.read(body(), "here") == [SEEN._replace(source="the cloud")]


def test_a_broken_event_of_our_own_is_not_left_to_the_mapping() -> None:
    assert "data" in reason(json.dumps(ready_event(data=None) | BUILT).encode())


def test_a_cloudevent_of_another_type_keeps_its_own_source_and_id() -> None:
    event = {"specversion": "1.0", "type": "built", "source": "/ci", "id": "e-1", **BUILT}
    assert read(json.dumps(event).encode(), (), mapper(id=None)) == [SEEN._replace(source="/ci", event_id="e-1")]


def test_a_binary_cloudevent_of_another_type_is_read_with_its_data() -> None:
    event = {"specversion": "1.0", "type": "built", "source": "/ci", "id": "e-1", "data": BUILT["detail"]}
    content, headers = binary(event)
    fields = {"region": "data.region", "image_id": "data.imageId", "account": None, "id": None, "image": None}
    [found] = read(content, headers, mapper(**fields))
    assert found == Sighting("/ci", "e-1", "tencent", None, "ap-guangzhou", "img-1")


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ({"region": None}, 'mapping.region "detail.region" yields nothing'),
        ({"imageId": ""}, 'mapping.image_id "detail.imageId" yields nothing'),
        ({"imageId": ["a"]}, 'mapping.image_id "detail.imageId" yields ["a"]; text was expected'),
        ({"imageId": True}, 'mapping.image_id "detail.imageId" yields true; text was expected'),
        ({"imageId": "a b"}, "image_id 'a b' is not a name that a cloud gives"),
        ({"buildId": "x\n"}, "id is longer than 1024 characters or has control characters in it"),
    ],
)
def test_what_yields_no_event_says_which_field_and_expression(detail: dict[str, Any], said: str) -> None:
    assert reason(body(**detail)) == said


def test_an_expression_that_cannot_be_applied_says_so() -> None:
    said = reason(body(), mapper(region="length(detail.region.x)"))
    assert said.startswith('mapping.region "length(detail.region.x)" cannot be applied: ')


@pytest.mark.parametrize(
    ("expression", "name"), [("contains(detail.name, detail.nothing)", "abc"), ("floor(to_number(detail.name))", "inf")]
)
def test_an_expression_that_fails_in_its_own_way_is_a_reason_too(expression: str, name: str) -> None:
    said = reason(body(name=name), mapper(id=expression))
    assert said.startswith(f'mapping.id "{expression}" cannot be applied: ')


def test_a_fact_that_cannot_be_found_out_hides_no_image() -> None:
    one = mapper(image={"name": "contains(detail.name, detail.nothing)", "os": "'linux'"})
    assert read(body(), (), one) == [SEEN]
    [told] = Codec([], [one]).told(body(), "here", mapped_source="kafka:builds")
    assert isinstance(told, Told)
    assert told.facts == {"name": None, "os": "linux"}


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_no_depth_of_nesting_is_more_than_a_reason(opened: str, closed: str) -> None:
    """Just below the depth at which JSON cannot be read, there is less room for whatever comes after the reading."""
    for depth in range(800, 1100):
        value = f"{opened * depth}1{closed * depth}"
        assert reason(f'{{"detail": {{"region": "ap-guangzhou", "imageId": {value}}}}}'.encode())


def test_a_cloud_that_there_is_not_is_unreadable() -> None:
    assert "cloud 'built' is unknown" in reason(body(), mapper(cloud="event"))


def test_the_first_mapping_that_can_read_it_wins() -> None:
    other = mapper(image_id="nothing.here")
    assert read(body(), (), other, mapper()) == [SEEN]
    assert reason(b'{"a": 1}', other, mapper()).count("yields nothing") == 1


def test_beside_a_mapping_only_the_whole_of_our_data_is_taken_for_it() -> None:
    content = json.dumps({"cloud": "tencent", **BUILT}).encode()
    assert read(content, bare_source="file:e") == [SEEN]
    ours = {"cloud": "tencent", "region": "ap-shanghai", "image_id": "img-9"}
    [found] = read(json.dumps(ours).encode(), bare_source="file:e")
    assert found[2:] == ("tencent", None, "ap-shanghai", "img-9")


@pytest.mark.parametrize(
    ("field", "text", "said"),
    [
        ("region", "detail.[", "it ends too soon at character 9"),
        ("region", "a b", '"b" cannot stand there at character 3'),
        ("region", "'abc", "a quote is opened and never closed at character 1"),
        ("region", "a-b", "there is no such sign at character 2"),
        ("region", "  ", "is not a JMESPath expression"),
        ("region", "[" * 4000, "is not a JMESPath expression"),
        (
            "region",
            "lenght(a)",
            'calls the function lenght, which JMESPath does not have; expected another; did you mean "length"?',
        ),
        ("region", "a[?starts_with(b)]", "gives starts_with() 1 arguments; expected 2"),
        ("region", "merge()", "gives merge() 0 arguments; expected at least 1"),
        ("cloud", "tencent", "write \"'tencent'\""),
        (
            "cloud",
            "'tencnet'",
            'is no cloud; expected one of tencent, aliyun, huawei, jdcloud; did you mean "tencent"?',
        ),
    ],
)
def test_an_expression_that_can_never_work_is_refused_at_load(field: str, text: str, said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        MappingSpec.model_validate(SPEC | {field: text})
    [error] = caught.value.errors()
    assert (error["loc"][0], said in error["msg"]) == (field, True)


def test_a_fact_that_there_is_not_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ValidationError, match=r'unknown fact "nmae"; .*did you mean "name"'):
        MappingSpec.model_validate(SPEC | {"image": {"nmae": "a"}})
