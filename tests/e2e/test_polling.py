"""A whole daemon that nobody sends events to: polling finds the images, over restarts, and tells of none twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from imageferry.core.times import SECOND
from imageferry.rehearsal.misbehaviour import Misbehaviour
from imageferry.rehearsal.options import RATES
from imageferry.rehearsal.tencent import TencentRehearsal
from imageferry.sources.stock import Stock
from imageferry.telemetry.clock import SystemClock
from support.daemons import House, Live, account, event, running_daemon
from support.rehearsals import BUCKET, OTHER_REGION, REGION, image, served, tencent
from support.waiting import until

POLLING = {"type": "polling", "every": "200ms"}


def cloud() -> TencentRehearsal:
    return tencent(SystemClock(), rates=dict.fromkeys(RATES), export_seconds=0.2, exports_running=10)


def house_at(folder: Path, url: str, *sources: dict[str, Any], **accounts: Any) -> House:
    limits = {"export": {"rate": "40/s", "running": 10}, "read": {"rate": "100/s"}}
    prod = account(url, regions=[REGION, OTHER_REGION], limits=limits, account_id="100000000001")
    return House(folder, {"prod": prod, **accounts}, sources=sources or [POLLING])


async def stock(live: Live) -> set[str]:
    """What the daemon has written down of the region."""
    text = await live.running.ledger.cursor(f"polling/prod/{REGION}")
    return set() if text is None else {*(Stock.read(text).ids or ())}


async def succeeded(house: House) -> list[str]:
    return sorted(job.image_id for job in await house.job_rows() if job.state == "succeeded")


async def test_an_image_that_no_event_told_of_is_found_and_one_from_a_restart_too(tmp_path: Path) -> None:
    server = cloud()
    old = image(server, name="old", created_at=SystemClock().now() - 3600 * SECOND)
    async with served(server) as url:
        house = house_at(tmp_path, url)
        async with running_daemon(house) as live:
            await until(lambda: _holds(live, old))
            new = image(server, name="new", ready_seconds=0.5)
            await until(lambda: _done(house, new))
        meanwhile = image(server, name="meanwhile")
        async with running_daemon(house) as live:
            await until(lambda: _done(house, new, meanwhile))
            later = image(server, name="later")
            await until(lambda: _done(house, new, meanwhile, later))
            await until(lambda: _holds(live, old, new, meanwhile, later))
    assert server.requests.accepted == {("ExportImages", each, BUCKET): 1 for each in (new, meanwhile, later)}
    assert Counter(each["subject"] for each in house.completed()) == dict.fromkeys((new, meanwhile, later), 1)


async def _holds(live: Live, *ids: str) -> bool:
    return await stock(live) >= {*ids}


async def _done(house: House, *ids: str) -> bool:
    return await succeeded(house) == sorted(ids)


async def test_what_an_event_told_is_not_told_again(tmp_path: Path) -> None:
    server = cloud()
    async with served(server) as url:
        house = house_at(tmp_path, url, {"type": "file", "path": str(tmp_path / "events.ndjson")}, POLLING)
        async with running_daemon(house) as live:
            await until(lambda: _took_stock(live))
            house.tell([event("img-told0001")])
            await until(lambda: accepted(live, "file") == 1)
            told = image(server, image_id="img-told0001")
            await until(lambda: _done(house, told))
            found = image(server)
            await until(lambda: _done(house, told, found))
            await until(lambda: _holds(live, told, found))
            assert (accepted(live, "file"), accepted(live, "polling")) == (1, 1)
    assert server.requests.accepted == {("ExportImages", each, BUCKET): 1 for each in (told, found)}


async def test_an_account_that_hangs_is_named_and_delays_nobody(tmp_path: Path) -> None:
    server, stuck = cloud(), cloud()
    stuck.misbehave(Misbehaviour(fault="hang", action="DescribeImages"))
    async with served(server) as url, served(stuck) as stuck_url:
        timeouts = {"request": "1s", "settle": "2s"}
        house = house_at(tmp_path, url, stuck=account(stuck_url, account_id="200000000002", timeouts=timeouts))
        async with running_daemon(house) as live:
            await until(lambda: _took_stock(live))
            found = image(server)
            await until(lambda: _done(house, found))
            await until(lambda: _named(live, f"stuck/{REGION} could not be listed"))


async def _named(live: Live, text: str) -> bool:
    """Whether /readyz names a trouble of the source and is ready all the same."""
    host, port = live.running.ops
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://{host}:{port}/readyz")
    check = answer.json()["checks"]["source polling"]
    return answer.status_code == httpx.codes.OK and not check["ok"] and text in check["reason"]


def accepted(live: Live, source: str) -> float | None:
    labels = {"source": source, "outcome": "accepted"}
    return live.daemon.metrics.registry.get_sample_value("imageferry_events_total", labels)


async def _took_stock(live: Live) -> bool:
    return await live.running.ledger.cursor(f"polling/prod/{REGION}") is not None
