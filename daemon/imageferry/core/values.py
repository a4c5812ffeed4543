"""How single values of a policy are written: texts, globs, regions, buckets and templates, as pydantic types.

``spec`` builds its models of them, and so do the tests of policies. What is wrong with a value by itself is said here.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field

from imageferry.core import template
from imageferry.core.image import (
    ARCHES,
    CLOUD_NAMES,
    OS_FAMILIES,
    VISIBILITIES,
    Arch,
    CloudName,
    OsFamily,
    Visibility,
)

ANY_REGION: Final = ""
"""The key of a bucket that is written as one text and serves every region."""

_REGION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_REGION_SHOWN: Final = rf"^{_REGION.pattern}$"


def _filled(value: str) -> str:
    if not value.strip():
        raise ValueError("an empty text; expected at least one character")
    return value


Text = Annotated[str, AfterValidator(_filled), Field(json_schema_extra={"pattern": r"\S"})]
"""A text with something in it."""

_LONGEST_WORD: Final = 80
"""Characters of a word that may be misspelt; what is longer is no word, and slow to compare."""

LONGEST_WHEN: Final = 2000
"""Characters an expression may have."""

Expression = Annotated[
    str, Field(max_length=LONGEST_WHEN, json_schema_extra={"pattern": r"\S"}), AfterValidator(_filled)
]
"""An expression; whether it is right is for its reader to say."""


def _listed(value: object) -> object:
    """One word means a list of one."""
    if isinstance(value, list):
        if not value:
            raise ValueError("an empty list matches nothing; expected at least one value, or leave the key out")
        return tuple(value)
    if isinstance(value, str):
        return (value,)
    if value is None:
        raise ValueError("expected a text or a list of texts")
    raise ValueError(f"{_shown(value)} is not text; expected a text or a list of texts{_quoted(value)}")


_OTHER_WORDS: Final = {
    **dict.fromkeys(("amd64", "x64"), "x86_64"),
    **dict.fromkeys(("arm64", "arm"), "aarch64"),
    **dict.fromkeys(("x86", "i686"), "i386"),
    **dict.fromkeys(("alibaba", "alicloud"), "aliyun"),
    **dict.fromkeys(("qcloud", "tencentcloud"), "tencent"),
    **dict.fromkeys(("marketplace",), "market"),
}
"""What others call the same."""


def _closed(what: str, values: tuple[str, ...]) -> AfterValidator:
    """A glob over a closed set must fit something in it."""

    def check(glob: str) -> str:
        if any(fnmatchcase(value, glob) for value in values):
            return glob
        word = _OTHER_WORDS.get(glob.lower(), glob.lower())
        raise ValueError(f'"{glob}" matches no {what}; expected {", ".join(values)}{close_to(word, values)}')

    return AfterValidator(check)


def close_to(word: str, values: tuple[str, ...]) -> str:
    """``; did you mean x?`` where something is close, else nothing."""
    found = get_close_matches(word, values, 1) if len(word) <= _LONGEST_WORD else []
    return f"; did you mean {found[0]}?" if found else ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    return str(value) if isinstance(value, int | float) else f"a {'mapping' if isinstance(value, dict) else 'list'}"


def _quoted(value: object) -> str:
    return f'; did you mean "{_shown(value)}"?' if isinstance(value, bool | int | float) else ""


# How lists and globs are written, for the editors' schema: one or several; of a closed set its words, or a glob.
_Glob = Annotated[str, Field(pattern=r"[*?\[]")]
_Word = Annotated[str, Field(pattern=r"\S")]
_Region = Annotated[str, Field(pattern=_REGION_SHOWN, examples=["ap-guangzhou", "cn-east-2"])]


def _written(kind: Any) -> BeforeValidator:  # noqa: ANN401 - an annotation
    """One value means a list of one."""
    several = Annotated[list[kind], Field(min_length=1)]
    return BeforeValidator(_listed, json_schema_input_type=kind | several)


Globs = Annotated[tuple[Text, ...], _written(_Word)]
"""A shell glob or a list of them; one that fits is enough."""


def _globs(what: str, pattern: str, expected: str) -> Any:  # noqa: ANN401 - an annotation
    """Globs of which each has to be able to fit something: one that cannot would leave images undone without a word."""
    fits = re.compile(pattern)

    def check(glob: str) -> str:
        if fits.fullmatch(glob):
            return glob
        near = [f'"{each}"' for each in _split(glob) or [glob.lower()] if fits.fullmatch(each)]
        meant = (
            f"; did you mean {near[0]}?" if len(near) == 1 else f"; write a list: [{', '.join(near)}]" if near else ""
        )
        raise ValueError(f'"{glob}" matches no {what}; expected a glob {expected}{meant}')

    word = Annotated[str, Field(pattern=rf"^{pattern}$")]
    return Annotated[tuple[Annotated[Text, AfterValidator(check)], ...], _written(word)]


def _split(glob: str) -> list[str]:
    """The globs that a text was meant as, where it lists them in braces or with signs, or is a regular expression."""
    if found := re.fullmatch(r"([^{}]*)\{([^{}]+,[^{}]+)\}([^{}]*)", glob):
        return [f"{found[1]}{part.strip()}{found[3]}" for part in found[2].split(",")]
    if "{" in glob:
        return []
    plain = glob.strip("^$").replace(".*", "*") if glob[:1] == "^" or glob[-1:] == "$" else glob
    parts = [part for each in re.split(r"[,;|]", plain) if (part := each.strip())]
    return [] if parts == [glob] else parts


RegionGlobs = _globs("region id", r"[a-z0-9*?\[\]!-]+", "of lower-case letters, digits, hyphens and * ? [ ]")
AccountGlobs = _globs(
    "account", r"[A-Za-z0-9._*?\[\]!-]+", "of letters, digits, dots, hyphens, underscores and * ? [ ]"
)
NameGlobs = _globs(
    "image name",
    r"(?![\s^])(?:[^{}|,\n]|,(?! ))+(?<![\s$])",
    "or a list of them; braces, bars, ^ and $ are no part of one",
)
"""No cloud takes braces, bars or outer blanks in a name; a comma with a blank behind it is a list that is none."""
Clouds = Annotated[tuple[Annotated[Text, _closed("cloud", CLOUD_NAMES)], ...], _written(CloudName | _Glob)]
OsFamilies = Annotated[tuple[Annotated[Text, _closed("os", OS_FAMILIES)], ...], _written(OsFamily | _Glob)]
Arches = Annotated[tuple[Annotated[Text, _closed("arch", ARCHES)], ...], _written(Arch | _Glob)]
Visibilities = Annotated[tuple[Annotated[Text, _closed("visibility", VISIBILITIES)], ...], _written(Visibility | _Glob)]


def _region(value: str) -> str:
    if _REGION.fullmatch(value):
        return value
    raise ValueError(f'"{value}" is no region id; expected one such as cn-east-2, without globs or placeholders')


_OTHER_REGIONS: Final = ("default", "any", "all", "other", "others", "else", "fallback")
"""What people write for every region that has no entry of its own."""


def _bucket_region(value: str) -> str:
    if value in _OTHER_REGIONS:
        said = f'"{value}" is no region id, and no entry serves all other regions'
        raise ValueError(f'{said}; expected every region by its id, or one bucket such as "archive-{{region}}"')
    return value if value == ANY_REGION else _region(value)


Regions = Annotated[tuple[Annotated[str, AfterValidator(_region)], ...], _written(_Region)]
"""One region id or a list of them."""


def _template(value: str) -> str:
    template.parse(value)
    return value


def _unquoted(value: object) -> object:
    """YAML takes an unquoted ``{region}`` for a mapping."""
    if isinstance(value, dict) and list(value.values()) == [None] and (name := next(iter(value))):
        raise ValueError(f'{{{name}}} is not in quotes, and so a mapping; expected a text; write "{{{name}}}"')
    return value


_Template = Annotated[str, Field(pattern=template.PATTERN)]

TemplateText = Annotated[
    Text, BeforeValidator(_unquoted), AfterValidator(_template), Field(json_schema_extra={"pattern": template.PATTERN})
]
"""A text in which placeholders such as ``{region}`` are filled in."""


def _buckets(value: object) -> object:
    """One bucket means a map with one entry for every region."""
    if isinstance(value, str):
        return {ANY_REGION: value}
    if isinstance(value, dict) and value.keys() & set(template.PLACEHOLDERS):
        _unquoted(value)
    if not isinstance(value, dict):
        raise ValueError(f"{_shown(value)} is no bucket; expected a name, or a map of region to name")  # noqa: TRY004 - pydantic wants ValueError
    if ANY_REGION in value:
        raise ValueError("an empty text is no region id; expected a map such as {cn-east-2: my-bucket}")
    if not value:
        raise ValueError("an empty map has no bucket for any region; expected region: bucket")
    return value


Buckets = Annotated[
    dict[Annotated[str, AfterValidator(_bucket_region)], TemplateText],
    BeforeValidator(
        _buckets,
        json_schema_input_type=_Template
        | Annotated[
            dict[Annotated[str, Field(pattern=_REGION_SHOWN)], _Template],
            Field(min_length=1, json_schema_extra={"additionalProperties": False}),
        ],
    ),
]
"""Region -> bucket; a single text is kept under :data:`ANY_REGION`."""
