"""Parameters in a query as JD Cloud writes them: ``ids.1=a&ids.2=b``, ``filters.1.values.1=c``; and their types.

The gateway reads queries with it, the reading operations take their types from here. It knows no operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote_plus

from imageferry.rehearsal.jdcloud_calls import INVALID, Call
from imageferry.rehearsal.parameters import Shape, VendorError

DEEPEST: Final = 4
"""Words of a name, as in ``filters.1.values.1``."""
OPERATORS: Final = ("eq", "lt", "le", "gt", "ge", "ne", "in", "like")


def _is_number(value: object) -> bool:
    return isinstance(value, str) and value.isdecimal() and value.isascii() and len(value) < 10  # noqa: PLR2004 - fits


def _is_filter(value: object) -> bool:
    if not isinstance(value, dict) or not {"name", "values"} <= value.keys() <= {"name", "operator", "values"}:
        return False
    values = value["values"]
    texts = isinstance(values, list) and all(isinstance(each, str) for each in values)
    return texts and isinstance(value["name"], str) and value.get("operator", "eq") in OPERATORS


NUMBER: Final = Shape("a whole number", _is_number)
FLAG: Final = Shape("true or false", lambda value: isinstance(value, str) and value.lower() in ("true", "false"))
FILTERS: Final = Shape(
    "a list of {name, operator, values}", lambda value: isinstance(value, list) and all(_is_filter(v) for v in value)
)


def read_query(query: str) -> dict[str, Any]:
    """The parameters of a query; every value is a string, names with numbers become lists.

    :raises VendorError: a name comes twice, is cut in too many words, or its numbers do not count from 1.
    """
    tree: dict[str, Any] = {}
    for item in query.split("&"):
        if item:
            name, _, value = item.partition("=")
            _plant(tree, unquote_plus(name), unquote_plus(value))
    return {name: _grown(name, branch) for name, branch in tree.items()}


def page_of(call: Call, usual: int, lowest: int, highest: int) -> slice:
    """The page that a call asks for.

    :raises VendorError: there are no such pages.
    """
    number, size = int(call.text("pageNumber") or 1), int(call.text("pageSize") or usual)
    if not lowest <= size <= highest:
        raise VendorError("OUT_OF_RANGE", "PageSize out of range")
    if number < 1:
        raise VendorError("OUT_OF_RANGE", "PageNumber out of range")
    return slice((number - 1) * size, number * size)


def _plant(tree: dict[str, Any], name: str, value: str) -> None:
    *words, last = name.split(".")
    if len(words) >= DEEPEST:
        raise VendorError(INVALID, f"Invalid parameter '{name}'")
    for word in words:
        tree = tree.setdefault(word, {})
        if not isinstance(tree, dict):
            raise VendorError(INVALID, f"Parameter '{name}' is given in two ways")
    if last in tree:
        raise VendorError(INVALID, f"Parameter '{name}' is given twice")
    tree[last] = value


def _grown(name: str, branch: Any) -> Any:  # noqa: ANN401 - JSON
    """A branch with its numbered twigs as lists."""
    if not isinstance(branch, Mapping):
        return branch
    grown = {word: _grown(f"{name}.{word}", twig) for word, twig in branch.items()}
    if not any(word.isdecimal() for word in grown):
        return grown
    wanted = [str(number) for number in range(1, len(grown) + 1)]
    if set(wanted) != set(grown):
        raise VendorError(INVALID, f"Parameter '{name}' must be numbered from 1 without gaps")
    return [grown[number] for number in wanted]
