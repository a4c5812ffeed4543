"""The Huawei Cloud adapter as the registry has it."""

from __future__ import annotations

from imageferry.clouds.huawei.adapter import APIS, build
from imageferry.clouds.huawei.events import sightings
from imageferry.clouds.registry import APIS as REGISTERED
from imageferry.clouds.registry import CLOUDS, READERS


def test_the_registry_has_it_and_its_reader() -> None:
    assert (CLOUDS["huawei"], REGISTERED["huawei"], sightings in READERS) == (build, APIS, True)
