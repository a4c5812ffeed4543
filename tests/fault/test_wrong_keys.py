"""Wrong keys: a handful of requests, one clear message, other accounts work on, and no secret anywhere."""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, daemon_process, event
from support.faults import alive, brisk, ops_of
from support.rehearsals import image, served, tencent
from support.waiting import until

WRONG = "wrong-secret-key-that-nobody-may-ever-see"
CREDENTIALS = {"source": "static", "secret_id": REHEARSAL_KEY.secret_id, "secret_key": WRONG}
CLOSED = "account bad is closed off: AuthFailure.SignatureFailure: "


@dataclass
class Scene:
    """A daemon of two accounts, one of them with wrong keys, once it has done what it can."""

    house: House
    bad: TencentRehearsal
    ops: str
    returned: int | None = None

    def logged(self) -> list[dict[str, Any]]:
        """Every line of the log that is JSON."""
        return [json.loads(line) for line in self.house.log.read_text().splitlines() if line.startswith("{")]


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    good, bad = tencent(SystemClock(), export_seconds=0.2), tencent(SystemClock())
    async with served(good) as good_url, served(bad) as bad_url:
        accounts = {
            "good": brisk(good_url, account_id="100"),
            "bad": brisk(bad_url, account_id="200", credentials=CREDENTIALS),
        }
        house = House(folder, accounts)
        for number in range(30):
            house.tell([event(image(bad), number=number, account="bad")])
        house.tell([event(image(good), number=number, account="good") for number in range(30, 33)])
        async with daemon_process(house) as process:
            done = alive(
                process, house, lambda: len(house.completed()) == 3 and b"closed off" in house.log.read_bytes()
            )
            await until(done)
            seen = Scene(house, bad, str(ops_of(house)))
            yield seen
            process.send_signal(signal.SIGTERM)
            seen.returned = await process.wait()


async def test_other_accounts_work_on_after_at_most_three_requests_with_wrong_keys(tmp_path: Path) -> None:
    async with scene(tmp_path) as seen:
        pass
    assert 1 <= seen.bad.requests.asked() <= 3
    assert {(one["data"]["account"], one["data"]["state"]) for one in seen.house.completed()} == {("good", "succeeded")}


async def test_one_message_says_whose_keys_were_refused_and_what_to_do(tmp_path: Path) -> None:
    async with scene(tmp_path) as seen:
        pass
    [message] = [line for line in seen.logged() if line["level"] == "error"]
    what, todo = str(message["event"]).split("; ")
    assert what == "account closed off: the cloud refused its keys"
    assert todo == "correct them and restart, or reload (SIGHUP) where they are right again"
    assert (message["account"], message["vendor_code"]) == ("bad", "AuthFailure.SignatureFailure")


async def test_readyz_names_the_closed_account_and_stays_ready_for_the_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as seen, httpx.AsyncClient(base_url=seen.ops) as client:
        answer = await client.get("/readyz")
        checks = answer.json()["checks"]
        assert (answer.status_code, answer.json()["ready"]) == (200, True)
        assert (checks["account good"]["ok"], checks["account bad"]["ok"]) == (True, False)
        assert checks["account bad"]["reason"].startswith(CLOSED)


async def test_no_secret_is_in_any_output_log_metric_completion_or_ledger(tmp_path: Path) -> None:
    secrets = [WRONG.encode(), REHEARSAL_KEY.secret_key.encode()]
    async with scene(tmp_path) as seen, httpx.AsyncClient(base_url=seen.ops) as client:
        shown = [(await client.get(page)).content for page in ("/metrics", "/readyz", "/livez", "/api/v1/jobs")]
        files = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    files |= {f"{path.name} at the end": path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    config = {name: text for name, text in files.items() if name.startswith("imageferry.yaml")}
    assert {"ledger.db", "ledger.db-wal", "daemon.log", "completions.ndjson"} <= set(files)
    assert all(secret in text for secret in secrets for text in config.values())
    told = [*shown, *(text for name, text in files.items() if name not in config)]
    assert [secret for secret in secrets for text in told if secret in text or secret[:12] in text] == []


async def test_a_reload_lets_the_account_try_again_with_one_request(tmp_path: Path) -> None:
    bad = tencent(SystemClock())
    async with served(bad) as url:
        house = House(tmp_path, {"bad": brisk(url, credentials=CREDENTIALS)})
        house.tell([event(image(bad))])
        async with daemon_process(house) as process:
            await until(alive(process, house, lambda: bad.requests.asked() == 1))
            await until(lambda: b"closed off" in house.log.read_bytes())
            process.send_signal(signal.SIGHUP)
            await until(lambda: bad.requests.asked() == 2)
            async with httpx.AsyncClient(base_url=str(ops_of(house))) as client:
                assert (await client.get("/readyz")).status_code == 503
