"""Writes the pages and schemas of ``docs/`` that repeat the code: ``PYTHONPATH=tests python -m support.docs``.

The test of the documents calls :func:`pages` and compares; nothing here is used by the daemon.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from imageferry.core.machine import END_STATES, MOVES, STATES
from imageferry.schemas import SCHEMAS
from imageferry.settings import settings_table
from imageferry.telemetry.metrics import Metrics
from support import credential_docs
from support.cloud_docs import renewed

DOCS: Final = Path(__file__).parents[2] / "docs"
HOW: Final = "<!-- Made from the code; renew it with: PYTHONPATH=tests .venv/bin/python -m support.docs -->"

_MEANINGS: Final = {
    "planned": "wanted, and waiting for its turn: for the pace, a free slot, the image, or its next try",
    "submitting": "the intent is on the disk; the request is about to leave, or on its way",
    "in_doubt": "sent, and nobody knows whether the cloud took it; it is looked for, never sent again on a guess",
    "running": "the cloud took it and runs a task",
    "succeeded": "the object, or the new image, was seen whole",
    "failed": "it will not be done; the reason, the vendor's code and the request id say why",
    "cancelled": "a person cancelled it before it was sent",
}


def settings() -> str:
    """Every key of the config file."""
    return (
        f"# Settings\n\n{HOW}\n\n"
        "One YAML file: `--config`, or `$IMAGEFERRY_CONFIG`, or `./imageferry.yaml`, or\n"
        "`/etc/imageferry/imageferry.yaml`. `${VAR}` and `${VAR:-default}` are replaced inside values. Durations are\n"
        "written `500ms 30s 5m 12h 7d`, rates `20/s 300/m`. A secret may come from a file instead: `secret_key_file:`\n"
        "for `secret_key:`. Unknown keys are errors. With comments:\n"
        "[config/imageferry.yaml](../config/imageferry.yaml).\n\n"
        f"{settings_table()}"
    )


def metrics() -> str:
    """Every metric."""
    return (
        f"# Metrics\n\n{HOW}\n\n"
        "`/metrics` on the ops listener, in Prometheus' text format. Label sets are closed and start at zero.\n"
        "A `class` is that of a vendor's answer; see [states.md](states.md) for the words of `state`.\n\n"
        f"{Metrics().table()}"
    )


def states() -> str:
    """The states of a job, and every move there is."""
    arrows = "\n".join(f"    {old} --> {new}" for old, new in MOVES)
    ends = "\n".join(f"    {state} --> [*]" for state in STATES if state in END_STATES)
    words = "\n".join(f"| `{state}` | {_MEANINGS[state]} |" for state in STATES)
    moves = "\n".join(f"| `{old}` | `{new}` | {why} |" for (old, new), why in MOVES.items())
    return (
        f"# States of a job\n\n{HOW}\n\n"
        "A job is one action on one image to one destination. The database refuses every move that is not here.\n"
        "In a job's history a row with the same state twice is a note about it, not a move.\n\n"
        f"```mermaid\nstateDiagram-v2\n    [*] --> planned\n    [*] --> failed\n{arrows}\n{ends}\n```\n\n"
        "A job begins as `failed` when it is known without asking that the cloud will never do it.\n\n"
        f"| state | means |\n|---|---|\n{words}\n\n"
        f"| from | to | when |\n|---|---|---|\n{moves}\n"
    )


def credentials() -> str:
    """Where keys come from, per cloud."""
    return f"# Credentials\n\n{HOW}\n\n{credential_docs.credentials()}"


def clouds() -> str:
    """What each cloud takes and refuses; only its marked blocks are made."""
    return renewed(DOCS / "clouds.md")


def schema(what: str) -> Callable[[], str]:
    """The schema of a kind of file, as ``imageferry schema`` prints it."""
    return lambda: json.dumps(SCHEMAS[what](), ensure_ascii=False, indent=2) + "\n"


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "settings.md": settings,
    "metrics.md": metrics,
    "states.md": states,
    "credentials.md": credentials,
    **{f"schema/{what}.json": schema(what) for what in SCHEMAS},
    "clouds.md": clouds,
}
"""Page -> what makes it."""


def pages() -> dict[str, str]:
    """Every generated page, by its file's name."""
    return {name: make() for name, make in PAGES.items()}


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
