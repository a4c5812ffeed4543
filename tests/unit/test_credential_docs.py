"""The page about credentials: what it shows is taken as it is written, and nothing is left out."""

from pathlib import Path

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import CLOUDS
from imageferry.settings import load
from imageferry.settings.credentials import SOURCES
from support.credential_docs import PLACES
from support.markdown import blocks


def test_the_roles_of_the_page_about_credentials_are_taken_as_they_are_written(tmp_path: Path) -> None:
    only = blocks("yaml", pages=["docs/credentials.md"])[-1]
    config = tmp_path / "imageferry.yaml"
    config.write_text(only.text)
    roles = {account.cloud: account.credentials.role for account in load(config, {}).accounts}
    assert {cloud: role and role.name for cloud, role in roles.items()} == {
        cloud: facts.role.example for cloud, facts in FACTS.items()
    }


def test_every_cloud_that_runs_has_its_sources_on_the_page_about_credentials() -> None:
    assert PLACES.keys() == CLOUDS.keys()


@pytest.mark.parametrize("cloud", PLACES)
def test_every_source_of_the_settings_is_on_the_page_unless_the_cloud_has_none(cloud: str) -> None:
    places = PLACES[cloud]
    missing = set(SOURCES) - {"chain", "static"} - {step.word for step in (*places.chain, *places.beside)}
    assert {f"credentials.{word}" for word in missing} == {
        note for note in FACTS[cloud].notes if note.startswith("credentials.")
    }
