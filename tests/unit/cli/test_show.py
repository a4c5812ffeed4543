from __future__ import annotations

import io
from pathlib import Path

import pytest

from imageferry.cli.show import Lines, Scenery, Watch, view
from imageferry.core.times import SECOND
from imageferry.ledgers.sqlite import open_ledger
from support.clocks import FakeClock
from support.ledgers import NOW, job_in, look, new_job, plan, step


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite://{tmp_path}/ledger.db"


async def test_every_move_is_news_once(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        watch = Watch(ledger, {"img-1": "web"}, NOW)
        [job] = await plan(ledger, new_job())
        first = await watch.look(NOW)
        await step(ledger, job, "submitting", NOW + SECOND)
        second = await watch.look(NOW + SECOND)
        third = await watch.look(NOW + SECOND)
    assert [one.state for one in first.news] == ["planned"]
    assert [(one.at - NOW, one.state) for one in second.news] == [(SECOND, "planned -> submitting")]
    assert third.news == []


async def test_several_moves_between_two_looks_are_all_news_in_their_order(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        await job_in(ledger, "succeeded")
        news = (await Watch(ledger, {}, NOW).look(NOW)).news
    assert {one.state for one in news} == {
        "planned",
        "planned -> submitting",
        "submitting -> running",
        "running -> succeeded",
    }


async def test_an_image_that_waits_is_shown_by_the_name_it_is_known_by(url: str) -> None:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        await look(ledger, "img-1")
        scenery = await Watch(ledger, {"img-1": "web"}, NOW).look(NOW)
    assert (scenery.names["img-1"], scenery.looks["img-1"].outcome) == ("web", "due")


async def scenery_of(url: str) -> Scenery:
    async with open_ledger(url, clock=FakeClock()) as ledger:
        await job_in(ledger, "failed")
        await look(ledger, "img-2")
        return await Watch(ledger, {"img-1": "web", "img-2": "new"}, NOW - SECOND).look(NOW)


async def test_a_pipe_gets_a_line_for_each_move(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    scenery = await scenery_of(url)
    with view(io.StringIO()) as shown:
        assert isinstance(shown, Lines)
        shown.show(scenery, NOW - SECOND)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [["1.0s", "name", "of"]] * 2
    assert ["planned -> failed" in line for line in lines] == [False, True]


async def test_a_terminal_gets_a_table_that_is_drawn_again(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    scenery = await scenery_of(url)
    terminal = Terminal()
    with view(terminal) as shown:
        shown.show(scenery, NOW)
    drawn = terminal.getvalue()
    assert "1 of 1 jobs have ended" in drawn
    assert "new" in drawn
    assert "\x1b[" in drawn


async def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with view(Terminal()) as shown:
        assert isinstance(shown, Lines)


async def test_a_terminal_gets_lines_where_the_table_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("imageferry.cli.show.find_spec", lambda _name: None)
    with view(Terminal()) as shown:
        assert isinstance(shown, Lines)
