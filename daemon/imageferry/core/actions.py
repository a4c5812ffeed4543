"""Actions as a policy wants them: compiled once, then asked for one image which destinations they mean.

``policy`` compiles them, ``decide`` asks them and merges what several policies want. Nothing here knows why the
image matched, and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from imageferry.core.answers import Refusal
from imageferry.core.facts import CloudFacts
from imageferry.core.image import Image
from imageferry.core.job import ActionKind
from imageferry.core.options import bucket_fault, faults
from imageferry.core.spec import ActionSpec, CopySpec, ExportSpec
from imageferry.core.template import Template, Words, parse
from imageferry.core.values import ANY_REGION

NOWHERE: Final = "?"
"""The destination of an export whose bucket map has no entry for the image's region."""


@dataclass(frozen=True, slots=True)
class World:
    """What a decision may know besides the image."""

    facts: CloudFacts
    """Of the image's cloud."""
    account_regions: tuple[str, ...]
    """The regions that the image's account lists in the config."""


class Asking(NamedTuple):
    """One policy asking for its actions on one image."""

    image: Image
    world: World
    words: Words
    names_cloud: bool
    """Whether the policy holds for some clouds only: then a region its account lacks is a mistake to be seen."""


class Wish(NamedTuple):
    """One destination that one policy wants."""

    action: ActionKind
    destination: str
    options: Mapping[str, Any]
    refused: Refusal | None


class LeftOut(NamedTuple):
    """A destination that nothing is to be done about."""

    reason: str


Action = Callable[[Asking], Iterable[Wish | LeftOut]]


class Judged(NamedTuple):
    """A policy's options at one cloud."""

    options: Mapping[str, Any]
    """Read by many wishes, changed by nobody."""
    refused: Refusal | None
    """Why the cloud will never take what is written."""


Complete = Callable[[CloudFacts, Mapping[str, Any]], Mapping[str, Any]]
"""Adds the defaults of a cloud to what is written."""


def compile_action(spec: ActionSpec) -> Action:
    """The function that says what an action means for one image."""
    if spec.export is not None:
        return _export(spec.export)
    if spec.copy_ is not None:
        return _copy(spec.copy_)
    raise AssertionError("the model lets no action through that does nothing")


def templates(spec: ActionSpec) -> Iterator[Template]:
    """Every template of an action."""
    if spec.export is not None:
        yield from map(parse, spec.export.bucket.values())
    texts = (spec.export.prefix if spec.export else None, spec.copy_.name if spec.copy_ else None)
    yield from (parse(text) for text in texts if text is not None)


def compile_options(spec: ExportSpec | CopySpec) -> Callable[[Words], dict[str, Any]]:
    """The options as the policy writes them, templates filled in; nothing that it leaves out."""
    written = spec.model_dump(exclude={"bucket", "regions"}, exclude_unset=True)
    texts = _texts(written)
    return lambda words: written | {key: text.fill(words) for key, text in texts.items()}


def _texts(options: Mapping[str, Any]) -> dict[str, Template]:
    """The options that are templates."""
    return {key: parse(options[key]) for key in ("prefix", "name") if options.get(key) is not None}


def _export(spec: ExportSpec) -> Action:
    buckets = {region: parse(text) for region, text in spec.bucket.items()}
    options = _judged(spec, "export", _with_export_defaults)

    def wishes(asking: Asking) -> Iterable[Wish]:
        whole, fault = options(asking)
        region = asking.image.place.region
        bucket = buckets.get(ANY_REGION) or buckets.get(region)
        if bucket is None:
            return (Wish("export", NOWHERE, whole, Refusal("permanent_config", _no_bucket(region, buckets))),)
        destination = bucket.fill(asking.words)
        bad = bucket_fault(destination)
        refused = Refusal("permanent_config", bad) if bad else fault or _never(asking, "export", destination, whole)
        return (Wish("export", destination, whole, refused),)

    return wishes


def _copy(spec: CopySpec) -> Action:
    options = _judged(spec, "copy", _as_given)

    def wishes(asking: Asking) -> Iterator[Wish | LeftOut]:
        place, listed = asking.image.place, asking.world.account_regions
        given, fault = options(asking)
        for region in spec.regions:
            strange = f"account {place.account or '?'} does not list the region {region}"
            if region == place.region:
                yield LeftOut(f"copy to {region} left out: it is the image's own region")
            elif region in listed:
                yield Wish("copy", region, given, fault or _never(asking, "copy", region, given))
            elif asking.names_cloud:
                yield Wish("copy", region, given, Refusal("permanent_config", strange))
            else:
                yield LeftOut(f"copy to {region} left out: {strange}")

    return wishes


def _judged(spec: ExportSpec | CopySpec, kind: ActionKind, complete: Complete) -> Callable[[Asking], Judged]:
    """The options with the cloud's defaults, and why the cloud will never take what is written.

    Options without placeholders are the same for every image of a cloud: they are judged once.
    """
    options = compile_options(spec)
    fixed = not any(text.needs for text in _texts(spec.model_dump(exclude_unset=True)).values())
    once: dict[str, tuple[CloudFacts, Judged]] = {}

    def judge(asking: Asking) -> Judged:
        facts = asking.world.facts
        known, judged = once.get(facts.name, (None, None))
        if judged is not None and known is facts:
            return judged
        given = options(asking.words)
        fault = next(faults(facts, kind, given), None)
        judged = Judged(complete(facts, given), Refusal("permanent_config", fault.reason) if fault else None)
        if fixed:
            once[facts.name] = (facts, judged)
        return judged

    return judge


def _with_export_defaults(facts: CloudFacts, given: Mapping[str, Any]) -> Mapping[str, Any]:
    whole: dict[str, Any] = {"prefix": ""}
    if "disks" in facts.export_options:
        whole["disks"] = facts.disks_default
    if facts.formats:
        whole["format"] = facts.formats[0]
    whole |= given
    if given.get("quick"):
        whole.pop("format", None)
    return whole


def _as_given(_facts: CloudFacts, given: Mapping[str, Any]) -> Mapping[str, Any]:
    return given


def _never(asking: Asking, kind: ActionKind, destination: str, options: Mapping[str, Any]) -> Refusal | None:
    """Why the cloud will never do it, by what its preflight says of the image."""
    return asking.world.facts.preflight(asking.image, kind, destination, options)


def _no_bucket(region: str, buckets: Mapping[str, Template]) -> str:
    return f"no bucket is given for region {region}; the policy has one for {', '.join(buckets)}"
