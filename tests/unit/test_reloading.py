"""Policies that change on the disk: noticed whatever way they are written, taken whole or not at all."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from structlog.testing import capture_logs

from imageferry import reloading
from imageferry.clouds.facts import FACTS
from imageferry.core.actions import World
from imageferry.core.image import Image
from imageferry.policies import PolicyBook
from imageferry.reloading import Reloading
from imageferry.telemetry.clock import SystemClock
from support.ledgers import PLACE
from support.volumes import ConfigMap
from support.waiting import LOOK_EVERY, until


def policy(name: str, os_name: str = "linux") -> str:
    return f"policies: [{{name: {name}, match: {{os: {os_name}}}, actions: [{{copy: {{regions: ap-beijing}}}}]}}]\n"


class Watched:
    """A book whose files are watched."""

    def __init__(self, path: Path) -> None:
        self.book = PolicyBook(path, FACTS)
        self.changes = 0
        self.reloading = Reloading(self.book, SystemClock(), self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def become(self, *names: str) -> None:
        await until(lambda: self.book.current.names == names)

    async def be_wrong(self) -> str:
        await until(lambda: self.reloading.wrong is not None)
        return self.reloading.wrong or ""


@asynccontextmanager
async def watched(path: Path) -> AsyncIterator[Watched]:
    one = Watched(path)
    async with anyio.create_task_group() as group:
        group.start_soon(one.reloading.watch)
        yield one
        group.cancel_scope.cancel()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / "a.yaml").write_text(policy("first"))
    return policies


@pytest.fixture
def never_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noticed in time is then noticed by watching."""
    monkeypatch.setattr(reloading, "LOOK_EVERY", 3600.0)


# --- every way to change a file ------------------------------------------------------------------------------------


def write(path: Path) -> None:
    path.write_text(policy("second"))


def rename_over(path: Path) -> None:
    """As editors save."""
    beside = path.with_name(f".{path.name}.swp")
    beside.write_text(policy("second"))
    beside.replace(path)


def remove_and_write(path: Path) -> None:
    path.unlink()
    path.write_text(policy("second"))


def back_it_up(path: Path) -> None:
    """As other editors save."""
    path.rename(path.with_name(f"{path.name}~"))
    path.write_text(policy("second"))


WAYS = [write, rename_over, remove_and_write, back_it_up]


@pytest.mark.usefixtures("never_looks")
@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
async def test_a_changed_file_of_a_folder_is_noticed(change: Callable[[Path], None], folder: Path) -> None:
    async with watched(folder) as one:
        await until(started(one))
        change(folder / "a.yaml")
        await one.become("second")
    assert one.reloading.wrong is None


@pytest.mark.usefixtures("never_looks")
@pytest.mark.parametrize("change", WAYS, ids=lambda way: way.__name__)
async def test_a_change_of_the_only_file_is_noticed(change: Callable[[Path], None], tmp_path: Path) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(policy("first"))
    async with watched(file) as one:
        await until(started(one))
        change(file)
        await one.become("second")


def started(one: Watched) -> Callable[[], bool]:
    """Whether the first look is over: what changes now is for the watching to notice."""
    return lambda: one.reloading._seen is not None


@pytest.mark.usefixtures("never_looks")
async def test_files_come_and_go(folder: Path) -> None:
    async with watched(folder) as one:
        await until(started(one))
        (folder / "b.yaml").write_text(policy("second"))
        await one.become("first", "second")
        (folder / "a.yaml").unlink()
        await one.become("second")


@pytest.mark.usefixtures("never_looks")
async def test_a_configmap_that_kubernetes_swaps_is_noticed(tmp_path: Path) -> None:
    """The volume as the kubelet writes it: files link into ..data, which is a link that is renamed over."""
    volume = ConfigMap(tmp_path / "mounted", {"a.yaml": policy("first"), "b.yaml": policy("second")})
    async with watched(volume.path) as one:
        await one.become("first", "second")
        await until(started(one))
        volume.swap({"a.yaml": policy("third"), "b.yaml": policy("fourth")})
        await one.become("third", "fourth")
        volume.swap({"b.yaml": policy("fifth")})
        await one.become("fifth")


@pytest.mark.usefixtures("never_looks")
async def test_one_file_of_a_configmap_is_noticed_too(tmp_path: Path) -> None:
    volume = ConfigMap(tmp_path / "mounted", {"policies.yaml": policy("first")})
    async with watched(volume.path / "policies.yaml") as one:
        await until(started(one))
        volume.swap({"policies.yaml": policy("second")})
        await one.become("second")


@pytest.mark.usefixtures("never_looks")
async def test_a_folder_that_is_removed_and_made_again_is_watched_again(folder: Path) -> None:
    async with watched(folder) as one:
        await until(started(one))
        shutil.rmtree(folder)
        gone = f"{folder}:1:1: the policies cannot be read: No such file or directory"
        await until(lambda: (one.reloading.wrong or "").startswith(gone))
        assert one.book.current.names == ("first",)
        folder.mkdir()
        (folder / "a.yaml").write_text(policy("second"))
        await one.become("second")
        await until(started(one))
        (folder / "a.yaml").write_text(policy("third"))
        await one.become("third")


@pytest.mark.usefixtures("never_looks")
async def test_a_folder_that_another_takes_the_place_of_is_watched_from_then_on(folder: Path) -> None:
    other = folder.with_name("other")
    other.mkdir()
    (other / "a.yaml").write_text(policy("second"))
    async with watched(folder) as one:
        await until(started(one))
        folder.rename(folder.with_name("old"))
        other.rename(folder)
        await one.become("second")
        await until(started(one))
        (folder / "a.yaml").write_text(policy("third"))
        await one.become("third")


async def test_a_change_that_nothing_tells_of_is_seen_by_looking(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_EVERY", 0.3)
    monkeypatch.setattr(Reloading, "_matters", lambda *_: False)
    async with watched(folder) as one:
        await until(started(one))
        write(folder / "a.yaml")
        await one.become("second")


async def test_looking_goes_on_while_something_beside_the_policies_changes_all_the_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the ledger does, which may stand there."""
    monkeypatch.setattr(reloading, "LOOK_EVERY", 2.0)  # longer than a stream of changes is waited for
    monkeypatch.setattr(Reloading, "_matters", lambda *_: False)

    async def be_busy() -> None:
        while True:
            (folder.parent / "ledger.db-wal").write_text("x")
            await anyio.sleep(LOOK_EVERY)

    async with watched(folder) as one, anyio.create_task_group() as group:
        group.start_soon(be_busy)
        await until(started(one))
        write(folder / "a.yaml")
        await one.become("second")
        group.cancel_scope.cancel()


async def test_what_cannot_be_watched_is_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(28, "inotify watch limit reached")

    monkeypatch.setattr(reloading, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(reloading, "RustNotify", refused)
    with capture_logs() as logs:
        async with watched(folder) as one:
            await until(lambda: one.reloading._seen is not None)
            write(folder / "a.yaml")
            await one.become("second")
    said = [line["reason"] for line in logs if line["log_level"] == "warning"]
    assert said == [f"{folder} cannot be watched: [Errno 28] inotify watch limit reached"]


async def test_a_policy_with_an_expression_is_compiled_beside_the_loop_and_decides_in_it(folder: Path) -> None:
    pytest.importorskip("cel_expr_python")
    expression = policy("second").replace("os: linux", "os: linux, when: image.size_gib > 10")
    async with watched(folder) as one:
        await until(started(one))
        (folder / "a.yaml").write_text(expression)
        await one.become("second")
        seen = Image(place=PLACE, id="img-1", os="linux", size_gib=20, visibility="private", is_copy=False)
        decision = one.book.current.decide(seen, World(facts=FACTS["tencent"], account_regions=("ap-beijing",)), 0)
    assert [verdict.verdict for verdict in decision.verdicts] == ["match"]


# --- all of it or nothing ------------------------------------------------------------------------------------------


async def test_a_wrong_file_keeps_the_whole_old_set_and_every_complaint_is_logged_once(folder: Path) -> None:
    with capture_logs() as logs:
        async with watched(folder) as one:
            await until(started(one))
            (folder / "b.yaml").write_text("policies: [{name: x, matcch: {}}]\n")
            await one.be_wrong()
            (folder / "c.txt").write_text("no policy, but a change beside them")
            (folder / "a.yaml").write_text(policy("second"))
            digest = one.book.current.digest
            (folder / "b.yaml").unlink()
            await one.become("second")
    complaints = [line["complaint"] for line in logs if "complaint" in line]
    assert (sorted(complaints), len(complaints) > 1) == (sorted(set(complaints)), True)
    [taken] = [line for line in logs if line["event"] == "policies read again"]
    assert (taken["policies"], taken["digest"] != digest, taken["digest"]) == (1, True, one.book.current.digest)


async def test_a_file_of_another_name_is_noticed_when_it_comes_and_when_it_goes(folder: Path) -> None:
    async with watched(folder) as one:
        await until(started(one))
        stray = folder / "b.yml"
        stray.write_text(policy("second"))
        said = "this file is not read; expected a name that ends with .yaml; rename it to b.yaml"
        assert await one.be_wrong() == f"{stray}:1:1: {said}"
        stray.unlink()
        await until(lambda: one.reloading.wrong is None)


async def test_a_pipe_among_the_policies_is_a_complaint_and_nothing_waits_for_it(folder: Path) -> None:
    async with watched(folder) as one:
        await until(started(one))
        os.mkfifo(folder / "b.yaml")
        said = await one.be_wrong()
        (folder / "b.yaml").unlink()
        await until(lambda: one.reloading.wrong is None)
    assert said == f"{folder}/b.yaml:1:1: this is a pipe, socket or device; expected a file"


async def test_a_file_system_that_hangs_does_not_keep_the_daemon_from_stopping(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def hang(_: Path) -> str:
        hangs.set()
        goes_on.wait(60)
        return ""

    monkeypatch.setattr(reloading, "fingerprint", hang)
    try:
        with anyio.fail_after(20):
            async with watched(folder):
                await until(hangs.is_set)
    finally:
        goes_on.set()


async def test_a_file_that_is_right_again_is_told_though_the_set_is_the_same(folder: Path) -> None:
    before = (folder / "a.yaml").read_text()
    async with watched(folder) as one:
        await until(started(one))
        current = one.book.current
        (folder / "a.yaml").write_text("policies: [")
        await one.be_wrong()
        (folder / "a.yaml").write_text(before)
        await until(lambda: one.reloading.wrong is None)
    assert (one.changes, one.book.current is current) == (2, True)


async def test_what_changes_nothing_is_not_said(folder: Path) -> None:
    with capture_logs() as logs:
        async with watched(folder) as one:
            await until(started(one))
            current, seen = one.book.current, one.reloading._seen
            (folder / "a.yaml").write_text("# a remark\n" + policy("first"))
            await until(lambda: one.reloading._seen != seen)
    assert (one.changes, one.book.current is current, logs) == (0, True, [])


async def test_being_told_says_what_came_of_it_even_if_nothing_did(folder: Path) -> None:
    one = Watched(folder)
    with capture_logs() as logs:
        one.reloading.now()
    assert [(line["event"], line["digest"]) for line in logs] == [("policies read again", one.book.current.digest)]


def test_only_the_policies_matter(folder: Path) -> None:
    matters = Watched(folder).reloading._matters
    changes = {
        str(folder): True,
        f"{folder}/a.yaml": True,
        f"{folder}/..data": True,
        f"{folder.parent}/ledger.db-wal": False,
        f"{folder.parent}/events.ndjson": False,
    }
    assert {path: matters(path) for path in changes} == changes


async def test_it_stops_soon(folder: Path) -> None:
    with anyio.fail_after(5):
        async with watched(folder) as one:
            await until(started(one))
