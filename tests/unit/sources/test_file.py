from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from imageferry.errors import SourceFailed
from imageferry.ports import Sighting
from imageferry.sources.cloudevents import LARGEST
from imageferry.sources.file import BATCH, LOOK_EVERY, FileSource, Line, Lines
from imageferry.sources.specs import FileSpec
from imageferry.telemetry.metrics import Metrics
from support.clocks import FakeClock
from support.events import ready_bytes
from support.inbox import Inbox, becomes, running

BARE = b'{"cloud": "tencent", "region": "ap-guangzhou", "image_id": "img-1"}'


class Feed:
    """A file source over a path, its clock and its inbox."""

    def __init__(self, path: Path | str, standard_input: int = 0) -> None:
        self.clock = FakeClock()
        self.inbox = Inbox()
        self.metrics = Metrics()
        self.path = path
        spec = FileSpec(path=str(path))
        self.source = FileSource(spec, "file", [], self.clock, self.metrics, standard_input)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with running(self.source, self.inbox):
            yield

    async def at_rest(self) -> None:
        """Wait until it has read all there is and looks again later."""
        await self.clock.until_sleeping()

    async def look_again(self) -> None:
        await self.at_rest()
        self.clock.jump(LOOK_EVERY)
        await self.at_rest()


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def remove(path: Path) -> None:
    path.unlink()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.ndjson"


async def test_every_line_is_a_delivery_of_type_file(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1"), b"", b"  ", ready_bytes("img-2") + b"\r"))
    async with feed.running():
        await feed.at_rest()
    assert (feed.inbox.ids, feed.inbox.types) == (["event-of-img-1", "event-of-img-2"], {"file"})


async def test_a_bare_line_has_the_path_as_its_source_and_its_content_as_its_id(path: Path) -> None:
    feed = Feed(written(path, BARE, b" " + BARE))
    async with feed.running():
        await feed.at_rest()
    first, second = feed.inbox.deliveries
    assert (first, first.source) == (second, f"file:{path}")


async def test_an_unreadable_line_names_its_file_and_number_and_spoils_no_other(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1"), b"{nonsense", ready_bytes("img-2")))
    async with feed.running():
        await feed.at_rest()
    [bad] = feed.inbox.unreadable
    assert (bad.source.startswith(f"file:{path}:2#"), bad.body) == (True, b"{nonsense")
    assert feed.inbox.ids == ["event-of-img-1", "event-of-img-2"]


async def test_an_unreadable_line_has_the_same_name_when_the_file_is_read_again(path: Path) -> None:
    names = []
    for _ in range(2):
        feed = Feed(written(path, b"{nonsense"))
        async with feed.running():
            await feed.at_rest()
        names += [bad.source for bad in feed.inbox.unreadable]
    assert names[0] == names[1]


async def test_batches_have_at_most_a_thousand_lines(path: Path) -> None:
    feed = Feed(written(path, *[BARE.replace(b"img-1", b"img-%d" % i) for i in range(BATCH * 2 + 5)]))
    async with feed.running():
        await feed.at_rest()
    assert max(len(batch) for batch in feed.inbox.batches) <= BATCH
    assert len(feed.inbox.deliveries) == BATCH * 2 + 5


async def test_it_is_not_drained_before_the_last_line_was_accepted(path: Path) -> None:
    feed = Feed(written(path, ready_bytes()))
    feed.inbox.close()
    async with feed.running():
        await feed.inbox.until(lambda: feed.inbox.waiting == 1)
        assert not feed.source.drained()
        feed.inbox.open()
        await feed.at_rest()
        assert feed.source.drained()


async def test_an_empty_file_is_drained(path: Path) -> None:
    feed = Feed(written(path))
    async with feed.running():
        await feed.at_rest()
        assert (feed.source.drained(), feed.inbox.batches) == (True, [])


async def test_a_path_that_is_not_there_yet_is_waited_for(path: Path) -> None:
    feed = Feed(path)
    async with feed.running():
        await feed.at_rest()
        assert (feed.source.drained(), feed.source.health()) == (False, None)
        written(path, ready_bytes("img-1"))
        await feed.look_again()
        assert (feed.source.drained(), feed.inbox.ids) == (True, ["event-of-img-1"])


async def test_appended_lines_are_followed(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1")))
    async with feed.running():
        await feed.at_rest()
        with path.open("ab") as file:
            file.write(ready_bytes("img-2") + b"\n")
        await feed.look_again()
    assert feed.inbox.ids == ["event-of-img-1", "event-of-img-2"]


async def test_a_last_line_without_its_end_counts_when_nothing_more_comes(path: Path) -> None:
    put(path, ready_bytes("img-1") + b"\n" + b'{"half')
    feed = Feed(path)
    async with feed.running():
        await feed.at_rest()
        assert (len(feed.inbox.deliveries), feed.source.drained()) == (1, False)
        await feed.look_again()
        assert ([bad.body for bad in feed.inbox.unreadable], feed.source.drained()) == ([b'{"half'], True)


async def test_a_last_line_that_is_still_being_written_is_waited_for(path: Path) -> None:
    whole = ready_bytes("img-1")
    put(path, whole[:20])
    feed = Feed(path)
    async with feed.running():
        await feed.at_rest()
        with path.open("ab") as file:
            file.write(whole[20:] + b"\n")
        await feed.look_again()
    assert (feed.inbox.ids, feed.inbox.unreadable) == (["event-of-img-1"], [])


async def test_a_slow_writers_half_line_after_the_end_is_left_alone_until_it_is_whole(path: Path) -> None:
    feed, whole = Feed(written(path)), ready_bytes("img-1")
    async with feed.running():
        await feed.at_rest()
        put(path, whole[:20])
        for _ in range(3):
            await feed.look_again()
        assert feed.inbox.deliveries == []
        with path.open("ab") as file:
            file.write(whole[20:])
        for _ in range(2):
            await feed.look_again()
    assert feed.inbox.ids == ["event-of-img-1"]


async def test_the_end_of_a_line_that_was_counted_already_is_no_line(path: Path) -> None:
    put(path, ready_bytes("img-1"))
    feed = Feed(path)
    async with feed.running():
        await feed.look_again()
        with path.open("ab") as file:
            file.write(b"\n" + ready_bytes("img-2") + b"\n")
        await feed.look_again()
    assert (feed.inbox.ids, feed.inbox.unreadable) == (["event-of-img-1", "event-of-img-2"], [])


async def test_a_replaced_file_is_read_from_its_beginning(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1")))
    async with feed.running():
        await feed.at_rest()
        written(path.with_suffix(".new"), ready_bytes("img-2")).rename(path)
        await feed.look_again()
    assert feed.inbox.ids == ["event-of-img-1", "event-of-img-2"]


async def test_a_file_that_was_cut_is_read_from_its_beginning(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1"), ready_bytes("img-2")))
    async with feed.running():
        await feed.at_rest()
        written(path, ready_bytes("img-3"))
        await feed.look_again()
    assert feed.inbox.ids[2:] == ["event-of-img-3"]


async def test_a_removed_file_is_waited_for(path: Path) -> None:
    feed = Feed(written(path, ready_bytes("img-1")))
    async with feed.running():
        await feed.at_rest()
        remove(path)
        await feed.look_again()
        assert feed.source.health() is None
        written(path.with_suffix(".new"), ready_bytes("img-2")).rename(path)
        await feed.look_again()
    assert feed.inbox.ids == ["event-of-img-1", "event-of-img-2"]


async def test_a_folder_in_the_place_of_a_file_is_said_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    feed = Feed(folder)
    async with feed.running():
        await feed.at_rest()
        assert feed.source.health() == f"{folder} cannot be read: it is not a regular file; use - to read from a pipe"
        folder.rmdir()
        written(folder, ready_bytes("img-1"))
        await feed.look_again()
        assert (feed.source.health(), feed.inbox.ids) == (None, ["event-of-img-1"])


async def test_the_lag_is_what_is_left_to_read(path: Path) -> None:
    feed = Feed(written(path, *[b"x" * 1000] * 600))
    feed.inbox.close()
    lag = {"source": "file", "partition": str(path)}
    async with feed.running():
        await feed.inbox.until(lambda: feed.inbox.waiting == 1)
        assert (feed.metrics.registry.get_sample_value("imageferry_source_lag", lag) or 0) > 300_000
        feed.inbox.open()
        await feed.at_rest()
    assert feed.metrics.registry.get_sample_value("imageferry_source_lag", lag) == 0


async def test_an_intake_that_fails_ends_the_source(path: Path) -> None:
    class Broken(Inbox):
        async def __call__(self, *_: object, **__: object) -> None:
            raise OSError("the disk is gone")

    feed = Feed(written(path, ready_bytes()))
    feed.inbox = Broken()
    with pytest.raises(ExceptionGroup) as caught:
        async with feed.running():
            await feed.at_rest()
    assert caught.group_contains(OSError, match="the disk is gone")


async def test_standard_input_is_read_to_its_end_and_then_used_up() -> None:
    reader, writer = os.pipe()
    feed = Feed("-", reader)
    async with feed.running():
        os.write(writer, ready_bytes("img-1") + b"\n" + ready_bytes("img-2"))
        await feed.inbox.until_count(1)
        assert not feed.source.drained()
        os.close(writer)
        await becomes(feed.source.drained)
    os.close(reader)
    assert feed.inbox.ids == ["event-of-img-1", "event-of-img-2"]


async def test_a_silent_standard_input_does_not_hold_up_the_stop() -> None:
    reader, writer = os.pipe()
    feed = Feed("-", reader)
    async with feed.running():
        pass
    os.close(reader)
    os.close(writer)
    assert feed.inbox.deliveries == []


async def test_a_closed_standard_input_is_an_error_that_says_so() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.close(writer)
    with pytest.raises(ExceptionGroup) as caught:
        async with Feed("-", reader).running():
            await becomes(lambda: False)
    assert caught.group_contains(SourceFailed, match="standard input cannot be read")


def test_lines_are_cut_wherever_the_chunks_are() -> None:
    lines = Lines()
    found = [line for chunk in (b"a", b"b\nc\n\nd", b"", b"e\n", b"f") for line in lines.feed(chunk)]
    assert found == [Line(1, b"ab"), Line(2, b"c"), Line(3, b""), Line(4, b"de")]
    assert lines.tail == b"f"


def test_an_endless_line_costs_no_more_memory_than_one_event() -> None:
    lines = Lines()
    for _ in range(40):
        lines.feed(b"x" * 100_000)
    assert len(lines.tail) == LARGEST + 1
    assert [len(line.text) for line in lines.feed(b"\nshort\n")] == [LARGEST + 1, 5]


async def test_a_line_that_is_too_long_is_unreadable_and_the_next_one_is_read(path: Path) -> None:
    feed = Feed(written(path, b"x" * (LARGEST * 2), ready_bytes("img-1")))
    async with feed.running():
        await feed.at_rest()
    assert ["too large" in bad.reason for bad in feed.inbox.unreadable] == [True]
    assert isinstance(feed.inbox.deliveries[-1], Sighting)
