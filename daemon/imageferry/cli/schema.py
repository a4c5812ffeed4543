"""``imageferry schema``: the JSON Schema of a kind of file, for editors."""

from __future__ import annotations

import click

from imageferry.cli.tables import print_json
from imageferry.schemas import SCHEMAS


@click.command()
@click.argument("what", type=click.Choice(list(SCHEMAS)))
def command(what: str) -> None:
    """Print the JSON Schema (draft 7) of policy files, of files of tests, or of the config file.

    An editor takes it from a file's first line: # yaml-language-server: $schema=PATH
    """
    print_json(SCHEMAS[what]())
