"""Reads expressions: checks them when policies are loaded, and makes the matchers that ask them.

``policies`` hands one reader to everything that compiles a set. What an expression says of an image follows the
three-valued logic of all matchers: a fact that is not known makes it unknown unless the rest settles it, and so does
an evaluation that fails or takes too many steps. Nothing here decides what an unknown verdict means.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

from imageferry.core.image import Image
from imageferry.core.match import Matcher, Outcome, Slip
from imageferry.expressions.facts import FACTS, known, told
from imageferry.expressions.slips import of_library, of_literal, of_text, of_type, plain_reason
from imageferry.expressions.text import Text

MISSING: Final = 'expressions need the extra "cel"; expected it to be installed: pip install "imageferry[cel]"'
"""What is said where the library is not installed."""

_ABSENT_FACT: Final = 'No value with name "'
_LONGEST: Final = 80

_Library: TypeAlias = Any
"""``cel_expr_python.cel``, which has no types."""
_Program: TypeAlias = Any
"""A compiled expression of the library."""
_Bound: TypeAlias = Any
"""The facts of one image as the library holds them."""


class Expressions:
    """A reader of expressions, for one set of policies."""

    def __init__(self) -> None:
        self._cel: _Library = None
        self._env: Any = None
        self._read: dict[str, Matcher | tuple[Slip, ...]] = {}
        self._bound: tuple[Image, int, _Bound] | None = None

    def __call__(self, text: str) -> Matcher | tuple[Slip, ...]:
        """The matcher of an expression, or everything that is wrong with it; remembered, as both are wanted twice."""
        if text not in self._read:
            self._read[text] = self._matcher(text) if self._opened() else (Slip(1, 1, MISSING),)
        return self._read[text]

    def _opened(self) -> bool:
        """Whether the library is there; it is loaded with the first expression."""
        if self._env is None:
            try:
                from cel_expr_python import cel  # noqa: PLC0415 - it comes with an extra
            except ImportError:
                return False
            self._cel = cel
            self._env = cel.NewEnv(variables={name: _type(cel, fact.kind) for name, fact in FACTS.items()})
        return True

    def _matcher(self, written: str) -> Matcher | tuple[Slip, ...]:
        text = Text(written)
        found = set(of_text(text))
        try:
            program = self._env.compile(written)
        except RuntimeError as error:
            return tuple(sorted({*found, *of_library(str(error), text)}))
        if program.return_type() != self._cel.Type.BOOL and not found:
            found.add(of_type(program.return_type().name()))
        found.update(self._literals(text))
        return tuple(sorted(found)) or self._asking(program, text)

    def _literals(self, text: Text) -> Iterator[Slip]:
        """Literals with which no evaluation could ever end well."""
        for name, (start, literal) in text.literal_calls():
            call = f"''.matches({literal})" if name == "matches" else f"{name}({literal})"
            value = self._env.compile(call).eval(data={})
            if value.type() == self._cel.Type.ERROR:
                reason = plain_reason(str(value.value())).removeprefix("invalid regular expression: ")
                yield Slip(*text.place(start), of_literal(name, literal, reason))

    def _asking(self, program: _Program, text: Text) -> Matcher:
        shown = " ".join(text.text.split())
        shown = shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"
        holds = Outcome("match", f'when "{shown}" is true')
        facts = tuple(name for name in text.facts() if name in FACTS)
        error = self._cel.Type.ERROR

        def ask(image: Image, now: int) -> Outcome:
            try:
                value = program.eval(self._facts(image, now))
            except (RuntimeError, OverflowError, MemoryError) as failed:  # the budget, or a fact beyond all bounds
                return Outcome("unknown", f'when "{shown}" could not be decided: {plain_reason(str(failed))}')
            if value.type() == error:
                return Outcome("unknown", _undecided(shown, str(value.value())))
            if value.value():
                return holds
            because = ", ".join(filter(None, (told(name, image, now) for name in facts)))
            return Outcome("no_match", f'when "{shown}" is false{": " if because else ""}{because}')

        return ask

    def _facts(self, image: Image, now: int) -> _Bound:
        """The image's facts for the library; the same for every expression that is asked about this image."""
        if self._bound is None or self._bound[0] is not image or self._bound[1] != now:
            self._bound = (image, now, self._env.Activation(known(image, now)))
        return self._bound[2]


def _undecided(shown: str, said: str) -> str:
    """Why the library has no answer: a fact that is not known, else its own words."""
    if _ABSENT_FACT in said:
        name = said.partition(_ABSENT_FACT)[2].partition('"')[0]
        if name in FACTS:
            return FACTS[name].unknown
    return f'when "{shown}" could not be decided: {plain_reason(said)}'


def _type(cel: _Library, kind: str) -> Any:  # noqa: ANN401 - a type of the library
    if kind.startswith("map"):
        return cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
    return getattr(cel.Type, kind.upper())
