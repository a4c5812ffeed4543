"""The keys under an account's credentials that name a role, per cloud in the vendor's own words, and what they become.

Called by ``credentials`` alone, and by the table of settings. It asks no cloud whether the role exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from imageferry.clouds.facts import FACTS
from imageferry.core.account import Role
from imageferry.core.facts import CloudFacts, RoleFacts
from imageferry.core.units import Duration, duration_text
from imageferry.wording import fault

EXTERNAL_ID: Final = "external_id"
SESSION_NAME: Final = "session_name"
DURATION: Final = "duration"
SESSION: Final = "imageferry"
"""The session's name where none is set."""

Made: TypeAlias = Any
"""An annotation made from a cloud's facts at import; no checker can know it."""


def role_fields(facts: CloudFacts) -> dict[str, Made]:
    """The keys of a role, and those of other clouds' roles, which say what this cloud has instead."""
    role = facts.role
    fields: dict[str, Made] = {role.word: (_text(role.pattern, _no_role(facts)) | None, _may_be(role.meaning))}
    if role.owner:
        fields[role.owner] = (_beside(role, Annotated[str, Field(min_length=1)]), _may_be(role.owner_meaning))
    if role.external_id:
        kind = _text(role.external_id, f"this is not an external id that {facts.title} takes")
        fields[EXTERNAL_ID] = (_beside(role, kind), _may_be("what the role's trust asks for"))
    if role.session_name:
        kind = _text(role.session_name, f"this is not a session's name that {facts.title} takes")
        fields[SESSION_NAME] = (_beside(role, kind), _may_be("how the audit trail calls us"))
    length: Made = Annotated[Duration, AfterValidator(_length(facts))]
    fields[DURATION] = (_beside(role, length), _may_be("how long the role's keys are to hold"))
    return {**fields, **{word: stray(text) for word, text in _strange(facts) if word not in fields}}


def role_checks(facts: CloudFacts) -> dict[str, Made]:
    """What must hold between the keys of a role."""
    role = facts.role
    if not role.owner:
        return {}

    def check(self: Any) -> Any:  # noqa: ANN401 - a model that is made at import
        if getattr(self, role.word) is not None and getattr(self, role.owner) is None:
            expected = f'expected "{role.owner}" beside it: {role.owner_meaning.replace("`", "")}'
            raise fault(f'the key "{role.owner}" is missing; {expected}', role.word, key=True)
        return self

    return {"owner_is_named": model_validator(mode="after")(check)}


def role_of(given: Mapping[str, Any], facts: CloudFacts) -> Role | None:
    """The role that a validated mapping names."""
    words = facts.role
    if given.get(words.word) is None:
        return None
    return Role(
        name=given[words.word],
        owner=given.get(words.owner) or "",
        external_id=given.get(EXTERNAL_ID) or "",
        session_name=given.get(SESSION_NAME) or SESSION,
        duration=given.get(DURATION) or words.usual,
    )


class RoleKey(NamedTuple):
    """A key of the settings, for the table of them."""

    key: str
    default: str
    meaning: str


def role_keys() -> Iterator[RoleKey]:
    """Every key of a role at any cloud."""
    for name, facts in FACTS.items():
        yield RoleKey(facts.role.word, "", f"{name}: {facts.role.meaning}")
        if facts.role.owner:
            yield RoleKey(facts.role.owner, "", f"{name}: {facts.role.owner_meaning}")
    yield RoleKey(EXTERNAL_ID, "", f"{_those(lambda role: bool(role.external_id))}: what the role's trust asks for")
    named = _those(lambda role: bool(role.session_name))
    yield RoleKey(
        SESSION_NAME, f"`{SESSION}`", f"{named}: how the vendor's audit trail calls the one who took the role"
    )
    lengths = "; ".join(f"{name}: {_bounds(facts.role)}, else {_usual(facts.role)}" for name, facts in FACTS.items())
    yield RoleKey(DURATION, "", f"how long the role's keys are to hold; {lengths}")


def stray(text: str) -> Made:
    """A key that is none here, as a field: it is always refused, with this text."""

    def refuse(_: object) -> object:
        raise fault(text, key=True)

    return (Annotated[Any, BeforeValidator(refuse)], Field(default=None, exclude=True))


def _strange(facts: CloudFacts) -> Iterator[tuple[str, str]]:
    """The words of other clouds' roles, with what is told about them."""
    role = facts.role
    own = f'"{role.word}" and "{role.owner}"' if role.owner else f'"{role.word}"'
    yield "role", f'the key "role" is not known; expected {own}; did you mean "{role.word}"?'
    for word in {each.role.word: None for each in FACTS.values()}:
        whose = " and ".join(each.title for each in FACTS.values() if each.role.word == word)
        yield word, f'"{word}" is a word of {whose}; expected {own} for a role at {facts.title}'
    for word in {each.role.owner for each in FACTS.values()} - {""}:
        yield word, f"{facts.title}'s roles name their account themselves; expected {own} alone; remove it"
    yield EXTERNAL_ID, f"{facts.title}'s roles have no external id; expected {own} without it; remove it"
    yield SESSION_NAME, f"{facts.title}'s roles have no session's name; expected {own} without it; remove it"


def _may_be(meaning: str) -> Made:
    return Field(default=None, description=meaning)


def _no_role(facts: CloudFacts) -> str:
    return f'this is not a role at {facts.title}; expected one such as "{facts.role.example}"'


def _text(pattern: str, reason: str) -> Made:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError(reason)
        return value

    return Annotated[str, AfterValidator(check)]


def _length(facts: CloudFacts) -> Callable[[float], float]:
    def check(seconds: float) -> float:
        if not facts.role.shortest <= seconds <= facts.role.longest:
            raise ValueError(f"{facts.title} does not give out keys for that long; expected {_bounds(facts.role)}")
        return seconds

    return check


def _beside(role: RoleFacts, kind: Made) -> Made:
    """A key that means nothing without the role's own."""

    def check(value: object, info: ValidationInfo) -> object:
        if info.data.get(role.word, ...) is None:
            raise fault(
                f'the key "{info.field_name}" is read with "{role.word}" only; expected that beside it', key=True
            )
        return value

    return Annotated[kind | None, BeforeValidator(check)]


def _those(has: Callable[[RoleFacts], bool]) -> str:
    return ", ".join(name for name, facts in FACTS.items() if has(facts.role))


def _bounds(role: RoleFacts) -> str:
    return f"{duration_text(role.shortest)} to {duration_text(role.longest)}"


def _usual(role: RoleFacts) -> str:
    return duration_text(role.usual)
