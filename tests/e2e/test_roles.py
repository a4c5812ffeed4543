"""A whole daemon that works with the keys of a role: they sign everything, end early, and show nowhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from imageferry.core.times import SECOND
from imageferry.rehearsal.options import REHEARSAL_KEY
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, account, daemon_process, event
from support.rehearsals import image, served, tencent
from support.waiting import until

ARN = "qcs::cam::uin/100000000001:roleName/imageferry"
EXTERNAL_ID = "made-up-external-id"
KEYS = {"source": "static", "secret_id": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}


def house_at(url: str, folder: Path) -> House:
    credentials = {**KEYS, "role_arn": ARN, "external_id": EXTERNAL_ID, "duration": "15m"}
    extra = {"logging": {"format": "json", "level": "debug"}}
    return House(folder, {"prod": account(url, credentials=credentials)}, extra=extra)


def end_sessions(server: TencentRehearsal) -> None:
    sessions = server.world.sessions
    sessions[:] = [replace(key, expires_at=server.now() - SECOND) for key in sessions]


async def test_exports_are_done_with_a_roles_keys_though_they_end_early_and_no_file_holds_them(tmp_path: Path) -> None:
    server = tencent(SystemClock(), export_seconds=0.2, external_ids={ARN: EXTERNAL_ID})
    async with served(server) as url:
        house = house_at(url, tmp_path)
        house.tell([event(image(server)) for _ in range(2)])
        async with daemon_process(house):
            await until(lambda: len(house.completed()) == 2)
            end_sessions(server)
            house.tell([event(image(server)) for _ in range(2)])
            await until(lambda: len(house.completed()) == 4)
            files = [house.log, house.completions, *tmp_path.glob("ledger.db*")]
            texts = {file.name: file.read_bytes() for file in files if file.is_file()}
    assert [each["type"] for each in house.completed()] == ["io.imageferry.job.succeeded"] * 4
    assert server.requests.asked("AssumeRole") == len(server.world.sessions) == 2
    hidden = {REHEARSAL_KEY.secret_key, EXTERNAL_ID}
    hidden |= {secret for key in server.world.sessions for secret in (key.secret_key, key.token)}
    shown = {(name, secret) for name, text in texts.items() for secret in hidden if secret.encode() in text}
    assert shown == set()
    assert {"daemon.log", "ledger.db"} <= texts.keys()
