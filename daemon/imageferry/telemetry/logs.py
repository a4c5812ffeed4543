"""The daemon's log lines: structlog and the libraries' own logging as one stream, JSON or console.

The wiring calls :func:`configure` once; others only ``structlog.get_logger`` and
``structlog.contextvars.bound_contextvars(job=…, image=…, lane=…, request_id=…)``. It writes to the stream it is
given and nowhere else, and lets no secret through (see :mod:`imageferry.telemetry.secrets`).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Final, Literal, TextIO

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

from imageferry.telemetry.secrets import clean_mapping, forget_secret, register_secret, scrub

__all__ = ["LEVELS", "Format", "Repeats", "configure", "forget_secret", "register_secret", "scrub"]

Format = Literal["json", "console"]
LEVELS: Final = ("debug", "info", "warning", "error")

QUIET_LOGGERS: Final = ("aiokafka", "kafka", "uvicorn", "httpx", "httpcore", "asyncio", "watchfiles")
"""Libraries that talk at INFO about what our own lines and metrics say better."""

REPEATS_ALLOWED: Final = 3
REPEATS_WINDOW: Final = 60.0
_MOST_KNOWN: Final = 1000


def configure(style: Format, level: str, stream: TextIO) -> None:
    """Send every log line of the process to ``stream``; calling it again replaces what it did before.

    :param level: one of :data:`LEVELS`; libraries never say less than a warning.
    :raises ValueError: the style or the level is unknown.
    """
    if style not in {"json", "console"}:
        raise ValueError(f"log format {style!r} is unknown; expected json or console")
    if level not in LEVELS:
        raise ValueError(f"log level {level!r} is unknown; expected one of {', '.join(LEVELS)}")
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, *_stamps(), ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    _install(_handler(style, stream), threshold)


def _install(handler: _Lines, threshold: int) -> None:
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h, _Lines)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(threshold)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


def _stamps() -> list[Processor]:
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _handler(style: Format, stream: TextIO) -> _Lines:
    colours = style == "console" and stream.isatty()
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if style == "json"
        else structlog.dev.ConsoleRenderer(colors=colours)
    )
    handler = _Lines(stream)
    handler.addFilter(Repeats())
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[structlog.contextvars.merge_contextvars, *_stamps(), _suppressed_before],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    return handler


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that stands last before the renderer: no value of the line keeps a secret."""
    return clean_mapping(event)


def _suppressed_before(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Say on a library's line how many like it were held back before it."""
    record: logging.LogRecord = event["_record"]
    count = getattr(record, "suppressed", 0)
    if count:
        event["suppressed"] = count
    return event


class _Lines(logging.StreamHandler[TextIO]):
    """The one handler that :func:`configure` installs, known again by its type."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """A line that cannot be written: say so once, without its arguments, which nothing has redacted."""
        if logging.raiseExceptions and sys.stderr is not None and sys.stderr is not self.stream:
            kind = type(sys.exc_info()[1]).__name__
            sys.stderr.write(f"a log line of {record.name} ({record.pathname}:{record.lineno}) was lost: {kind}\n")


class Repeats(logging.Filter):
    """Lets a library say the same thing a few times in a while, then counts; our own lines all pass.

    Two lines are the same when logger, level and message template are. Time is the records' own.
    """

    def __init__(self, allowed: int = REPEATS_ALLOWED, window: float = REPEATS_WINDOW) -> None:
        super().__init__()
        self._allowed = allowed
        self._window = window
        self._seen: dict[tuple[str, int, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written; one that ends a silence carries the number of those held back."""
        if isinstance(record.msg, MutableMapping):
            return True
        key = (record.name, record.levelno, str(record.msg))
        since, passed, held = self._seen.get(key, (-self._window, 0, 0))
        if record.created - since >= self._window:
            self._remember(key, [record.created, 1, 0])
            record.suppressed = int(held)
            return True
        if passed < self._allowed:
            self._remember(key, [since, passed + 1, held])
            return True
        self._remember(key, [since, passed, held + 1])
        return False

    def _remember(self, key: tuple[str, int, str], state: list[float]) -> None:
        self._seen.pop(key, None)
        self._seen[key] = state
        if len(self._seen) > _MOST_KNOWN:
            del self._seen[next(iter(self._seen))]
