from typing import Any

import pytest

from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.objects import object_headers, written
from imageferry.rehearsal.options import RehearsalOptions

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("options", "faults", "times", "size"),
    [
        ({}, [], (10, 10), 8),
        ({"object_late_seconds": 1, "object_grows_seconds": 2}, [], (11, 13), 8),
        (
            {"object_late_seconds": 1},
            [Misbehaviour(fault="object_late", after=3), Misbehaviour(fault="object_grows", after=4)],
            (14, 18),
            8,
        ),
        ({}, [Misbehaviour(fault="object_empty")], (10, 10), 0),
    ],
)
def test_options_and_faults_say_when_an_object_is_there_and_whole(
    options: dict[str, Any], faults: list[Misbehaviour], times: tuple[int, int], size: int
) -> None:
    struck = {each.fault: each for each in faults}
    made = written(RehearsalOptions(**options), struck, size=8, etag="e", ends_at=10 * SECOND)
    assert (made.appears_at // SECOND, made.whole_at // SECOND, made.size) == (*times, size)


def test_head_shows_half_of_an_object_that_grows() -> None:
    made = written(RehearsalOptions(object_grows_seconds=2), {}, size=8, etag="e", ends_at=0)
    shown = [object_headers(made, at * SECOND) for at in (1, 2, 9)]
    assert [each["content-length"] for each in shown] == ["4", "8", "8"]
    assert [each["last-modified"][-12:] for each in shown] == ["00:00:01 GMT", "00:00:02 GMT", "00:00:02 GMT"]
    assert (shown[0]["etag"], shown[0]["content-type"]) == ('"e"', "application/octet-stream")
