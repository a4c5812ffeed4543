"""The demo as a stranger meets it: piped, on a terminal, kept running, interrupted, and the commands that it prints."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from imageferry.rehearsal.options import REHEARSAL_KEY
from support.commands import environment, program, run, started

COMMAND = re.compile(r"^  \$ (.+)$", re.MULTILINE)
LONGEST = 60.0


@pytest.fixture(scope="module")
def piped(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path, float]:
    """One demo through a pipe, for all who read it; its folder; how long it took."""
    folder = tmp_path_factory.mktemp("demo")
    begun = time.monotonic()
    done = run("demo", cwd=folder, within=LONGEST, TMPDIR=str(folder))
    [house] = folder.glob("imageferry-demo-*")
    return done, house, time.monotonic() - begun


Piped = tuple[subprocess.CompletedProcess[str], Path, float]


def test_it_does_what_it_should_in_well_under_a_minute(piped: Piped) -> None:
    done, _, seconds = piped
    assert (done.returncode, done.stderr) == (0, "")
    assert "All as it should be" in done.stdout
    assert seconds < LONGEST / 2


def test_a_pipe_gets_plain_lines(piped: Piped) -> None:
    done, _, _ = piped
    assert "\x1b" not in done.stdout
    assert re.search(r"^ +\d+\.\ds  prod-web-01 +export +running -> succeeded", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", ["prod-db-01", "media-db", "bank-db", "shop-db"])
def test_a_lost_answer_is_seen_to_be_found(piped: Piped, name: str) -> None:
    done, _, _ = piped
    moves = re.findall(rf"{name} +export +(\S+ -> \S+)", done.stdout)
    assert moves == ["planned -> submitting", "submitting -> in_doubt", "in_doubt -> running", "running -> succeeded"]


def test_a_throttled_request_is_seen_to_be_put_off(piped: Piped) -> None:
    done, _, _ = piped
    assert re.search(r"prod-web-02 +export +submitting -> planned +RequestLimitExceeded", done.stdout)


def test_every_refusal_names_its_rule_or_its_code(piped: Piped) -> None:
    done, _, _ = piped
    refused = done.stdout.partition("Refused by design")[2].partition("\n\n")[0]
    story = " ".join(refused.split())
    assert "prod-desktop: export, wanted by archive-production. Known without asking:" in story
    assert "The cloud: UnsupportedOperation.MarketImageExportUnsupported" in story
    assert "The cloud: UnsupportedOperation.Region" in story
    assert re.search(r"\(request [0-9a-f-]{36}\)", story)
    assert "media-studio: export, wanted by archive-media. Known without asking: Alibaba Cloud" in story
    assert "media-player: export, wanted by archive-media. The cloud: ImageNotSupported" in story
    assert "media-catalog: copy ap-southeast-1, wanted by catalog-elsewhere. The cloud: OperationDenied.Non" in story
    assert "bank-restored: export, wanted by archive-bank. Known without asking: Huawei Cloud" in story
    assert "bank-books: copy cn-south-1, wanted by books-elsewhere. The cloud: IMG.0151" in story
    assert "shop-till: export, wanted by archive-shop. Known without asking: JD Cloud" in story
    assert "shop-orders: copy cn-east-1, wanted by orders-elsewhere. The cloud: ARGUMENT_NOT_SUPPORT" in story


def test_what_nobody_wanted_and_what_nobody_can_read_is_told(piped: Piped) -> None:
    done, _, _ = piped
    assert 'tmp-debug-7: archive-production: name "tmp-debug-7" does not match "prod-*"' in done.stdout
    assert "strange.ndjson:2: kept as a dead letter" in done.stdout


def test_there_is_one_task_for_each_destination(piped: Piped) -> None:
    done, _, _ = piped
    story = " ".join(done.stdout.split())
    assert "the rehearsals of Tencent Cloud, Alibaba Cloud, Huawei Cloud and JD Cloud started 20 tasks" in story
    assert "started 20 tasks for 20 wanted destinations, never more than 1 for one" in story
    assert "4 answers were lost after the work was done" in story


def test_every_end_is_announced_once(piped: Piped) -> None:
    _, house, _ = piped
    ids = [json.loads(line)["id"] for line in (house / "completions.ndjson").read_text().splitlines()]
    assert len(ids) == len(set(ids)) == 32


def test_the_daemons_log_is_a_file_and_not_in_the_way(piped: Piped) -> None:
    done, house, _ = piped
    records = [json.loads(line) for line in (house / "daemon.log").read_text().splitlines()]
    assert "stopped" in [record["event"] for record in records]
    assert '"event"' not in done.stdout


def test_no_secret_stands_anywhere_but_in_the_config(piped: Piped) -> None:
    done, house, _ = piped
    files = [path for path in house.rglob("*") if path.is_file() and path.name != "imageferry.yaml"]
    assert (house / "daemon.log") in files
    found = [path.name for path in files if REHEARSAL_KEY.secret_key.encode() in path.read_bytes()]
    assert (found, REHEARSAL_KEY.secret_key in done.stdout) == ([], False)


def test_the_commands_that_it_prints_work(piped: Piped) -> None:
    done, house, _ = piped
    commands = COMMAND.findall(done.stdout)
    assert [command.partition("imageferry ")[2].split(" --")[0] for command in commands] == [
        "plan",
        "jobs list",
        "coverage",
        "why",
        *["jobs show"] * 4,
        "demo",
    ]
    for command in commands[:-1]:
        tried = typed(command)
        assert (tried.returncode, tried.stderr) == (0, ""), command
        assert tried.stdout
    assert house.exists()


def test_a_terminal_gets_a_live_table(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen(
        program("demo"),
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path), TERM="xterm-256color", COLUMNS="110", LINES="40"),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = read_all(leader)
        os.close(leader)
    assert process.returncode == 0, shown
    assert "\x1b[" in shown
    assert "32 of 32 jobs have ended" in shown
    assert re.search(r"prod-db-01 +export +\S*in_doubt", shown)


def read_all(leader: int) -> str:
    """Everything that is shown, until the program ends."""
    chunks: list[bytes] = []
    while select.select([leader], [], [], LONGEST)[0]:
        try:
            chunk = os.read(leader, 65536)
        except OSError:
            break  # the other side is closed: that is how a pseudo-terminal says it
        if not chunk:
            break
        chunks.append(chunk)
    return b"".join(chunks).decode()


def test_kept_it_goes_on_with_metrics_until_it_is_told_to_stop(tmp_path: Path) -> None:
    with started(["demo", "--keep"], tmp_path, TMPDIR=str(tmp_path)) as demo:
        demo.until("To delete everything afterwards")
        commands = COMMAND.findall(demo.text)
        pages = "\n".join(fetched(command) for command in commands if command.startswith("curl"))
        answers = {command: typed(command) for command in commands if not command.startswith("curl")}
        code = demo.stop()
    assert code == 0, demo.text
    assert [command for command, answer in answers.items() if answer.returncode != 0] == []
    assert 'imageferry_jobs{account="rehearsal-tencent"' in pages
    assert 'imageferry_jobs{account="rehearsal-aliyun"' in pages
    assert 'imageferry_jobs{account="rehearsal-huawei"' in pages
    assert 'imageferry_jobs{account="rehearsal-jdcloud"' in pages
    assert '"ready":true' in pages
    retried = [answer.stdout for command, answer in answers.items() if " jobs retry " in command]
    assert ["retried by hand" in said for said in retried] == [True] * 4


def typed(command: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a command, wherever it is typed."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd="/",
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )


def fetched(command: str) -> str:
    """What curl would get; it need not be installed for this."""
    words = shlex.split(command.partition(" | ")[0])
    [url] = [word for word in words if word.startswith("http")]
    data = words[words.index("-d") + 1] if "-d" in words else None
    answer = httpx.request("GET" if data is None else "POST", url, content=data)
    assert answer.is_success, command
    return answer.text


def test_stopped_by_hand_it_says_so_and_fails(tmp_path: Path) -> None:
    with started(["demo"], tmp_path, TMPDIR=str(tmp_path)) as demo:
        demo.until("submitting -> running")
        code = demo.stop(signal.SIGINT)
    assert code == 1
    assert "Stopped by hand" in demo.text
    assert "Traceback" not in demo.text
