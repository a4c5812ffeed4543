"""Right files made wrong by chance: never anything but complaints, each with a position that is in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from imageferry import policies, settings
from imageferry.clouds.facts import FACTS
from imageferry.errors import BadFile, Complaint
from imageferry.trials import reader
from imageferry.trials.coverage import measure
from imageferry.trials.judge import judge
from support.commands import invoke
from support.mutations import MUTATIONS
from support.programs import ROOT

SEEDS = range(6)
"""How often each mutation is made of each kind of file."""
LINE = re.compile(r"(.+?):(\d+):(\d+): \S.*")
POLICIES = [path for path in sorted((ROOT / "policies").glob("*.yaml")) if ".test." not in path.name]
TESTS = sorted((ROOT / "policies").glob("*.test.yaml"))


class Kind(NamedTuple):
    """A kind of file: right ones, and what reads one."""

    right: list[Path]
    read: Callable[[Path], object]


def read_tests(path: Path) -> object:
    for beside in POLICIES:
        (path.parent / beside.name).write_bytes(beside.read_bytes())
    suite = reader.load(path)
    outcomes = list(judge(suite.trials, [one.spec for one in suite.policies], lambda: 0.0))
    return measure(suite.policies, outcomes)


KINDS = {
    "config": Kind(sorted((ROOT / "config").glob("*.yaml")), lambda path: settings.load(path, {})),
    "policies": Kind(POLICIES, lambda path: policies.load(path, FACTS)),
    "tests": Kind(TESTS, read_tests),
}


def mutated(kind: str, number: int) -> Iterator[str]:
    """Texts made wrong in one way, each from a right file."""
    for seed in SEEDS:
        chance = Random(f"{kind} {number} {seed}")
        yield MUTATIONS[number](chance.choice(KINDS[kind].right).read_text(), chance)


def complaints(kind: str, path: Path, text: str) -> tuple[Complaint, ...]:
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        KINDS[kind].read(path)
    except BadFile as error:
        return error.complaints or (Complaint(str(path), 0, 0, "wrong without a complaint"),)
    return ()


def is_inside(complaint: Complaint, text: str) -> bool:
    """Whether the position is in the text, or just behind its end."""
    lines = [*re.split("\r\n|\r|\n", text), ""]
    return 1 <= complaint.line <= len(lines) and 1 <= complaint.column <= len(lines[complaint.line - 1]) + 1


@pytest.mark.parametrize("number", range(len(MUTATIONS)), ids=lambda number: MUTATIONS[number].__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_made_wrong_is_complained_about_at_places_that_are_in_it(kind: str, number: int, tmp_path: Path) -> None:
    path = tmp_path / ("a.test.yaml" if kind == "tests" else "a.yaml")
    for text in mutated(kind, number):
        for complaint in complaints(kind, path, text):
            assert complaint.path == str(path), complaint
            assert is_inside(complaint, text), f"{complaint}\n{text}"
            assert complaint.message.strip() == complaint.message, complaint
            assert "\n" not in complaint.message, complaint


@pytest.mark.parametrize("kind", KINDS)
def test_most_of_these_files_are_wrong_indeed(kind: str, tmp_path: Path) -> None:
    """Of 90 each: what is left is right by chance, such as a line of a comment or an option that may be left out."""
    path = tmp_path / ("a.test.yaml" if kind == "tests" else "a.yaml")
    texts = [text for number in range(len(MUTATIONS)) for text in mutated(kind, number)]

    wrong = sum(1 for text in texts if complaints(kind, path, text))

    assert wrong > len(texts) / 2, f"{wrong} of {len(texts)}"


@pytest.mark.parametrize("kind", ["config", "policies"])
def test_check_ends_with_2_and_a_line_for_each_complaint(kind: str, tmp_path: Path) -> None:
    config, policy = tmp_path / "imageferry.yaml", tmp_path / "policies" / "p.yaml"
    policy.parent.mkdir()
    right = "policies: policies/\naccounts: {prod: {cloud: tencent, regions: [ap-guangzhou]}}\n"
    config.write_text(right)
    policy.write_text((ROOT / "policies" / "archive-linux.yaml").read_text())
    path = config if kind == "config" else policy
    wrong = 0
    for number in range(len(MUTATIONS)):
        for text in mutated(kind, number):
            if not complaints(kind, path, text):
                continue
            wrong += 1
            result = invoke("check", "--config", config)
            assert (result.exit_code, result.stdout) == (2, ""), text
            assert all(LINE.fullmatch(line) for line in result.stderr.splitlines()), result.stderr
            assert "Traceback" not in result.stderr
    assert wrong > 45, wrong
