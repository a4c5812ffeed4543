"""Fills in what a config file leaves to its surroundings: ``${VAR}`` in values, secrets from ``*_file`` siblings.

Called by the loader before validation. It never evaluates what it fills in: a variable's text stays text. It quotes
neither a variable's value nor a file's content.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from pydantic import BaseModel

from imageferry.errors import Complaint
from imageferry.wording import lead, models_at, secrets_of
from imageferry.yamlmap import Document, Plain

_LARGEST: Final = 64 * 1024
"""Bytes a secret's file may have."""
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")
_UNREAD: Final = "unread"
"""Stands for a secret that could not be read, so that it is not called missing too."""

_Loc: TypeAlias = tuple[str | int, ...]


class Filler:
    """Fills in one document; ``complaints`` gathers what could not be."""

    def __init__(self, document: Document, environ: Mapping[str, str], model: type[BaseModel]) -> None:
        self.complaints: list[Complaint] = []
        self._document = document
        self._environ = environ
        self._model = model

    def filled(self) -> Plain:
        """The document's data with everything filled in."""
        return self._value(self._document.data, ())

    def _value(self, value: Plain, loc: _Loc) -> Plain:
        if isinstance(value, dict):
            return self._with_secrets({key: self._value(inner, (*loc, key)) for key, inner in value.items()}, loc)
        if isinstance(value, list):
            return [self._value(inner, (*loc, index)) for index, inner in enumerate(value)]
        return self._text(value, loc) if isinstance(value, str) else value

    def _text(self, text: str, loc: _Loc) -> str:
        return _VARIABLE.sub(lambda found: self._variable(found, loc), text) if "${" in text else text

    def _variable(self, found: re.Match[str], loc: _Loc) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if name is None:
            expected = 'expected ${NAME} or ${NAME:-default}; write "$${" for the characters themselves'
            self._complain(loc, f'a "${{" here begins no variable; {expected}')
            return found[0]
        value = self._environ.get(name)
        if value is None and default is None:
            self._complain(
                loc, f"the variable {name} is not set; expected a value; set it or write ${{{name}:-default}}"
            )
        return value or default or ""

    def _with_secrets(self, plain: dict[str, Plain], loc: _Loc) -> dict[str, Plain]:
        """The mapping with the content of ``x_file`` as ``x``, for every ``x`` that is a secret there."""
        siblings = {key.removesuffix("_file"): key for key in plain if key.endswith("_file")}
        known = secrets_of(models_at(self._model, loc)) if siblings else set()
        for name in siblings.keys() & known:
            path = plain.pop(siblings[name])
            if name in plain:
                message = f'"{name}" and "{name}_file" are both given; expected one of them; remove the other'
                self._complain((*loc, siblings[name]), message)
            else:
                plain[name] = self._secret(path, (*loc, siblings[name]))
        return plain

    def _secret(self, path: Plain, loc: _Loc) -> str:
        if not isinstance(path, str) or not path:
            self._complain(loc, "this is not a path; expected the path of a file that holds the secret")
            return _UNREAD
        try:
            content = _content(Path(self._document.name).parent / path)
        except OSError as error:
            self._complain(
                loc, f"the file cannot be read: {error.strerror or type(error).__name__}; expected a file that can be"
            )
        except ValueError as error:
            self._complain(loc, f"{error}; expected the secret alone, as text")
        else:
            return content
        return _UNREAD

    def _complain(self, loc: _Loc, message: str) -> None:
        self.complaints.append(self._document.complaint(loc, f"{lead(loc)}{message}"))


def _content(path: Path) -> str:
    """A secret's text; one line end at its end is the editor's, not the secret's.

    :raises OSError: it cannot be read.
    :raises ValueError: it is not a secret's text; says why without any of it.
    """
    with path.open("rb") as file:
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError("the file is larger than a secret")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise ValueError("the file is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    if not text:
        raise ValueError("the file is empty")
    return text
