"""Reads test files and the policies beside them, and makes of each test what ``judge`` can put before the policies.

The ``test`` command calls it. Every complaint of every file comes at once; nothing is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from imageferry import policies, yamlmap
from imageferry.clouds.facts import FACTS
from imageferry.clouds.registry import READERS
from imageferry.core.account import Account
from imageferry.core.image import Image, Place
from imageferry.core.times import SECOND, parse_rfc3339
from imageferry.errors import BadFile, Complaint
from imageferry.flow.intake import PROJECT, Directory
from imageferry.policies import TESTS, Written
from imageferry.sources.cloudevents import Codec, Told
from imageferry.sources.facts import claimed
from imageferry.trials.spec import TOLD_BY, Expectation, ImageFacts, Terms, TrialFile, TrialSpec
from imageferry.wording import dotted, suggestion

NOW: Final = parse_rfc3339("2026-01-01T00:00:00Z")
"""The time of a test that says none: always the same, so that its outcome is too."""

_SOURCE: Final = "test"
_WHERE: Final = ("cloud", "account", "region", "id")
_Loc = tuple[str | int, ...]


class Trial(NamedTuple):
    """A test, ready to be put before the policies."""

    name: str
    path: str
    line: int
    image: Image
    regions: tuple[str, ...]
    """What the image's account lists."""
    now: int
    asked: tuple[str, ...]
    """The policies it is about, in file order."""
    expect: Expectation


class Suite(NamedTuple):
    """Policies with their tests."""

    policies: Sequence[Written]
    trials: Sequence[Trial]


def load(path: Path, accounts: Sequence[Account] | None = None) -> Suite:
    """Read the tests of a folder, of one policy file, or of one test file.

    :param accounts: those of a config, which then say what an account lists; None: the tests say it.
    :raises BadFile: with everything that is wrong with tests and policies.
    """
    complaints: list[Complaint] = []
    written: list[Written] | None = None
    try:
        written = policies.read_all(path.parent if path.name.endswith(TESTS) else path, FACTS)
    except BadFile as error:
        complaints.extend(error.complaints)
    trials: list[Trial] = []
    try:
        files = _files(path, complaints)
    except OSError:  # the path cannot be looked at, which is among the complaints about the policies already
        files = []
    for file in files:
        try:
            reading = _Reading(yamlmap.read(file, keep=True), written, accounts)
        except BadFile as error:
            complaints.extend(error.complaints)
            continue
        trials.extend(reading.trials())
        complaints.extend(sorted(set(reading.complaints)))
    if written is None or complaints:
        raise BadFile(complaints)
    return Suite(written, trials)


def _files(path: Path, complaints: list[Complaint]) -> list[Path]:
    """The test files that belong to a path; where there are none, that is said."""
    if path.is_dir():
        found = sorted(file for file in path.glob(f"*{TESTS}") if not file.name.startswith("."))
        wanted = f"at least one file *{TESTS} beside the policies"
    elif path.name.endswith(TESTS):
        return [path]
    else:
        beside = path.with_name(f"{path.stem}{TESTS}")
        found = [beside] if beside.exists() else []
        wanted = f"{beside.name} beside it"
    if not found and path.exists():
        complaints.append(Complaint(str(path), 1, 1, f"no tests here; expected {wanted}"))
    return found


class _Reading:
    """One test file being read; ``complaints`` gathers what is wrong with it."""

    def __init__(
        self, document: yamlmap.Document, written: Sequence[Written] | None, accounts: Sequence[Account] | None
    ) -> None:
        self.complaints = list(document.faults)
        self._document = document
        self._names = None if written is None else tuple(one.spec.name for one in written)
        self._listed = _regions_of(written or ())
        self._accounts = accounts

    def trials(self) -> list[Trial]:
        """Every test that is right."""
        try:
            file = TrialFile.model_validate(self._document.data)
        except ValidationError as error:
            self.complaints.extend(self._document.complaints(error, TrialFile))
            return []
        self._check_policies(("defaults", "policies"), file.defaults.policies or ())
        taken: dict[str, int] = {}
        made = []
        for index, spec in enumerate(file.tests):
            at: _Loc = ("tests", index)
            if spec.name in taken:
                line = self._document.position(("tests", taken[spec.name], "name"))[0]
                self._say((*at, "name"), f'the test name "{spec.name}" is taken in line {line}; expected another name')
            taken.setdefault(spec.name, index)
            made.append(self._trial(at, spec, file.defaults))
        return [trial for trial in made if trial is not None]

    def _trial(self, at: _Loc, spec: TrialSpec, defaults: Terms) -> Trial | None:
        now = spec.now if spec.now is not None else defaults.now if defaults.now is not None else NOW
        named = spec.policies or defaults.policies
        asked = tuple(name for name in self._names or () if named is None or name in named)
        self._check_names(at, spec, asked)
        facts = _over(defaults.image, spec.image) if spec.image or spec.event is None else None
        image = self._image(at, spec, facts, now)
        if image is None:
            return None
        line = self._document.position(at)[0]
        regions = spec.regions or defaults.regions or self._regions(image.place)
        return Trial(spec.name, self._document.name, line, image, regions, now, asked, spec.expect)

    # --- the image -------------------------------------------------------------------------------------------------

    def _image(self, at: _Loc, spec: TrialSpec, facts: Mapping[str, Any] | None, now: int) -> Image | None:
        """The image that a test is about; None where it cannot be told, which is said."""
        if spec.event is not None:
            return self._of_event(at, spec, facts, now)
        if facts is None:
            self._say(at, f"{dotted(at)}: there is nothing to decide about; expected image or event", key=True)
            return None
        missing = [key for key in ("cloud", "region") if not facts.get(key)]
        for key in missing:
            loc = (*at, "image") if spec.image else at
            self._say(loc, f'{dotted((*at, "image"))}: the key "{key}" is missing; expected it here', key=True)
        if missing:
            return None
        place = self._place((*at, "image", "region"), (facts["cloud"], facts.get("account"), facts["region"]))
        self._check_extra(at, spec, facts["cloud"])
        return place and _described(place, facts.get("id") or "img-test", _known(facts, now))

    def _of_event(self, at: _Loc, spec: TrialSpec, facts: Mapping[str, Any] | None, now: int) -> Image | None:
        """The image that an event speaks of: as the test describes it, else as the event itself does."""
        loc = (*at, "event")
        for key in _WHERE if spec.image else ():
            if spec.image and key in spec.image.model_fields_set:
                said = (*at, "image", key)
                self._say(said, f"{dotted(said)}: the event says this; expected it there only", key=True)
        told = Codec(READERS).told(json.dumps(spec.event).encode(), self._document.name, (), _SOURCE)
        if len(told) != 1:
            self._say(loc, f"{dotted(loc)}: the event speaks of {len(told)} images; expected one")
            return None
        if not isinstance(told[0], Told):
            self._say(loc, f"{dotted(loc)}: the event cannot be read: {told[0].reason}")
            return None
        sighting = told[0].sighting
        place = self._place(loc, (sighting.cloud, sighting.account, sighting.region))
        if place is None:
            return None
        image, doubtful = claimed(place, sighting.image_id, told[0].facts)
        for text in doubtful:
            self._say(loc, f"{dotted(loc)}: {text}")
        if facts is None:
            return image
        self._check_extra(at, spec, sighting.cloud)
        return _described(place, image.id, _known(facts, now))

    def _check_extra(self, at: _Loc, spec: TrialSpec, cloud: str) -> None:
        """An extra fact that the image's cloud does not tell would never be asked for. Defaults serve many clouds."""
        if spec.image is None or "extra" not in spec.image.model_fields_set:
            return
        told = next(words for name, words in TOLD_BY.items() if name == cloud)
        loc: _Loc = (*at, "image", "extra")
        for key in sorted(spec.image.extra.model_fields_set - told):
            expected = ", ".join(sorted(told)) or "the key left out"
            self._say((*loc, key), f'{dotted(loc)}: {cloud} tells no "{key}"; expected {expected}', key=True)

    def _place(self, loc: _Loc, where: tuple[str, str | None, str]) -> Place | None:
        cloud, account, region = where
        if self._accounts is not None:
            place = Directory(self._accounts).resolve(where)
        elif region.startswith(PROJECT):
            place = "the event names a project and no region; name the config that knows it with --config"
        else:
            place = Place(cloud, account or "", region)
        if isinstance(place, str):
            self._say(loc, f"{dotted(loc)}: {place}")
            return None
        return place

    def _regions(self, place: Place) -> tuple[str, ...]:
        for account in self._accounts or ():
            if account.name == place.account:
                return account.regions
        return tuple(dict.fromkeys((place.region, *self._listed)))

    # --- the policies ----------------------------------------------------------------------------------------------

    def _check_names(self, at: _Loc, spec: TrialSpec, asked: tuple[str, ...]) -> None:
        self._check_policies((*at, "policies"), spec.policies or ())
        expect: _Loc = (*at, "expect")
        for index, action in enumerate(spec.expect.actions or ()):
            self._check_policies((*expect, "actions", index, "policies"), action.policies or (), asked)
        for name in spec.expect.verdicts:
            self._check_policy((*expect, "verdicts", name), name, asked, key=True)

    def _check_policies(self, at: _Loc, names: Iterable[str], asked: tuple[str, ...] | None = None) -> None:
        for index, name in enumerate(names):
            self._check_policy((*at, index), name, asked)

    def _check_policy(self, loc: _Loc, name: str, asked: tuple[str, ...] | None, *, key: bool = False) -> None:
        """Policies that could not be read have complaints of their own; nothing is said of their names."""
        known = self._names if asked is None else asked
        if self._names is None or known is None or name in known:
            return
        if name in self._names:
            said = f'policy "{name}" is not asked; expected it under policies too'
        else:
            said = f'there is no policy "{name}"; expected one of {", ".join(known)}{suggestion(name, known)}'
        self._say(loc, f"{dotted(loc[:-1])}: {said}", key=key)

    def _say(self, loc: _Loc, message: str, *, key: bool = False) -> None:
        self.complaints.append(self._document.complaint(loc, message, key=key))


def _over(defaults: ImageFacts | None, own: ImageFacts | None) -> dict[str, Any] | None:
    """What is written of the image, a test's own words over those of the file's defaults; None for nothing at all."""
    written = [one for one in (defaults, own) if one is not None]
    if not written:
        return None
    facts: dict[str, Any] = {}
    for one in written:
        said = {key: getattr(one, key) for key in one.model_fields_set}
        if {"age", "created_at"} & said.keys():
            facts = {key: value for key, value in facts.items() if key not in {"age", "created_at"}}
        facts |= said
    return facts


def _known(facts: Mapping[str, Any], now: int) -> dict[str, Any]:
    """The facts that an image has, with the defaults of those that are not written."""
    plain = ImageFacts()
    known = {key: getattr(plain, key) for key in ImageFacts.model_fields} | dict(facts)
    known["extra"] = known["extra"].model_dump(exclude_unset=True)
    if (age := known.pop("age")) is not None:
        known["created_at"] = now - round(age * SECOND)
    return {key: value for key, value in known.items() if key not in _WHERE}


def _described(place: Place, image_id: str, known: Mapping[str, Any]) -> Image:
    return Image(place=place, id=image_id, **known)


def _regions_of(written: Iterable[Written]) -> tuple[str, ...]:
    """Every region that any policy copies to."""
    return tuple(dict.fromkeys(_targets(written)))


def _targets(written: Iterable[Written]) -> Iterator[str]:
    for one in written:
        for action in one.spec.actions:
            if action.copy_ is not None:
                yield from action.copy_.regions
