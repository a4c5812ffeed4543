"""What pydantic refuses, said in plain words: what is wrong, what was expected, a suggestion.

Called by :mod:`imageferry.yamlmap` alone, which knows where things stand. It quotes the wrong value, but never one
that stands under credentials or under a secret's name, nor the user part of a URL.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from itertools import chain
from types import UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

Path: TypeAlias = tuple[str | int, ...]
_Kind: TypeAlias = Any
"""A type or an annotation."""

_LONGEST: Final = 80
_FEW: Final = 10
"""How many keys are named where a mapping is wanted."""
_MAPPING: Final = "a mapping of keys and values"
_FAULT: Final = "fault"
_SECRET: Final = re.compile(r"(?:.*_)?(?:secret|password|passphrase|token|private_key)")
_USER: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)?.*@", re.DOTALL)
"""The user part of a URL, with or without the URL's scheme, up to the last @: a password may hold one."""
_KINDS: Final[Mapping[str, str]] = {
    "string_type": "a text",
    "string_sub_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "none_required": "nothing (null)",
    **dict.fromkeys(("list_type", "tuple_type", "set_type", "frozen_set_type", "iterable_type"), "a list"),
    **dict.fromkeys(
        ("dict_type", "mapping_type", "model_type", "model_attributes_type", "dataclass_type"),
        _MAPPING,
    ),
}
_BOUNDS: Final[Mapping[str, str]] = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "too_short": "at least {min_length} of them",
    "too_long": "at most {max_length} of them",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "a text that matches {pattern}",
}


_OTHER_KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("and", "every", "all_of", "allof"), "all"),
    **dict.fromkeys(("or", "some", "one_of", "oneof", "any_of", "anyof"), "any"),
    **dict.fromkeys(("none", "except", "exclude", "unless"), "not"),
    **dict.fromkeys(("cel", "if", "expression"), "when"),
    **dict.fromkeys(("provider", "vendor"), "cloud"),
    **dict.fromkeys(("label", "labels"), "tags"),
    **dict.fromkeys(("size", "size_gb"), "size_gib"),
    **dict.fromkeys(("architecture", "platform"), "arch"),
    **dict.fromkeys(("age", "newer_than", "max_age"), "created_within"),
    **dict.fromkeys(("gte", "ge", "gt", "at_least"), "min"),
    **dict.fromkeys(("lte", "le", "lt", "at_most"), "max"),
}
"""What others call the same; some are spelt almost like a key that means something else."""


class Wrong(NamedTuple):
    """One complaint before it has a position."""

    loc: Path
    key: bool
    """The key is wrong, not its value."""
    message: str


class _Refused(NamedTuple):
    """One error of pydantic with its path in the file."""

    loc: Path
    error: ErrorDetails

    @property
    def expected(self) -> str | None:
        """What kind of value was wanted, where that is all that is wrong."""
        if self.error["type"] in {"literal_error", "enum"}:
            return _one_of(_choices(self.error))
        return _KINDS.get(self.error["type"])


def fault(message: str, *at: str | int, key: bool = False) -> PydanticCustomError:
    """An error for a validator to raise that points at something inside the validated value (or at its key)."""
    return PydanticCustomError(_FAULT, "{message}", {"message": message, "at": at, "key": key})


def suggestion(wrong: object, known: Iterable[str]) -> str:
    """``; did you mean "x"?`` for the nearest known word, or nothing."""
    words = list(known)
    near = get_close_matches(str(wrong), words, n=1, cutoff=0.6) if len(str(wrong)) <= _LONGEST else []
    near = near or [word for word in words if word.casefold() == str(wrong).casefold()]
    return f'; did you mean "{near[0]}"?' if near else ""


def shown(value: object) -> str:
    """A value as complaints quote it: short, on one line, without the user part of a URL."""
    if value is None:
        return "empty"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, str):
        text = _USER.sub(r"\1***@", value) if ":" in value.partition("@")[0] else value
        return json.dumps(text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…", ensure_ascii=False)
    return json.dumps(value) if isinstance(value, bool | int | float) else "a list"


def is_secret(loc: Path) -> bool:
    """Whether what stands there must not be quoted."""
    return "credentials" in loc or bool(loc and _SECRET.fullmatch(str(loc[-1])))


def dotted(loc: Path) -> str:
    """A path for people: ``accounts.prod.regions[1]``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def kinds_of(annotation: _Kind) -> list[_Kind]:
    """The kinds of value that an annotation allows: unions, aliases and Annotated taken apart."""
    if alias := getattr(annotation, "__value__", None):  # a named alias: typing has its class from 3.12 on
        return kinds_of(alias)
    origin: _Kind = get_origin(annotation)
    if origin is Annotated:
        return kinds_of(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return list(chain.from_iterable(map(kinds_of, get_args(annotation))))
    return [annotation]


def lead(loc: Path) -> str:
    """What a message about a path begins with: the path, where there is one."""
    return f"{dotted(loc)}: " if loc else ""


def models_at(model: type[BaseModel], loc: Sequence[str | int]) -> list[type[BaseModel]]:
    """The models that may describe what stands at a path (pydantic's, with its union tags)."""
    return list(_models_at(model, tuple(0 if isinstance(part, int) else part for part in loc)))


@lru_cache(maxsize=1024)
def _models_at(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[type[BaseModel], ...]:
    """The same, remembered: a wrong file may have thousands of wrong keys in one place, or in one list."""
    kinds = [*kinds_of(model)]
    for part in loc:
        inner = list(chain.from_iterable(_inside(kind, part) for kind in kinds))
        kinds = inner or [kind for kind in kinds if _tagged(kind, part)] or kinds
    return tuple(kind for kind in kinds if _is_model(kind))


def secrets_of(models: Iterable[type[BaseModel]]) -> set[str]:
    """The keys of models whose values are secrets; each may come from a ``*_file`` sibling."""
    fields = chain.from_iterable(model.model_fields.items() for model in models)
    return {field.alias or name for name, field in fields if SecretStr in kinds_of(field.annotation)}


def keys_of(models: Sequence[type[BaseModel]]) -> list[str]:
    """The keys that models know, in their order, a secret's with its ``*_file`` sibling; excluded ones are none."""
    fields = chain.from_iterable(model.model_fields.items() for model in models)
    names = dict.fromkeys(field.alias or name for name, field in fields if not field.exclude)
    secrets = secrets_of(models)
    return list(chain.from_iterable((name, f"{name}_file") if name in secrets else (name,) for name in names))


def reworded(
    error: ValidationError, model: type[BaseModel], path_of: Callable[[Sequence[str | int]], Path]
) -> Iterator[Wrong]:
    """Every error in plain words; what several members of a union say of one value becomes one complaint."""
    groups: dict[Path, list[_Refused]] = {}
    for details in error.errors(include_url=False):
        at = _path(details, path_of)
        groups.setdefault(at, []).append(_Refused(at, details))
    outer = {loc[:length] for loc in groups for length in range(len(loc))}
    for loc, refused in groups.items():
        kinds = [one for one in refused if one.expected]
        if kinds and loc not in outer:
            yield _wrong_kind(loc, kinds, model)
        yield from (_other(one, model) for one in refused if not one.expected)


def _path(details: ErrorDetails, path_of: Callable[[Sequence[str | int]], Path]) -> Path:
    """Where the error is in the file; a missing key is not there, but is named."""
    loc = details["loc"]
    return (*path_of(loc[:-1]), loc[-1]) if details["type"] == "missing" else path_of(loc)


def _wrong_kind(loc: Path, refused: Sequence[_Refused], model: type[BaseModel]) -> Wrong:
    value = refused[0].error["input"]
    expected = " or ".join(dict.fromkeys(one.expected or "" for one in refused))
    if {one.expected for one in refused} == {_MAPPING}:
        keys = keys_of(models_at(model, refused[0].error["loc"]))
        expected += f": {', '.join(keys)}" if 0 < len(keys) <= _FEW else ""
    is_key = refused[0].error["loc"][-1:] == ("[key]",)
    near = _itemised(value, refused) if isinstance(value, Mapping | list) else _nearest(value, refused)
    return Wrong(loc, is_key, f"{_state(loc, value)}; expected {expected}{'' if _hides(loc, near) else near}")


def _hides(loc: Path, near: str) -> bool:
    """Whether a suggestion would repeat a secret."""
    return is_secret(loc) and ("in quotes" in near or "[" in near)


def _itemised(value: object, refused: Sequence[_Refused]) -> str:
    """How the mapping becomes an item of the list that was wanted."""
    wants_list = {"list_type", "tuple_type"} & {one.error["type"] for one in refused}
    return '; begin each item with "- "' if wants_list and isinstance(value, Mapping) else ""


def _nearest(value: object, refused: Sequence[_Refused]) -> str:
    kinds = {one.error["type"] for one in refused}
    words = chain.from_iterable(_choices(one.error) for one in refused)
    if near := suggestion(value, words):
        return near
    if {"list_type", "tuple_type"} & kinds and isinstance(value, str):
        return f"; write [{shown(value)}]"
    if "string_type" in kinds and isinstance(value, bool | int | float):
        return f'; write it in quotes: "{json.dumps(value)}"'
    return ""


def _other(refused: _Refused, model: type[BaseModel]) -> Wrong:
    kind = refused.error["type"]
    if kind == "missing":
        return _missing(refused.loc, models_at(model, refused.error["loc"][:-1]))
    if kind == "extra_forbidden":
        return _unknown(refused, model)
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        return _untold(refused, model)
    if kind == _FAULT:
        return _fault(refused)
    is_key = refused.error["loc"][-1:] == ("[key]",)
    return Wrong(refused.loc, is_key, _refusal(refused))


def _missing(loc: Path, models: Sequence[type[BaseModel]]) -> Wrong:
    key = str(loc[-1])
    sibling = f', or "{key}_file"' if key in secrets_of(models) else ""
    words = _words(models, key)
    expected = f"expected it here{sibling}{': ' if words else ''}{_one_of(words) if words else ''}"
    return Wrong(loc, key=True, message=f'{lead(loc[:-1])}the key "{key}" is missing; {expected}')


def _unknown(refused: _Refused, model: type[BaseModel]) -> Wrong:
    models = models_at(model, refused.error["loc"][:-1])
    known = keys_of(models)
    name = refused.loc[-1]
    if name in known:  # it is a key of other members of the union
        said = f'the key "{name}" is read with {_told_by(models, str(name))} only; expected that, or the key left out'
        return Wrong(refused.loc, key=True, message=f"{lead(refused.loc[:-1])}{said}")
    expected = f"; expected {_one_of(known)}" if known else ""
    meant = _elsewhere(refused, model) or _meant(str(name), known)
    message = f'{lead(refused.loc[:-1])}unknown key "{name}"{expected}{meant}'
    return Wrong(refused.loc, key=True, message=message)


def _meant(name: str, known: Sequence[str]) -> str:
    """What an unknown key was meant to be: the same under another name, or what is spelt almost so."""
    other = _OTHER_KEYS.get(name.casefold())
    return f'; did you mean "{other}"?' if other in known else suggestion(name, known)


def _elsewhere(refused: _Refused, model: type[BaseModel]) -> str:
    """Where a key that is right one level higher or lower belongs: the indentation is wrong, not the word."""
    name, parts, inner = str(refused.loc[-1]), refused.loc[:-1], refused.error["loc"][:-1]
    above = [part for length, part in enumerate(parts) if name in keys_of(models_at(model, parts[:length]))]
    if above and isinstance(above[-1], str):
        return f'; it belongs beside "{above[-1]}"; look at the indentation'
    below = [key for key in keys_of(models_at(model, inner)) if name in keys_of(models_at(model, (*inner, key)))]
    return f'; it belongs under "{below[0]}"; look at the indentation' if len(below) == 1 else ""


def _told_by(models: Iterable[type[BaseModel]], key: str) -> str:
    """How the members of a union that have a key are written: ``"source: file"``."""
    owners = (model for model in models if key in keys_of([model]))
    tags = ((name, field) for owner in owners for name, field in owner.model_fields.items())
    words = ((name, get_args(kind)) for name, field in tags for kind in kinds_of(field.annotation) if _is_literal(kind))
    return " or ".join(f'"{name}: {choices[0]}"' for name, choices in words if len(choices) == 1) or "another kind"


def _untold(refused: _Refused, model: type[BaseModel]) -> Wrong:
    """A union whose member is named by a key that is missing or wrong."""
    context = refused.error.get("ctx", {})
    key = str(context.get("discriminator", "")).strip("'")
    loc = (*refused.loc, key)
    if refused.error["type"] == "union_tag_not_found":
        return _missing(loc, models_at(model, refused.error["loc"]))
    words = _quoted(str(context.get("expected_tags", "")))
    value = refused.error["input"].get(key)
    return Wrong(loc, key=False, message=f"{_state(loc, value)}; expected {_one_of(words)}{suggestion(value, words)}")


def _fault(refused: _Refused) -> Wrong:
    context = refused.error.get("ctx", {})
    loc = (*refused.loc, *context["at"])
    is_key = context["key"] or refused.error["loc"][-1:] == ("[key]",)
    return Wrong(loc, is_key, f"{lead(loc)}{context['message']}")


def _refusal(refused: _Refused) -> str:
    """What a bound or a validator of a model said."""
    error, loc = refused.error, refused.loc
    context = error.get("ctx", {})
    if bound := _BOUNDS.get(error["type"]):
        expected = "something in it" if context.get("min_length") == 1 else bound.format(**context)
        return f"{_state(loc, error['input'])}; expected {expected}"
    said = str(context.get("error") or error["msg"]).removeprefix("Value error, ")
    value = error["input"]
    if is_secret(loc):
        return f"{lead(loc)}{said.replace(str(value), '***') if isinstance(value, str) and value else said}"
    quoted = shown(value)
    if isinstance(value, str):  # the model quotes it as it came; in a complaint it is short and on one line
        said = said.replace(f'"{value}"', quoted)
    plain = isinstance(value, Mapping | list | BaseModel) or quoted in said
    return f"{lead(loc)}{said}" if plain else f"{lead(loc)}{quoted}: {said}"


def _state(loc: Path, value: object) -> str:
    """What is wrong with a value: what it is, or that it is not right where nobody must see it."""
    name = dotted(loc) or "the file"
    if value in ("", [], {}, None):
        return f"{name} is empty"
    if is_secret(loc) or not (loc or isinstance(value, Mapping | list)):
        return f"{name} is not right"
    return f"{name} is {shown(value)}"


def _one_of(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"one of {', '.join(words)}"


def _choices(error: ErrorDetails) -> list[str]:
    return _quoted(str(error.get("ctx", {}).get("expected", "")))


def _quoted(text: str) -> list[str]:
    return re.findall(r"'([^']*)'", text)


def _is_model(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _inside(kind: _Kind, part: str | int) -> list[_Kind]:
    """The kinds of what stands under a key of a model or mapping, or at an index of a list."""
    if _is_model(kind):
        fields = kind.model_fields.items()
        return list(
            chain.from_iterable(kinds_of(field.annotation) for name, field in fields if part in {name, field.alias})
        )
    arguments = [argument for argument in get_args(kind) if argument is not Ellipsis]
    wanted = 1 if isinstance(part, int) else 2
    return kinds_of(arguments[-1]) if not _is_literal(kind) and len(arguments) == wanted else []


def _tagged(kind: _Kind, part: str | int) -> bool:
    """Whether a model is the member of a union that a tag names."""
    if not _is_model(kind):
        return False
    return any(part in get_args(inner) for field in kind.model_fields.values() for inner in kinds_of(field.annotation))


def _words(models: Iterable[type[BaseModel]], key: str) -> list[str]:
    """The words that a key of these models may have, where they are a closed set."""
    fields = (model.model_fields[key] for model in models if key in model.model_fields)
    kinds = chain.from_iterable(kinds_of(field.annotation) for field in fields)
    words = chain.from_iterable(get_args(kind) for kind in kinds if _is_literal(kind))
    return list(dict.fromkeys(map(str, words)))


def _is_literal(kind: _Kind) -> bool:
    origin: _Kind = get_origin(kind)
    return origin is Literal
