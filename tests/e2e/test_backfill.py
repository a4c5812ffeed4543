"""Back-fill with whole daemons: fresh first, nothing twice, only what was asked for, whatever is killed on the way."""

from __future__ import annotations

import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from imageferry import reloading
from imageferry.core.job import BACKFILL, FRESH
from imageferry.errors import LedgerError
from imageferry.rehearsal.jdcloud_options import ROLE
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import RATES, REHEARSAL_KEY
from imageferry.reloading import Reloading
from imageferry.telemetry.clock import SystemClock
from support import huawei_rehearsals as huawei_side
from support import jdcloud_rehearsals as jd_side
from support.commands import program
from support.daemons import EXPORT_ALL, House, Live, account, copy_to, event, run_until_idle, running_daemon
from support.huawei_rehearsals import huawei
from support.jdcloud_rehearsals import jdcloud
from support.live import Held, held
from support.rehearsals import BUCKET, OTHER_REGION, REGION, image, served, tencent
from support.waiting import until


async def put_in(account: Held, *options: str) -> int:
    """Run the command as a process of its own; how many images it put in."""
    command = program("backfill", "--config", account.house.config, *options)
    done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stderr.decode()
    found = re.search(r"put in: (\d+)", done.stdout.decode())
    assert found is not None
    return int(found[1])


async def test_without_a_daemon_it_writes_itself_and_the_daemon_then_does_it_once(tmp_path: Path) -> None:
    async with held(tmp_path, regions=[REGION]) as account:
        ids = [account.add(name=f"web-{n}") for n in range(45)]
        assert [await put_in(account), await put_in(account)] == [45, 0]
        await run_until_idle(account.house)
        assert await put_in(account) == 0
        await run_until_idle(account.house)
    assert account.server.requests.accepted == {("ExportImages", each, BUCKET): 1 for each in ids}
    assert Counter(each["subject"] for each in account.house.completed()) == dict.fromkeys(ids, 1)
    assert {job.priority for job in await account.house.job_rows()} == {BACKFILL}


async def test_a_daemon_that_runs_takes_it_over_its_socket_and_fresh_images_go_first(tmp_path: Path) -> None:
    async with held(tmp_path, regions=[REGION], running=1) as account:
        old = [account.add() for _ in range(12)]
        async with running_daemon(account.house) as live:
            assert await put_in(account) == len(old)
            await until(lambda: _ended(account, 2))
            fresh = [account.add() for _ in range(4)]
            account.house.tell([event(each) for each in fresh])
            await until(lambda: _ended(account, len(old + fresh)), within=60)
            sample = live.daemon.metrics.registry.get_sample_value
            assert sample("imageferry_event_to_submit_seconds_count") == len(fresh)
    jobs = {job.image_id: job for job in await account.house.job_rows()}
    assert {jobs[each].priority for each in fresh} == {FRESH}
    assert {jobs[each].priority for each in old} == {BACKFILL}
    known, last = (max(getattr(jobs[each], time) for each in fresh) for time in ("created_at", "submitted_at"))
    between = [each for each in old if known < (jobs[each].submitted_at or 0) < last]
    assert len(between) <= 1, "more than the one that was on its way went before a fresh image"
    assert account.server.requests.accepted == {("ExportImages", each, BUCKET): 1 for each in old + fresh}


async def test_a_new_policy_acts_on_old_images_only_when_asked_and_then_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOOK_EVERY", 3600.0)  # or it might notice the new policy before it is told of it
    monkeypatch.setattr(Reloading, "_matters", lambda *_: False)
    sources = [{"type": "polling", "every": "200ms"}]
    async with held(tmp_path, [EXPORT_ALL], sources=sources) as account:
        old = account.add()
        async with running_daemon(account.house) as live:
            await until(lambda: _took_stock(live))
            known = account.add(created_at=SystemClock().now())
            await until(lambda: _ended(account, 1))
            policies = {"policies": [EXPORT_ALL, copy_to(OTHER_REGION)]}
            (account.house.folder / "policies.yaml").write_text(yaml.safe_dump(policies))
            refused = await account.run("backfill", "--policy", "dr")
            assert (refused.exit_code, "policy dr is not in force in the daemon" in refused.stderr) == (1, True)
            live.daemon.orders.reload()
            new = account.add(created_at=SystemClock().now())
            await until(lambda: _ended(account, 3))
            assert await _done(account) == {(known, BUCKET), (new, BUCKET), (new, OTHER_REGION)}
            assert await put_in(account, "--policy", "dr", "--region", REGION) == 2
            await until(lambda: _ended(account, 5))
    assert await _done(account) == {
        (known, BUCKET),
        (new, BUCKET),
        *((each, OTHER_REGION) for each in (old, known, new)),
    }
    assert {*account.server.requests.accepted.values()} == {1}


async def test_an_old_image_that_an_event_tells_of_is_decided_anew_by_every_policy(tmp_path: Path) -> None:
    async with held(tmp_path, [EXPORT_ALL, copy_to(OTHER_REGION)]) as account:
        old = account.add()
        assert await put_in(account, "--policy", "dr") == 1
        await run_until_idle(account.house)
        assert await _done(account) == {(old, OTHER_REGION)}
        account.house.tell([event(old)])
        await run_until_idle(account.house)
        assert await _done(account) == {(old, OTHER_REGION), (old, BUCKET)}
    assert {*account.server.requests.accepted.values()} == {1}


async def test_a_back_fill_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    async with held(tmp_path, regions=[REGION]) as account:
        for _ in range(450):
            account.add()
        slow = account.server.misbehave(Misbehaviour(fault="slow", action="DescribeImages", after=2.0))
        command = program("backfill", "--config", account.house.config)
        async with await anyio.open_process(command) as process:
            await until(lambda: _waits(account, 100))
            process.send_signal(signal.SIGKILL)
        first = await _waiting(account)
        assert 100 <= first < 450
        account.server.behave(slow)
        assert await put_in(account) == 450 - first
        assert await _waiting(account) == 450


async def test_every_cloud_is_gone_through_in_one_go(tmp_path: Path) -> None:
    clock = SystemClock()
    brisk = {"export_seconds": 0.2, "exports_running": 10}
    at_tencent = tencent(clock, rates=dict.fromkeys(RATES), **brisk)
    at_huawei = huawei(clock, image_quota=None, **brisk)
    at_jdcloud = jdcloud(clock, requests_a_minute=None, **brisk)
    keys = {"source": "static", "ak": REHEARSAL_KEY.secret_id, "sk": REHEARSAL_KEY.secret_key}
    jd_keys = {"source": "static", "access_key": REHEARSAL_KEY.secret_id, "secret_key": REHEARSAL_KEY.secret_key}
    policies = [EXPORT_ALL, _archive("huawei", huawei_side.BUCKET), _archive("jdcloud", jd_side.BUCKET, role=ROLE)]
    limits = {"export": {"rate": "40/s", "running": 10}, "read": {"rate": "200/s"}}
    async with served(at_tencent) as url, served(at_huawei) as huawei_url, served(at_jdcloud) as jd_url:
        accounts = {
            "t": account(url, limits=limits),
            "h": account(huawei_url, cloud="huawei", regions=[huawei_side.REGION], credentials=keys, limits=limits),
            "j": account(jd_url, cloud="jdcloud", regions=[jd_side.REGION], credentials=jd_keys, limits=limits),
        }
        house = House(tmp_path, accounts, policies)
        house.tell([])
        ids = {
            *(image(at_tencent) for _ in range(25)),
            *(huawei_side.image(at_huawei) for _ in range(25)),
            *(jd_side.image(at_jdcloud) for _ in range(25)),
        }
        whole = Held(at_tencent, house)
        assert [await put_in(whole), await put_in(whole)] == [75, 0]
        await run_until_idle(house, within=100)
        assert await put_in(whole) == 0
    assert {job.image_id for job in await house.job_rows() if job.state == "succeeded"} == ids
    for server in (at_tencent, at_huawei, at_jdcloud):
        assert {*server.requests.accepted.values()} == {1}


def _archive(cloud: str, bucket: str, **options: str) -> dict[str, Any]:
    match = {"cloud": cloud, "os": "linux"}
    return {"name": cloud, "match": match, "actions": [{"export": {"bucket": bucket, **options}}]}


async def _waiting(account: Held) -> int:
    """How many images are to be looked at."""
    async with account.house.reader() as reader:
        return (await reader.open_work())[0]


async def _waits(account: Held, count: int) -> bool:
    try:
        return await _waiting(account) >= count
    except LedgerError:  # it is just being made
        return False


async def _took_stock(live: Live) -> bool:
    regions = (REGION, OTHER_REGION)
    return all([await live.running.ledger.cursor(f"polling/prod/{region}") for region in regions])


async def _done(account: Held) -> set[tuple[str, str]]:
    """(image, destination) of every job that has succeeded."""
    return {(job.image_id, job.destination) for job in await account.house.job_rows() if job.state == "succeeded"}


async def _ended(account: Held, count: int) -> bool:
    return len(await _done(account)) >= count
