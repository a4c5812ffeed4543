"""Reads any other JSON as an event: a source's ``mapping`` has one JMESPath expression for each field.

Settings validate with :class:`MappingSpec`, the codec asks :class:`Mapper` for what is neither a CloudEvent of ours nor
a record of a cloud. It judges no name and no place: what an expression yields is the codec's to check.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Final, NamedTuple

import jmespath
from jmespath.exceptions import IncompleteExpressionError, JMESPathError, LexerError, ParseError
from jmespath.functions import Functions
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from imageferry.core.image import CLOUD_NAMES
from imageferry.sources.facts import FACT_NAMES
from imageferry.wording import fault, shown, suggestion

_FUNCTIONS: Final[Mapping[str, Any]] = Functions.FUNCTION_TABLE


def _expression(text: str) -> str:
    """Any JMESPath expression that can be evaluated at all; function names are checked here, not at the first event."""
    try:
        tree = jmespath.compile(text).parsed
    except ParseError as error:
        raise ValueError(
            f"{shown(text)} is not a JMESPath expression: {_problem(error)} at character {error.lex_position + 1};"
            ' expected one such as "detail.imageId"'
        ) from None
    except (JMESPathError, RecursionError):
        raise ValueError(f'{shown(text)} is not a JMESPath expression; expected one such as "detail.imageId"') from None
    for call in _calls(tree):
        _check_call(text, call)
    return text


def _problem(error: ParseError) -> str:
    if isinstance(error, IncompleteExpressionError):
        return "it ends too soon"
    if isinstance(error, LexerError):
        return "a quote is opened and never closed" if "UNCLOSED" in error.token_type else "there is no such sign"
    return f"{shown(error.token_value)} cannot stand there"


def _calls(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every function call of a parsed expression."""
    if node["type"] == "function_expression":
        yield node
    for child in node["children"]:
        if isinstance(child, Mapping):
            yield from _calls(child)


def _check_call(text: str, call: Mapping[str, Any]) -> None:
    name, given = call["value"], len(call["children"])
    known = _FUNCTIONS.get(name)
    if known is None:
        near = suggestion(name, _FUNCTIONS)
        raise ValueError(
            f"{shown(text)} calls the function {name}, which JMESPath does not have; expected another{near}"
        )
    wanted = len(known["signature"])
    variadic = bool(wanted) and bool(known["signature"][-1].get("variadic"))
    if given < wanted or (given > wanted and not variadic):
        least = "at least " if variadic else ""
        raise ValueError(f"{shown(text)} gives {name}() {given} arguments; expected {least}{wanted}")


def _cloud(text: str) -> str:
    """The likeliest mistake of all: a cloud's name without the quotes that make it a word of its own."""
    tree = jmespath.compile(text).parsed
    if tree["type"] == "field" and tree["value"] in CLOUD_NAMES:
        raise ValueError(f"{shown(text)} looks for a key of that name; expected the word in quotes; write \"'{text}'\"")
    if tree["type"] == "literal" and tree["value"] not in CLOUD_NAMES:
        near = suggestion(tree["value"], CLOUD_NAMES)
        raise ValueError(f"{shown(text)} is no cloud; expected one of {', '.join(CLOUD_NAMES)}{near}")
    return text


def _facts(image: dict[str, str]) -> dict[str, str]:
    for name in image:
        if name not in FACT_NAMES:
            near = get_close_matches(name, FACT_NAMES, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else ""
            raise fault(f'unknown fact "{name}"; expected one of {", ".join(FACT_NAMES)}{hint}', name, key=True)
    return image


Expression = Annotated[str, Field(min_length=1), AfterValidator(_expression)]
"""The text of a JMESPath expression that compiles."""


class MappingSpec(BaseModel):
    """Where the fields of an event stand in any other JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cloud: Annotated[Expression, AfterValidator(_cloud)] = Field(
        description="JMESPath of the cloud's name in any other JSON; a fixed word stands in quotes: `\"'tencent'\"`"
    )
    region: Expression = Field(description="JMESPath of the region's id")
    image_id: Expression = Field(description="JMESPath of the image's id")
    account: Expression | None = Field(default=None, description="JMESPath of the account's name or id")
    id: Expression | None = Field(
        default=None, description="JMESPath of what the event is known by; without it, the content as a whole"
    )
    image: Annotated[dict[str, Expression], AfterValidator(_facts)] = Field(
        default={}, description="fact: JMESPath of it; only `imageferry plan` believes them"
    )


class Mapped(NamedTuple):
    """What a mapping finds, in the form of our own data."""

    data: Mapping[str, Any]
    """``cloud``, ``region`` and ``image_id``, ``account`` where there is one, and ``image`` with the facts."""
    event_id: str | None
    """None where the mapping has none, or none that is there."""


class Mapper:
    """A mapping, compiled."""

    def __init__(self, spec: MappingSpec) -> None:
        fields = {name: getattr(spec, name) for name in ("cloud", "region", "image_id", "account", "id")}
        self._fields = {name: _Compiled(name, text) for name, text in fields.items() if text is not None}
        self._facts = {name: _Compiled(f"image.{name}", text) for name, text in spec.image.items()}

    def read(self, value: Mapping[str, Any]) -> Mapped:
        """The event in an object.

        :raises ValueError: a field yields nothing, or nothing that can be one; with the field and its expression.
        """
        found = {name: compiled.text(value) for name, compiled in self._fields.items()}
        for name in ("cloud", "region", "image_id"):
            if found[name] is None:
                raise ValueError(f"{self._fields[name]} yields nothing")
        event_id = found.pop("id", None)
        facts = {name: compiled.fact(value) for name, compiled in self._facts.items()}
        return Mapped({**found, "image": facts}, event_id)


def mappers(spec: MappingSpec | None) -> tuple[Mapper, ...]:
    """The mapper of a source that has a mapping, as the codec takes it."""
    return () if spec is None else (Mapper(spec),)


class _Compiled:
    """One expression; its text is what reasons quote."""

    def __init__(self, field: str, text: str) -> None:
        self._said = f"mapping.{field} {json.dumps(text, ensure_ascii=False)}"
        self._search = jmespath.compile(text).search

    def __str__(self) -> str:
        return self._said

    def value(self, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON is what it is
        """What it yields, None for nothing.

        :raises ValueError: it cannot be applied to these values.
        """
        try:
            return self._search(data)
        except Exception as error:
            # What a function cannot take comes as a TypeError or an OverflowError too: a stranger's values must stop
            # no partition.
            first, *_ = str(error).splitlines() or [type(error).__name__]
            raise ValueError(f"{self._said} cannot be applied: {first}") from error

    def fact(self, data: Mapping[str, Any]) -> Any:  # noqa: ANN401 - the same
        """What it yields; None, not known, where it cannot be applied: a wrong fact must not hide an image."""
        try:
            return self.value(data)
        except ValueError:
            return None

    def text(self, data: Mapping[str, Any]) -> str | None:
        """The same as text; a whole number is one too, as ids often are."""
        value = self.value(data)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self._said} yields {_written(value)}; text was expected")
        return value or None


def _written(value: Any) -> str:  # noqa: ANN401 - JSON
    """The beginning of a value, for a reason."""
    try:
        return json.dumps(value, ensure_ascii=False)[:60]
    except RecursionError:
        return "something nested too deeply"
