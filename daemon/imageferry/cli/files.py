"""How commands find and read the user's files; every complaint of all of them comes in one go."""

from __future__ import annotations

import os
from pathlib import Path

import click

from imageferry import yamlmap
from imageferry.clouds.facts import FACTS
from imageferry.errors import BadFile, Complaint
from imageferry.policies import PolicyBook
from imageferry.settings import Settings, find_config, load

config_option = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="The config file; default: $IMAGEFERRY_CONFIG, ./imageferry.yaml, /etc/imageferry/imageferry.yaml.",
)


def load_settings(config: Path | None) -> Settings:
    """The settings of the config file that was named, or found.

    :raises BadFile: it is wrong, or there is none.
    """
    return load(find_config(None if config is None else str(config), os.environ), os.environ)


def load_all(config: Path | None) -> tuple[Settings, PolicyBook]:
    """Settings and policies; when either is wrong, the complaints of both.

    :raises BadFile: something is wrong.
    """
    path = find_config(None if config is None else str(config), os.environ)
    complaints: list[Complaint] = []
    settings: Settings | None = None
    book: PolicyBook | None = None
    try:
        settings = load(path, os.environ)
        policies: Path | None = settings.policies
    except BadFile as error:
        complaints.extend(error.complaints)
        policies = _policies_of(path)
    if policies is not None:
        try:
            book = PolicyBook(policies, FACTS)
        except BadFile as error:
            complaints.extend(error.complaints)
    if settings is None or book is None:
        raise BadFile(complaints)
    return settings, book


def _policies_of(path: Path) -> Path | None:
    """Where a config that is wrong elsewhere has its policies; None when that cannot be told either."""
    try:
        data = yamlmap.read(path).data
    except BadFile:
        return None
    named = data.get("policies") if isinstance(data, dict) else None
    return path.parent / named if isinstance(named, str) and "$" not in named else None
