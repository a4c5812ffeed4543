"""Adding a cloud: whatever lists the clouds by name has every one that is registered, and says where it is missing."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from typing import get_args

import pytest

from imageferry.cli.scenes import SCENES
from imageferry.clouds.registry import CLOUDS
from imageferry.core.image import CLOUD_NAMES, CloudName
from imageferry.core.spec import MatchSpec
from imageferry.rehearsal.registry import OPTIONS, REHEARSALS
from imageferry.trials.spec import TOLD_BY
from support.programs import ROOT
from support.role_scenes import KINDS


def of_the_chart() -> Collection[str]:
    schema = json.loads((ROOT / "helm/imageferry/values.schema.json").read_text())
    accounts = schema["properties"]["config"]["properties"]["accounts"]
    names: list[str] = accounts["additionalProperties"]["properties"]["cloud"]["enum"]
    return names


def of_the_import_contracts() -> Collection[str]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [strangers] = [each for each in contracts if "imageferry.clouds.aliyun" in each.get("modules", ())]
    return [name.removeprefix("imageferry.clouds.") for name in strangers["modules"]]


LISTS: Mapping[str, Collection[str]] = {
    "CloudName of core/image.py": get_args(CloudName),
    "CLOUD_NAMES of core/image.py": CLOUD_NAMES,
    "REHEARSALS of rehearsal/registry.py": REHEARSALS,
    "OPTIONS of rehearsal/registry.py": OPTIONS,
    "SCENES of cli/scenes.py": SCENES,
    "TOLD_BY of trials/spec.py": TOLD_BY,
    "helm/imageferry/values.schema.json": of_the_chart(),
    "the contract of the clouds in pyproject.toml": of_the_import_contracts(),
    "KINDS of tests/support/role_scenes.py": KINDS,
}


@pytest.mark.parametrize("where", LISTS)
def test_every_registered_cloud_stands_in(where: str) -> None:
    assert sorted(LISTS[where]) == sorted(CLOUDS)


def test_editors_are_told_of_every_cloud() -> None:
    told = MatchSpec.model_fields["cloud"].description or ""
    assert told.replace(" or ", ", ").split(", ") == list(CLOUD_NAMES)
