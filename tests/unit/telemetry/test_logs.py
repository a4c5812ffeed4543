from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from imageferry.telemetry.logs import QUIET_LOGGERS, Repeats, configure, forget_secret, register_secret

SECRET = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", *QUIET_LOGGERS)}
    handlers = list(root.handlers)
    register_secret(SECRET)
    yield
    forget_secret(SECRET)
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def json_lines(stream: io.StringIO) -> io.StringIO:
    configure("json", "info", stream)
    return stream


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_level_logger_and_utc_time(json_lines: io.StringIO) -> None:
    structlog.get_logger("imageferry.flow.submit").info("submitted", job="abc", n=3)
    [line] = lines(json_lines)
    time = line.pop("timestamp")
    assert line == {"event": "submitted", "level": "info", "logger": "imageferry.flow.submit", "job": "abc", "n": 3}
    assert time.endswith("Z")


def test_what_is_bound_to_the_context_is_on_every_line(json_lines: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(job="j1", image="img-1", lane="prod/ap-a/export", request_id="r1"):
        structlog.get_logger().info("ours")
        logging.getLogger("some.library").warning("theirs")
    bound = [{k: line[k] for k in ("event", "job", "image", "lane", "request_id")} for line in lines(json_lines)]
    ids = {"job": "j1", "image": "img-1", "lane": "prod/ap-a/export", "request_id": "r1"}
    assert bound == [{"event": "ours", **ids}, {"event": "theirs", **ids}]


def test_lines_below_the_level_are_dropped(stream: io.StringIO) -> None:
    configure("json", "warning", stream)
    log = structlog.get_logger()
    log.info("small talk")
    log.warning("serious")
    assert [line["event"] for line in lines(stream)] == ["serious"]


def test_debug_shows_our_lines_but_not_the_libraries(stream: io.StringIO) -> None:
    configure("json", "debug", stream)
    structlog.get_logger().debug("ours")
    for name in QUIET_LOGGERS:
        logging.getLogger(name).info("chatter")
    assert [line["event"] for line in lines(stream)] == ["ours"]


def test_a_librarys_warning_is_a_line_like_ours(json_lines: io.StringIO) -> None:
    logging.getLogger("aiokafka.conn").warning("Unable connect to %s", "broker:9092")
    [line] = lines(json_lines)
    assert (line["event"], line["level"], line["logger"]) == (
        "Unable connect to broker:9092",
        "warning",
        "aiokafka.conn",
    )


def test_an_exception_is_told_in_the_line(json_lines: io.StringIO) -> None:
    try:
        fail(LookupError("no such bucket"))
    except LookupError:
        structlog.get_logger().exception("export failed")
    [line] = lines(json_lines)
    assert line["exception"].splitlines()[-1] == "LookupError: no such bucket"


def test_the_console_says_the_same_in_plain_text(stream: io.StringIO) -> None:
    configure("console", "info", stream)
    structlog.get_logger().info("submitted", job="abc")
    text = stream.getvalue()
    assert ("submitted" in text, "job=abc" in text, "\x1b" in text) == (True, True, False)


def test_configuring_again_replaces_the_stream(json_lines: io.StringIO) -> None:
    other = io.StringIO()
    configure("json", "info", other)
    structlog.get_logger().info("moved")
    assert ([line["event"] for line in lines(other)], json_lines.getvalue()) == (["moved"], "")


@pytest.mark.parametrize(
    ("style", "level", "reason"),
    [
        ("xml", "info", "log format 'xml' is unknown; expected json or console"),
        ("json", "loud", "log level 'loud' is unknown; expected one of debug, info, warning, error"),
    ],
)
def test_an_unknown_style_or_level_is_refused(style: Any, level: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{reason}$"):
        configure(style, level, io.StringIO())


def test_importing_the_module_configures_nothing() -> None:
    code = (
        "import imageferry.telemetry.logs, logging, structlog;"
        "print(logging.getLogger().handlers, structlog.is_configured())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[] False\n"


# --- secrets ---


def say_as_text(log: Any) -> None:
    log.info(f"signed with {SECRET}")  # noqa: G004 - the text itself is what is tested


def say_as_value(log: Any) -> None:
    log.info("signed", note=SECRET, nested={"a": [{"b": SECRET}]})


def say_under_a_name(log: Any) -> None:
    log.info("signed", authorization="TC3 " + SECRET, headers={"X-TC-Token": SECRET})


def say_in_an_exception(log: Any) -> None:
    try:
        fail(RuntimeError("cannot sign"), ValueError(f"bad key {SECRET!r}"))
    except RuntimeError:
        log.exception("export failed")


def say_through_a_library(_: Any) -> None:
    logging.getLogger("httpx").warning("headers %s", {"Authorization": SECRET})


def say_in_a_librarys_exception(_: Any) -> None:
    try:
        fail(OSError(f"refused {SECRET}"))
    except OSError:
        logging.getLogger("aiokafka").exception("connection lost")


def say_in_the_context(log: Any) -> None:
    with structlog.contextvars.bound_contextvars(lane=SECRET):
        log.info("waiting")


@pytest.mark.parametrize("style", ["json", "console"])
@pytest.mark.parametrize(
    "say",
    [
        say_as_text,
        say_as_value,
        say_under_a_name,
        say_in_an_exception,
        say_through_a_library,
        say_in_a_librarys_exception,
        say_in_the_context,
    ],
)
def test_a_secret_reaches_no_line(stream: io.StringIO, style: Any, say: Any) -> None:
    configure(style, "info", stream)
    say(structlog.get_logger())
    text = stream.getvalue()
    assert (SECRET in text, "[redacted]" in text) == (False, True)


def test_a_line_that_cannot_be_written_is_told_without_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("json", "info", stream)
    stream.close()
    logging.getLogger("some.library").warning("password %s", SECRET)
    told = capsys.readouterr().err
    assert (SECRET in told, told.startswith("a log line of some.library ("), told.count("\n")) == (False, True, 1)


# --- repeats ---


def record(created: float, message: str = "Unable to connect", name: str = "aiokafka") -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, message, (), None)
    made.created = created
    return made


def test_a_library_that_repeats_itself_is_held_back() -> None:
    repeats = Repeats(allowed=3, window=60)
    assert [repeats.filter(record(t)) for t in range(6)] == [True, True, True, False, False, False]


def test_after_the_window_the_line_comes_again_and_tells_how_many_were_held_back() -> None:
    repeats = Repeats(allowed=1, window=60)
    for t in range(5):
        repeats.filter(record(t))
    again = record(60)
    assert (repeats.filter(again), vars(again)["suppressed"]) == (True, 4)


@pytest.mark.parametrize("other", [record(1, "Other"), record(1, name="uvicorn")])
def test_other_lines_pass_meanwhile(other: logging.LogRecord) -> None:
    repeats = Repeats(allowed=1, window=60)
    repeats.filter(record(0))
    assert repeats.filter(other)


def test_what_is_remembered_has_a_bound() -> None:
    repeats = Repeats(allowed=1, window=60)
    for n in range(3000):
        repeats.filter(record(0, f"message {n}"))
    assert len(repeats._seen) == 1000


def test_the_number_held_back_is_on_the_line(json_lines: io.StringIO) -> None:
    logger = logging.getLogger("aiokafka")
    for t in (0.0, 1.0, 2.0, 3.0, 4.0, 61.0):
        logger.handle(record(t))
    assert [line.get("suppressed") for line in lines(json_lines)] == [None, None, None, 2]


def test_our_own_lines_are_never_held_back(json_lines: io.StringIO) -> None:
    for n in range(20):
        structlog.get_logger().info("submitted", n=n)
    assert [line["n"] for line in lines(json_lines)] == list(range(20))
