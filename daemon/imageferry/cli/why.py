"""``imageferry why IMAGE``: why an image is protected, or is not, from everything that the ledger knows of it."""

from __future__ import annotations

from pathlib import Path

import anyio
import click

from imageferry.cli.files import config_option, load_settings
from imageferry.cli.story import Known, Story, story_json, tell
from imageferry.cli.tables import format_option, plain, print_json
from imageferry.core.job import JobFilter
from imageferry.core.times import rfc3339
from imageferry.errors import ImageferryError
from imageferry.ledgers.sqlite import open_reader
from imageferry.settings import Settings


@click.command()
@config_option
@format_option
@click.argument("image")
def command(config: Path | None, output: str, image: str) -> None:
    """Say why IMAGE is protected, or is not: IMAGE is the vendor's id of it.

    First a line for each place that has it, then everything that happened, in its order.
    """
    known = anyio.run(_known, load_settings(config), image)
    if not known:
        raise ImageferryError(
            f"the ledger knows nothing of {image}: no event named it, and no dead letter mentions it; "
            "is it the image's id, and does whatever makes images send events?"
        )
    story = tell(known)
    if output == "json":
        print_json(story_json(known, story))
    else:
        _print(story, image)


async def _known(settings: Settings, image: str) -> Known:
    async with open_reader(settings.ledger_url) as reader:
        jobs = (await reader.jobs(JobFilter(image=image)))[::-1]
        return Known(
            image_id=image,
            events=await reader.events_of(image),
            rows=await reader.image(image),
            jobs=[(job, await reader.history(job.id)) for job in jobs],
            letters=await reader.letters_about(image),
        )


def _print(story: Story, image: str) -> None:
    for conclusion in story.conclusions:
        click.echo(plain(conclusion.line))
    if not story.conclusions:
        click.echo(plain(f"{image}: NOT KNOWN: no event about it could be read"))
    click.echo()
    several = len({entry.where for entry in story.entries}) > 1
    for entry in story.entries:
        where = f"{entry.where}  " if several and entry.where else ""
        click.echo(plain(f"{rfc3339(entry.at)}  {where}{entry.text}"))
