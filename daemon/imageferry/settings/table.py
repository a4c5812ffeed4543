"""The table of settings for the docs, made from the models, so that it cannot disagree with them.

Called when the docs are generated, and by the test that they are fresh.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple, get_args

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from imageferry.clouds.facts import FACTS
from imageferry.core.facts import CloudFacts, KindLimit
from imageferry.core.units import duration_text, parse_duration, rate_text
from imageferry.publishers.specs import Spec as PublisherSpec
from imageferry.settings.accounts import AccountShape
from imageferry.settings.blueprint import Blueprint
from imageferry.settings.credentials import FileCredentials, keys_of_static
from imageferry.settings.roles import role_keys
from imageferry.sources.specs import Spec as SourceSpec
from imageferry.wording import kinds_of


class _Row(NamedTuple):
    key: str
    default: str
    meaning: str


_CREDENTIALS: Final = (
    _Row("accounts.<name>.cloud", "", f"one of {', '.join(f'`{name}`' for name in FACTS)}"),
    _Row(
        "accounts.<name>.credentials.source",
        "`chain`",
        "`chain` (the vendor's own order), `env`, `file`, `instance`, `oidc` or `static`",
    ),
)


def settings_table() -> str:
    """Markdown: every key with its default and meaning, then what each cloud makes of the defaults."""
    rows = [row for row in _rows(Blueprint, "") if not row.key.startswith("accounts")]
    rows[-2:-2] = [*_CREDENTIALS, *_words(), *_rows(FileCredentials, "accounts.<name>.credentials.", leave={"source"})]
    rows[-2:-2] = [*_rows(AccountShape, "accounts.<name>.", leave={"cloud", "credentials"}), *_switches()]
    rows += [*_members(SourceSpec, "sources"), *_members(PublisherSpec, "publishers")]
    lines = [f"| `{row.key}` | {row.default} | {row.meaning} |" for row in rows]
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *lines, "", *_clouds(), ""])


def _rows(model: type[BaseModel], prefix: str, leave: frozenset[str] | set[str] = frozenset()) -> Iterator[_Row]:
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        if name in leave:
            continue
        models = [kind for kind in kinds_of(field.annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if len(models) == 1:
            yield from _rows(models[0], f"{key}.")
        else:
            yield _Row(key, _default(field), field.description or "")


def _words() -> Iterator[_Row]:
    for name, facts in FACTS.items():
        for word in keys_of_static(facts):
            may = "" if word in facts.credential_words else "; may be left out"
            yield _Row(
                f"accounts.<name>.credentials.{word}", "", f"{name}, with `source: static`{may}; or `{word}_file`"
            )
        if meaning := facts.notes.get("projects"):
            yield _Row("accounts.<name>.credentials.projects", "", f"{name}: {meaning}")
    for key, default, meaning in role_keys():
        yield _Row(f"accounts.<name>.credentials.{key}", default, meaning)


def _switches() -> Iterator[_Row]:
    for name, facts in FACTS.items():
        for key, switch in facts.switches.items():
            words = " or ".join(f"`{word}`" for word in switch.words)
            yield _Row(f"accounts.<name>.{key}", f"`{switch.words[0]}`", f"{name}: {words}; {switch.meaning}")


def _members(union: object, section: str) -> Iterator[_Row]:
    """The keys of every kind of source or publisher."""
    for member in get_args(get_args(union)[0]):
        kind = member.model_fields["type"].default
        yield _Row(f"{section}[].type", "", f"`{kind}`: {(member.__doc__ or '').splitlines()[0]}")
        yield from _rows(member, f"{section}[{kind}].", leave={"type"})


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is PydanticUndefined or value is None or value == []:
        return "required" if field.is_required() else ""
    if isinstance(value, float) and any(getattr(item, "func", None) is parse_duration for item in field.metadata):
        return f"`{duration_text(value)}`"
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


def _limit(limit: KindLimit) -> str:
    running = "learned" if limit.running is None else f"{limit.running} per {limit.scope}"
    return f"{rate_text(limit.rate)}; running: {running}"


_BY_CLOUD: Final[Mapping[str, Callable[[CloudFacts], str]]] = {
    "`endpoint`": lambda facts: f"`{facts.endpoint}`",
    "`identity_endpoint`": lambda facts: f"`{facts.identity_endpoint}`",
    "`storage_endpoint`": lambda facts: f"`{facts.storage_endpoint}`",
    "`limits.export`": lambda facts: _limit(facts.limits["export"]),
    "`limits.copy`": lambda facts: _limit(facts.limits["copy"]),
    "`limits.read`": lambda facts: rate_text(facts.limits["read"].rate),
}


def _clouds() -> Iterator[str]:
    yield f"| default of | {' | '.join(FACTS)} |"
    yield "|---|" + "---|" * len(FACTS)
    for title, show in _BY_CLOUD.items():
        yield f"| {title} | {' | '.join(show(facts) for facts in FACTS.values())} |"
