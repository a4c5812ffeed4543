"""Puts tests before the policies and says what is other than expected. Nothing is read or printed here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from imageferry.clouds.facts import FACTS
from imageferry.core.actions import World
from imageferry.core.decision import Decision, PlannedAction, Verdict
from imageferry.core.job import ActionKind
from imageferry.core.policy import PolicySet
from imageferry.core.spec import PolicySpec
from imageferry.policies import compiled
from imageferry.trials.reader import Trial
from imageferry.trials.spec import ActionWanted, VerdictWanted


class Difference(NamedTuple):
    """One thing that is other than expected; None: nothing of the kind was."""

    expected: str | None
    actual: str | None


class Outcome(NamedTuple):
    """What came of one test."""

    trial: Trial
    decision: Decision
    differences: tuple[Difference, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


class _Wanted(NamedTuple):
    """One expected action to one destination."""

    action: ActionKind
    destination: str
    spec: ActionWanted

    def fits(self, planned: PlannedAction) -> bool:
        """Whether the action to this destination is as it has to be."""
        options = _options(self.spec)
        right_policies = self.spec.policies is None or sorted(self.spec.policies) == sorted(planned.policies)
        refusal = planned.refused.reason if planned.refused else None
        refused = refusal is None if self.spec.refused is None else refusal is not None and self.spec.refused in refusal
        return right_policies and refused and all(planned.options.get(key) == options[key] for key in options)

    def said(self) -> str:
        """The expectation in words."""
        text = f"{self.action} to {self.destination}{_with(_options(self.spec))}"
        text += f" ({', '.join(self.spec.policies)})" if self.spec.policies else ""
        return text if self.spec.refused is None else f'{text}: cannot be done: "{self.spec.refused}"'


def judge(trials: Sequence[Trial], policies: Sequence[PolicySpec], clock: Callable[[], float]) -> Iterator[Outcome]:
    """Each test's outcome; ``clock`` gives seconds, for how long each took."""
    sets: dict[tuple[str, ...], PolicySet] = {}
    for trial in trials:
        if trial.asked not in sets:
            sets[trial.asked] = compiled([spec for spec in policies if spec.name in trial.asked])
        began = clock()
        world = World(facts=FACTS[trial.image.place.cloud], account_regions=trial.regions)
        decision = sets[trial.asked].decide(trial.image, world, trial.now)
        differences = (*_verdicts(trial, decision), *_actions(trial, decision))
        yield Outcome(trial, decision, differences, clock() - began)


def _verdicts(trial: Trial, decision: Decision) -> Iterator[Difference]:
    actual = {verdict.policy: verdict for verdict in decision.verdicts}
    for name, wanted in trial.expect.verdicts.items():
        if not _agrees(wanted, actual[name]):
            yield Difference(f"{name}: {_verdict(wanted)}", verdict_text(actual[name]))


def _agrees(wanted: VerdictWanted, actual: Verdict) -> bool:
    return wanted.verdict in {None, actual.verdict} and (wanted.reason or "") in actual.reason


def _verdict(wanted: VerdictWanted) -> str:
    reason = None if wanted.reason is None else f'"{wanted.reason}"'
    return ": ".join(part for part in (wanted.verdict, reason) if part)


def verdict_text(verdict: Verdict) -> str:
    """A verdict as it is shown beside an expected one."""
    return f"{verdict.policy}: {verdict.verdict}: {verdict.reason}"


def _actions(trial: Trial, decision: Decision) -> Iterator[Difference]:
    if trial.expect.actions is None:
        return
    planned = {(action.action, action.destination): action for action in decision.actions}
    for wanted in _wanted(trial.expect.actions):
        actual = planned.pop((wanted.action, wanted.destination), None)
        if actual is None:
            yield Difference(wanted.said(), None)
        elif not wanted.fits(actual):
            yield Difference(wanted.said(), action_text(actual, _options(wanted.spec)))
    for left in planned.values():
        yield Difference(None, action_text(left))


def _wanted(actions: Sequence[ActionWanted]) -> Iterator[_Wanted]:
    return (_Wanted(action, destination, spec) for spec in actions for action, destination in spec.destinations())


def action_text(planned: PlannedAction, about: dict[str, Any] | None = None) -> str:
    """A planned action in words, with those of its options that a test is about."""
    options = {key: planned.options.get(key) for key in about or ()}
    text = f"{planned.action} to {planned.destination}{_with(options)} ({', '.join(planned.policies)})"
    return f"{text}: cannot be done: {planned.refused.reason}" if planned.refused else text


def _options(spec: ActionWanted) -> dict[str, Any]:
    return spec.options.model_dump(exclude_unset=True) if spec.options else {}


def _with(options: dict[str, Any]) -> str:
    listed = ", ".join(f"{key} {_shown(value)}" for key, value in options.items())
    return f" with {listed}" if listed else ""


def _shown(value: object) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else f'"{value}"'
