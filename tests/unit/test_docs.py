from __future__ import annotations

import re

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.machine import MOVES, STATES
from support.cloud_docs import BLOCKS, blocks
from support.docs import DOCS, PAGES, pages


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_as_the_code_is_now(name: str) -> None:
    hint = "renew it: PYTHONPATH=tests .venv/bin/python -m support.docs"
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], hint


def test_the_diagram_has_every_move_and_no_other() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+)$", pages()["states.md"], re.MULTILINE)
    assert arrows == list(MOVES)


def test_every_state_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \| [^|`]+ \|$", pages()["states.md"], re.MULTILINE)
    assert explained == list(STATES)


def test_every_cloud_has_every_block() -> None:
    assert blocks(DOCS / "clouds.md") == {(what, cloud) for what in BLOCKS for cloud in FACTS}
