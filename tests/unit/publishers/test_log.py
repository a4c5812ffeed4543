from __future__ import annotations

from structlog.testing import capture_logs

from imageferry.publishers.log import LogPublisher
from imageferry.publishers.specs import LogSpec
from support.clocks import FakeClock
from support.completions import row


async def test_each_completion_is_one_line_at_level_info() -> None:
    with capture_logs() as lines:
        async with LogPublisher(LogSpec(), "log", FakeClock()).open() as log:
            await log.publish([row(1, reason="seen whole"), row(2, reason="")])
    assert lines == [
        {
            "event": "job ended",
            "log_level": "info",
            "event_id": "job1-1",
            "job": "job1",
            "state": "succeeded",
            "image": "img-1",
            "reason": "seen whole",
        },
        {
            "event": "job ended",
            "log_level": "info",
            "event_id": "job2-1",
            "job": "job2",
            "state": "succeeded",
            "image": "img-1",
        },
    ]
