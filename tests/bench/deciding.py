"""What policies cost: a decision and a reload, beside fewer policies, predicates written by hand, and bare YAML."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from bench.report import Row, Size, no_more_than
from imageferry.clouds.facts import FACTS
from imageferry.core.decision import PlannedAction, Verdict
from imageferry.core.image import Image
from imageferry.core.policy import PolicySet
from imageferry.policies import load
from support.policies import HERE, NOW, image, world

ROUNDS = 40
"""Each side is measured so often, in turns, and its best counts: whatever else the machine does only adds."""
TEAMS = 10
APPLICABLE = 100

Predicate = Callable[[Image], bool]
Teller = Callable[[Image], tuple[bool, str]]


def measure(size: Size, folder: Path) -> list[Row]:
    """Decisions about images of which no two are alike, and one reload."""
    folder.mkdir(parents=True)
    return [*_many(size, folder), *_by_hand(size, folder), _expressions(size, folder), _reload(size, folder)]


def _many(size: Size, folder: Path) -> list[Row]:
    ten = [_policy(number, "tencent", f"team-{number}-*") for number in range(TEAMS)]
    other = [_policy(number, "jdcloud", f"team-{number}-*") for number in range(TEAMS, size.policies)]
    step = len(other) // TEAMS
    mixed = [text for place, one in enumerate(ten) for text in (one, *other[place * step : (place + 1) * step])]
    ours, few = _best(_deciding(_loaded(folder, mixed), size), _deciding(_loaded(folder, ten), size))
    what = f"decision, {size.policies:,} policies of which ten could match, to ten"
    return [no_more_than(what, ours, few, "us", 2.0)]


def _by_hand(size: Size, folder: Path) -> list[Row]:
    rows = []
    for fitting in (TEAMS, APPLICABLE):
        prefixes = ["team-" if fitting == APPLICABLE else f"team-{n % TEAMS}-" for n in range(APPLICABLE)]
        chosen = _loaded(folder, [_policy(n, "tencent", f"{prefix}*") for n, prefix in enumerate(prefixes)])
        predicates = [_predicate(prefix, n) for n, prefix in enumerate(prefixes)]
        tellers = [_teller(prefix, n) for n, prefix in enumerate(prefixes)]
        what = f"decision, {APPLICABLE} applicable policies, {fitting} match"
        ours, bare = _best(_deciding(chosen, size), _bare(predicates, size))
        rows.append(no_more_than(f"{what}, to bare predicates", ours, bare, "us", 3.0))
        ours, telling = _best(_deciding(chosen, size), _telling(tellers, size))
        rows.append(no_more_than(f"{what}, to predicates with reasons", ours, telling, "us", 3.0))
    return rows


def _expressions(size: Size, folder: Path) -> Row:
    globs = [f"team-{number % TEAMS}-*" for number in range(APPLICABLE)]
    plain = [_policy(number, "tencent", each) for number, each in enumerate(globs)]
    asking = [
        text.replace(f'name: ["{each}", "shared-*"]', f"when: image.name.startsWith('{each[:-1]}')")
        for text, each in zip(plain, globs, strict=True)
    ]
    ours, matchers = _best(_deciding(_loaded(folder, asking), size), _deciding(_loaded(folder, plain), size))
    return no_more_than(f"decision, {APPLICABLE} policies with an expression, to matchers", ours, matchers, "us")


def _reload(size: Size, folder: Path) -> Row:
    path = _written(folder, [_policy(number, "tencent", f"team-{number}-*") for number in range(size.policies)])
    text = path.read_text()
    ours, bare = _best(lambda: _timed(lambda: load(path, FACTS)), lambda: _timed(lambda: _composed(text)), rounds=3)
    return no_more_than(f"reload of {size.policies:,} policies, to composing the YAML", ours, bare, "s")


# --- policies, and what a person would write instead ---------------------------------------------------------------


def _policy(number: int, cloud: str, glob: str) -> str:
    role = "" if cloud == "tencent" else ", role: imageferry"
    return f"""\
  - name: policy-{number}
    match:
      cloud: {cloud}
      region: ["ap-*", "cn-*"]
      os: linux
      name: ["{glob}", "shared-*"]
      size_gib: {{min: 10, max: {500 + number}}}
      tags: {{env: [prod, staging]}}
    actions:
      - export: {{bucket: "archive-{number}-{{region}}"{role}}}
"""


def _predicate(prefix: str, number: int) -> Predicate:
    largest = 500 + number

    def fits(image: Image) -> bool:
        return (
            image.place.cloud == "tencent"
            and image.place.region.startswith(("ap-", "cn-"))
            and image.os == "linux"
            and image.name is not None
            and image.name.startswith((prefix, "shared-"))
            and image.size_gib is not None
            and 10 <= image.size_gib <= largest
            and image.tags is not None
            and image.tags.get("env") in {"prod", "staging"}
        )

    return fits


def _teller(prefix: str, number: int) -> Teller:
    """The same, saying why: what a verdict is, and what ``plan`` and ``why`` show."""
    largest = 500 + number

    def tell(image: Image) -> tuple[bool, str]:  # noqa: PLR0911 - as a person would write it
        if image.place.cloud != "tencent":
            return False, f"cloud is {image.place.cloud}, wanted tencent"
        if not image.place.region.startswith(("ap-", "cn-")):
            return False, f"region is {image.place.region}, wanted ap-* or cn-*"
        if image.os != "linux":
            return False, f"os is {image.os}, wanted linux"
        if image.name is None or not image.name.startswith((prefix, "shared-")):
            return False, f'name "{image.name}" does not match "{prefix}*" or "shared-*"'
        if image.size_gib is None or not 10 <= image.size_gib <= largest:
            return False, f"size_gib is {image.size_gib}, wanted 10 to {largest}"
        env = (image.tags or {}).get("env")
        if env not in {"prod", "staging"}:
            return False, f'tag env is "{env}", wanted "prod" or "staging"'
        return True, (
            f"cloud is {image.place.cloud}, region is {image.place.region}, os is {image.os}, "
            f'name "{image.name}" matches "{prefix}*" or "shared-*", size_gib is {image.size_gib}, tag env is "{env}"'
        )

    return tell


def _images(count: int) -> list[Image]:
    """Ready images of which no two are alike, of every team in turn."""
    envs = ("prod", "staging")
    return [
        image(
            id=f"img-{n}", name=f"team-{n % TEAMS}-{n}", size_gib=20 + n % 400, tags={"env": envs[n % 2], "n": str(n)}
        )
        for n in range(count)
    ]


def _deciding(policies: PolicySet, size: Size) -> Callable[[], float]:
    """Microseconds a decision."""
    images, given = _images(size.decisions), world()

    def decide() -> None:
        for each in images:
            policies.decide(each, given, NOW)

    return lambda: _timed(decide) / len(images) * 1e6


def _bare(predicates: Sequence[Predicate], size: Size) -> Callable[[], float]:
    """Microseconds for asking every predicate, and naming a bucket for each that fits."""
    images = _images(size.decisions)

    def decide() -> None:
        for each in images:
            _ = [f"archive-{n}-{each.place.region}" for n, fits in enumerate(predicates) if fits(each)]

    return lambda: _timed(decide) / len(images) * 1e6


def _telling(tellers: Sequence[Teller], size: Size) -> Callable[[], float]:
    """Microseconds for a verdict of each with its reason, and an action of each that fits, in records like ours."""
    images = _images(size.decisions)

    def decide() -> None:
        for each in images:
            verdicts = []
            actions = {}
            for n, tell in enumerate(tellers):
                fits, reason = tell(each)
                verdicts.append(Verdict(f"policy-{n}", "match" if fits else "no_match", reason))
                if fits:
                    bucket = f"archive-{n}-{each.place.region}"
                    options = {"prefix": "", "disks": "all", "format": "raw"}
                    actions["export", bucket] = PlannedAction("export", bucket, options, (f"policy-{n}",))

    return lambda: _timed(decide) / len(images) * 1e6


# --- measuring -----------------------------------------------------------------------------------------------------


def _best(ours: Callable[[], float], theirs: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, float]:
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return min(one for one, _ in pairs), min(other for _, other in pairs)


def _timed(run: Callable[[], object]) -> float:
    began = time.process_time()  # the processor's: what else the machine does is not ours
    run()
    return time.process_time() - began


def _composed(text: str) -> object:
    return yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _written(folder: Path, policies: Sequence[str]) -> Path:
    path = folder / "policies.yaml"
    path.write_text("policies:\n" + "".join(policies))
    return path


def _loaded(folder: Path, policies: Sequence[str]) -> PolicySet:
    chosen = load(_written(folder, policies), FACTS)
    assert chosen.could_match(HERE)
    return chosen
