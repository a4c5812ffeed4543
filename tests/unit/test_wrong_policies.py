"""Wrong policy files, one for each fault, each beside what a person is told about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.errors import BadFile
from imageferry.policies import load

WRONG = Path(__file__).parent / "wrong_policies"


@pytest.mark.parametrize("name", sorted(path.stem for path in WRONG.glob("*.yaml")))
def test_a_wrong_policy_is_told_what_is_wrong_and_where(name: str) -> None:
    with pytest.raises(BadFile) as caught:
        load(WRONG / f"{name}.yaml", FACTS)

    said = "".join(f"{c.line}:{c.column}: {c.message}\n" for c in caught.value.complaints)

    assert said == (WRONG / f"{name}.expected").read_text()


def test_every_expectation_has_its_file() -> None:
    assert sorted(path.stem for path in WRONG.glob("*.expected")) == sorted(path.stem for path in WRONG.glob("*.yaml"))
