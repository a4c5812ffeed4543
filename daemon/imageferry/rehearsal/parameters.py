"""The shape of a request's parameters: which there are, which must be there, and what type each has.

Actions of a rehearsal cloud describe their parameters as a table of :class:`Wanted`; this checks a body against it.
Rules that need more than one parameter, or the cloud's state, belong to the actions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple


class VendorError(Exception):
    """A request is refused with a vendor code; becomes the error of the answer's envelope."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Shape(NamedTuple):
    """A type of parameter: what people call it, and whether a value has it."""

    title: str
    fits: Callable[[object], bool]


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_filter(value: object) -> bool:
    if not isinstance(value, dict) or value.keys() != {"Name", "Values"}:
        return False
    return isinstance(value["Name"], str) and _is_strings(value["Values"])


STRING: Final = Shape("a string", lambda value: isinstance(value, str))
BOOLEAN: Final = Shape("a boolean", lambda value: isinstance(value, bool))
INTEGER: Final = Shape("an integer", _is_integer)
STRINGS: Final = Shape("a list of strings", _is_strings)
FILTERS: Final = Shape(
    "a list of {Name, Values}", lambda value: isinstance(value, list) and all(_is_filter(each) for each in value)
)


class Wanted(NamedTuple):
    """One parameter of an action."""

    shape: Shape
    required: bool = False


def read_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    :raises VendorError: it is not one.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise VendorError("InvalidRequest", "The request body is not JSON.") from None
    if not isinstance(data, dict):
        raise VendorError("InvalidRequest", "The request body is not a JSON object.")
    return data


def check_shape(params: Mapping[str, Any], wanted: Mapping[str, Wanted]) -> None:
    """Check a request's parameters against an action's table.

    :raises VendorError: one is unknown, missing or of the wrong type.
    """
    for name in params:
        if name not in wanted:
            raise VendorError("UnknownParameter", f"The parameter `{name}` is not recognized.")
    for name, (shape, required) in wanted.items():
        if required and params.get(name) is None:
            raise VendorError("MissingParameter", f"The request is missing a required parameter `{name}`.")
        if params.get(name) is not None and not shape.fits(params[name]):
            raise VendorError("InvalidParameter", f"The parameter `{name}` must be {shape.title}.")
