"""What one finished job costs in requests, at each cloud, with many jobs running at once.

The real loops and adapter at a rehearsal over HTTP, on a clock that only their own waits move, so that ten minutes of
tasks cost seconds. Counted is every request to the image API after the first submit of each job; looks at objects in
the storage go to another service, which no vendor counts with it, and stand beside.
"""

from __future__ import annotations

from pathlib import Path

from bench.report import Row, Size
from imageferry.core.times import SECOND
from support.cloud_table import CLOUD_TABLE, Entry
from support.trials import KINDS, Trial, trial

TAKES = {"export_seconds": 600.0, "copy_seconds": 600.0, "duration_spread": 0.2}
"""As the vendors' own tools have seen them: eight to eleven minutes an export, ten to fourteen a copy."""
AIM = 1.5
HEAD = "HeadObject"


async def measure(size: Size, folder: Path) -> list[Row]:
    """Requests of a finished job, half of them exports and half copies, cloud by cloud."""
    rows = []
    for entry in CLOUD_TABLE.values():
        (folder / entry.cloud).mkdir(parents=True)
        rows.append(await _cost(entry, max(1, size.running // 2), folder / entry.cloud))
    return rows


async def _cost(entry: Entry, images: int, folder: Path) -> Row:
    async with trial(folder, entry, **TAKES) as there:
        for kind in KINDS:  # one of each before the ones that count: how long they take is known from then on
            await there.decided(there.wanted(kind), there.image(name="first"))
            await there.stage.submit(kind)
        await _followed(there)
        for kind in KINDS:
            await there.decided(there.wanted(kind), *(there.image(name=f"web-{n}") for n in range(images)))
        before = _counted(there)
        for _ in range(images):
            for kind in KINDS:
                await there.stage.submit(kind)
        await _followed(there)
        ended = (await there.stage.jobs())[len(KINDS) :]
        requests, heads = (now - then for now, then in zip(_counted(there), before, strict=True))
    assert [job.reason for job in ended if job.state != "succeeded" or job.sends != 1] == []
    beyond = requests / len(ended) - 1
    what = f"requests of a finished job beyond its submit, {entry.cloud}, {len(ended)} running"
    figure = f"{beyond:.2f} (and {heads / len(ended):.2f} looks at objects)"
    return Row(what, figure, "1.00", beyond, f"<= {AIM:.2f} x", met=beyond <= AIM)


async def _followed(there: Trial) -> None:
    """Look after the running tasks, each time some are due, until there are none."""
    stage = there.stage
    here = (stage.site.account.name, stage.site.region)
    while (due_at := await stage.ledger.next_due(*here, "running")) is not None:
        stage.clock.jump(max(0, due_at - stage.clock.now()) / SECOND)
        await stage.follow()


def _counted(there: Trial) -> tuple[int, int]:
    """(requests to the image API, looks at objects) so far."""
    heads = there.cloud.requests.asked(HEAD)
    return there.cloud.requests.asked() - heads, heads
