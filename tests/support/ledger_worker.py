"""A process of its own that works on a ledger until it is killed, and says what the ledger acknowledged.

Started by the tests as ``ledger_worker.py DATABASE FOLDER``, with the tests on its path; writes
``moved KEY VERSION`` lines.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count
from pathlib import Path

from imageferry.core.job import Job
from imageferry.ports import Ledger
from support.clocks import FakeClock
from support.ledgers import DATABASES, PATHS, new_job, plan, step


def say(job: Job) -> None:
    sys.stdout.write(f"moved {job.key} {job.version}\n")
    sys.stdout.flush()


async def work(ledger: Ledger) -> None:
    for number in count():
        [job] = await plan(ledger, new_job(f"img-{number}"))
        say(job)
        for to in list(PATHS.values())[number % len(PATHS)]:
            job = await step(ledger, job, to)
            say(job)
            if to == "submitting" and number % 3 == 0:
                break  # left under way, as a kill leaves it


async def main(name: str, folder: str) -> None:
    async with DATABASES[name](Path(folder)).open(FakeClock()) as ledger:
        await work(ledger)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
