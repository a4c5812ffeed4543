from __future__ import annotations

import pytest

from imageferry.clouds.reading import json_object, moment, object_of, objects, retry_after, whole
from imageferry.clouds.wire import Reply

DEEP = "[" * 100_000


@pytest.mark.parametrize("text", ["", "no json", "[]", "1", b"\xff", DEEP])
def test_what_is_no_object_is_none(text: str | bytes) -> None:
    assert json_object(text) is None


@pytest.mark.parametrize(
    ("value", "read"), [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("[1]", {}), ("no json", {}), (None, {}), (7, {})]
)
def test_an_object_may_be_written_as_text(value: object, read: object) -> None:
    assert object_of(value) == read


@pytest.mark.parametrize(("value", "read"), [([{"a": 1}, None, "b"], [{"a": 1}]), (None, []), ({"a": 1}, [])])
def test_a_list_keeps_its_objects_only(value: object, read: object) -> None:
    assert objects(value) == read


@pytest.mark.parametrize(
    ("value", "read"), [(12, 12), ("12", 12), ("-1", None), ("²", None), (None, None), (1.5, None)]
)
def test_a_number_may_be_written_as_text(value: object, read: int | None) -> None:
    assert whole(value) == read


def test_a_time_without_a_zone_is_none() -> None:
    assert (moment("1970-01-01T00:00:01Z"), moment("1970-01-01T00:00:01"), moment(None)) == (1_000_000, None, None)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("999999", 3600.0),
        ("Thu, 15 Jan 2026 08:16:40 GMT", 10.0),
        ("Thu, 15 Jan 2026 08:16:00 GMT", 0.0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wait_is_read_however_it_is_written(wait: str, seconds: float | None) -> None:
    headers = {"retry-after": wait, "date": "Thu, 15 Jan 2026 08:16:30 GMT"}
    assert retry_after(Reply(429, headers, b"", 0, 0)) == seconds


def test_a_date_without_the_replys_own_says_nothing() -> None:
    assert retry_after(Reply(429, {"retry-after": "Thu, 15 Jan 2026 08:16:40 GMT"}, b"", 0, 0)) is None
