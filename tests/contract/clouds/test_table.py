"""The table of the clouds is whole: no registered cloud escapes the suite."""

from __future__ import annotations

from imageferry.clouds.registry import CLOUDS
from support.cloud_table import CLOUD_TABLE


def test_every_registered_cloud_has_an_entry() -> None:
    assert set(CLOUD_TABLE) == set(CLOUDS)
