"""What holds for every test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

from imageferry.telemetry.logs import QUIET_LOGGERS

# How long an example takes is the machine's affair: tests run side by side with real brokers and whole daemons.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """Log lines go where no command looks for its own output, and no test sees what another has set up.

    A daemon and a command may run in this one process; a command sets up the logs of the whole process, for a terminal
    that is then closed.
    """
    loggers = [logging.getLogger(), *map(logging.getLogger, QUIET_LOGGERS)]
    before = [(logger, list(logger.handlers), logger.level) for logger in loggers]
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    yield
    for logger, handlers, level in before:
        for handler in [each for each in logger.handlers if each not in handlers]:
            logger.removeHandler(handler)
        logger.setLevel(level)
