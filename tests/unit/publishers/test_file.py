from __future__ import annotations

import json
import os
import resource
import stat
from pathlib import Path

import pytest

from imageferry.errors import PublishFailed
from imageferry.publishers.file import FilePublisher
from imageferry.publishers.specs import FileSpec
from support.clocks import FakeClock
from support.completions import row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "completions.ndjson"


def publisher(path: Path) -> FilePublisher:
    return FilePublisher(FileSpec(path=str(path)), "file", FakeClock())


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def move(path: Path, target: Path) -> None:
    path.rename(target)


def content(path: Path) -> bytes:
    return path.read_bytes()


def ids(path: Path) -> list[str]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


async def test_each_completion_is_one_line_in_its_order(path: Path) -> None:
    async with publisher(path).open() as file:
        await file.publish([row(1), row(2)])
        await file.publish([row(3)])
        assert ids(path) == ["job1-1", "job2-1", "job3-1"]


async def test_what_was_there_is_kept(path: Path) -> None:
    put(path, row(1).body.encode() + b"\n")
    async with publisher(path).open() as file:
        await file.publish([row(2)])
    assert ids(path) == ["job1-1", "job2-1"]


@pytest.mark.parametrize("whole", [b"", b'{"id": "job1-1"}\n', b'{"id": "job1-1"}\n' * 5000])
@pytest.mark.parametrize("half", [b"", b'{"id": "ha', b"x" * 200_000])
async def test_an_unfinished_last_line_is_cut_at_start_up(path: Path, whole: bytes, half: bytes) -> None:
    put(path, whole + half)
    async with publisher(path).open():
        assert content(path) == whole


async def test_it_is_on_the_disk_before_publish_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    flush = os.fsync

    def noting(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_size if stat.S_ISREG(os.fstat(descriptor).st_mode) else -1)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    async with publisher(path).open() as file:
        await file.publish([row(1)])
        assert flushed == [-1, len(content(path))]


async def test_a_file_that_was_renamed_is_made_anew(path: Path) -> None:
    async with publisher(path).open() as file:
        await file.publish([row(1)])
        move(path, path.with_suffix(".1"))
        await file.publish([row(2)])
    assert (ids(path.with_suffix(".1")), ids(path)) == (["job1-1"], ["job2-1"])


async def test_a_batch_that_does_not_fit_leaves_nothing_and_fits_later(path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with publisher(path).open() as file:
        await file.publish([row(1)])
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(content(path)) + 100, hard))
        try:
            with pytest.raises(PublishFailed, match="cannot be written"):
                await file.publish([row(2), row(3)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert ids(path) == ["job1-1"]
        await file.publish([row(2), row(3)])
    assert ids(path) == ["job1-1", "job2-1", "job3-1"]


async def test_a_folder_that_is_not_there_is_said_at_start_up(tmp_path: Path) -> None:
    with pytest.raises(PublishFailed, match=r"no/completions.ndjson cannot be written: No such file or directory"):
        async with publisher(tmp_path / "no" / "completions.ndjson").open():
            pass
