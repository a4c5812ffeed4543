"""The daemon's socket: what is no request is answered, and ends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest

from imageferry.control import Request, ask, listening


async def echo(request: Request) -> Mapping[str, Any]:
    return {"heard": request.get("do")}


async def test_an_answer_may_be_longer_than_a_request(tmp_path: Path) -> None:
    letters = [{"id": n, "text": "\N{GRINNING FACE}" * 300} for n in range(20)]

    async def tell(_: Request) -> Mapping[str, Any]:
        return {"letters": letters}

    path = tmp_path / "ledger.db.sock"
    async with listening(path, tell):
        assert await ask(path, {"do": "replay"}) == {"letters": letters}


@pytest.mark.parametrize("line", [b"garbage\n", b"[1]\n", b"\xff\n", b"[" * 50_000 + b"\n"])
async def test_a_line_that_is_no_request_is_answered_and_the_next_one_is_served(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.db.sock"
    async with listening(path, echo):
        async with await anyio.connect_unix(str(path)) as stream:
            await stream.send(line)
            assert b"this is no request" in await stream.receive()
        assert await ask(path, {"do": "retry"}) == {"heard": "retry"}
