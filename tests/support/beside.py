"""Folders with policies and tests of them, and what comes of those."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from imageferry.errors import BadFile
from imageferry.trials.coverage import Coverage, measure
from imageferry.trials.judge import Outcome, judge
from imageferry.trials.reader import Suite, Trial, load

POLICY = """\
policies:
  - name: archive
    match: {cloud: tencent, os: linux}
    actions:
      - export: {bucket: "archive-{region}", format: qcow2}
  - name: dr
    match: {cloud: tencent, name: "prod-*"}
    actions:
      - copy: {regions: [ap-beijing, ap-shanghai]}
"""
IMAGE = "{cloud: tencent, region: ap-guangzhou, os: linux, name: dev-1}"


class Beside:
    """A folder with policies and, in ``p.test.yaml``, tests of them."""

    def __init__(self, folder: Path, policies: str = POLICY) -> None:
        self.folder = folder
        self.file = folder / "p.test.yaml"
        (folder / "p.yaml").write_text(policies)

    def write(self, text: str) -> Path:
        self.file.write_text(dedent(text))
        return self.folder

    def suite(self, text: str, **options: Any) -> Suite:
        return load(self.write(text), **options)

    def one(self, test: str, **options: Any) -> Trial:
        """The only test, of which everything but its name is given, as a mapping in one line."""
        [trial] = self.suite(f"tests:\n  - {{name: one, {test}}}\n", **options).trials
        return trial

    def complaints(self, text: str, **options: Any) -> list[str]:
        """What is wrong, without the file's name."""
        with pytest.raises(BadFile) as caught:
            self.suite(text, **options)
        return [f"{c.line}:{c.column}: {c.message}" for c in caught.value.complaints]

    def outcomes(self, text: str) -> list[Outcome]:
        ticks = count()
        suite = self.suite(text)
        return list(judge(suite.trials, [one.spec for one in suite.policies], lambda: float(next(ticks))))

    def differences(self, expect: str, image: str = IMAGE) -> list[tuple[str | None, str | None]]:
        """What is other than expected, expected and actual, of an image."""
        [outcome] = self.outcomes(f"tests:\n  - {{name: one, image: {image}, expect: {expect}}}\n")
        return [tuple(difference) for difference in outcome.differences]

    def coverage(self, text: str) -> Coverage:
        return measure(load(self.write(text)).policies, self.outcomes(text))
