"""The fast path against the slow way: it may refuse, but never accept or read anything differently."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.quick import quick
from support.events import READY, binary, ready_bytes, ready_event

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.just([]), st.just({})
)
TIMES = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    st.sampled_from(
        [
            "2026-01-02T03:04:05z",
            "2026-01-02t03:04:05Z",
            "2026-01-02 03:04:05Z",
            "2026-01-02T03:04:60Z",
            "2026-01-02T24:00:00Z",
            "2026-01-02T03:04:05.123456789Z",
            "2026-01-02T03:04:05+0800",
            "2026-01-02T03:04Z",
            "20260102T030405Z",
            "2026-01-02T03:04:05-00:00",
            "",
        ]
    ),
)
NAMES = st.sampled_from(["img-1", "", " ", "img 1", "img-1\n", "x" * 129, "-x", "a:b", "图", "a\u0000"])
ATTRIBUTES: dict[str, st.SearchStrategy[Any]] = {
    "specversion": st.sampled_from(["1.0", "0.3", "1", ""]) | ODD,
    "id": st.text(max_size=6) | st.just("x" * 1025) | ODD,
    "source": st.text(max_size=6) | ODD,
    "type": st.just(READY) | ODD,
    "time": TIMES | ODD,
    "subject": st.text(max_size=3) | ODD,
    "dataschema": st.text(max_size=3) | ODD,
    "datacontenttype": st.sampled_from(["application/json", "text/plain", ""]) | ODD,
    "partitionkey": ODD,
    "traceparent": ODD,
    "myextension": ODD,
    "Bad-Name": ODD,
    "data_base64": st.just("e30=") | ODD,
    "data": ODD,
}
DATA: dict[str, st.SearchStrategy[Any]] = {
    "cloud": st.sampled_from(["tencent", "jdcloud", "aws", "Tencent"]) | ODD,
    "account": st.text(max_size=3) | ODD,
    "region": NAMES | ODD,
    "image_id": NAMES | ODD,
    "image": ODD,
    "surplus": ODD,
}
REMOVED = object()


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """A good event with up to three things changed or removed."""
    event = ready_event()
    data = event["data"]
    for name in draw(st.lists(st.sampled_from([*ATTRIBUTES, *DATA]), max_size=3)):
        target, values = (event, ATTRIBUTES) if name in ATTRIBUTES else (data, DATA)
        value = draw(values[name] | st.just(REMOVED))
        if value is REMOVED:
            target.pop(name, None)
        else:
            target[name] = value
    return event


def assert_paths_agree(body: bytes, headers: Any) -> None:
    known = quick(body, headers)
    slow = [one.sighting if isinstance(one, Told) else one for one in Codec([]).told(body, "o", headers)]
    if known is not None:
        assert [known] == slow
    assert Codec([]).read(body, "o", headers) == slow


@given(events())
@settings(max_examples=600, deadline=None)
def test_a_structured_event_reads_the_same_on_both_paths(event: dict[str, Any]) -> None:
    assert_paths_agree(json.dumps(event).encode(), [])


@given(events(), st.sampled_from([b"application/json", b"APPLICATION/JSON; charset=utf-8", b"text/plain", b"", None]))
@settings(max_examples=600, deadline=None)
def test_a_binary_event_reads_the_same_on_both_paths(event: dict[str, Any], content_type: bytes | None) -> None:
    value, headers = binary({"data": None} | event)
    assert_paths_agree(value, [*headers, ("content-type", content_type)])


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_noise_reads_the_same_on_both_paths_and_raises_nothing(noise: bytes) -> None:
    assert_paths_agree(noise, [])


FACTS = {"name": 'a "quoted" \u4e2d\U0001f600 name', "size_gib": 20, "tags": {"a": [True, None, -1.5e3]}}
WHOLE = ready_bytes(subject="img-0yc6rie8", data__image=FACTS)


@given(st.integers(0, len(WHOLE)), st.binary(min_size=1, max_size=2) | st.sampled_from([b"\\", b'"', b"01", b"\\ud8"]))
@settings(max_examples=1500, deadline=None)
def test_a_damaged_event_reads_the_same_on_both_paths(at: int, damage: bytes) -> None:
    assert_paths_agree(WHOLE[:at] + damage + WHOLE[at + len(damage) :], [])


@pytest.mark.parametrize(
    "more", [{}, {"subject": "s"}, {"time": None}, {"data__account": None}, {"traceparent": "00-1-2-01"}]
)
def test_usual_events_take_the_fast_path_in_both_modes(more: dict[str, Any]) -> None:
    event = ready_event(**more)
    assert quick(json.dumps(event).encode(), []) is not None
    assert quick(*binary(event)) is not None
