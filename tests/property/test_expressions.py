"""Whatever stands in an expression: a matcher that answers, or complaints that have a place, and never a traceback."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from imageferry.clouds.facts import FACTS as CLOUDS
from imageferry.core.image import Image, Place
from imageferry.errors import BadFile
from imageferry.expressions.facts import FACTS
from imageferry.expressions.reader import Expressions
from imageferry.policies import load
from support.policies import NOW, image

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
EXPRESSIONS = Expressions()

words = st.sampled_from(
    [
        *FACTS,
        *(
            "image",
            "image.nmae",
            "name",
            "prod",
            "x",
            "true",
            "null",
            "dyn",
            "has",
            "size",
            "matches",
            "if",
            "__x",
            "and",
        ),
        *(
            ".",
            ",",
            "(",
            ")",
            "[",
            "]",
            "{",
            "}",
            "?",
            ":",
            "!",
            "-",
            "+",
            "==",
            "=",
            "&&",
            "||",
            "|",
            "<",
            "in",
            "@",
            "$",
        ),
        *(
            "'",
            '"',
            "'''",
            "'a'",
            '"linux"',
            "r'\\'",
            "'7d'",
            "'['",
            "1",
            "2.5",
            "1u",
            "// b",
            "\\",
            "é",
            "😀",
            "“",
            "\n",
            "\t",
        ),
        *(
            ".all(a,",
            ".exists(image,",
            ".startsWith(",
            ".matches('[')",
            "duration('7d')",
            "timestamp('x')",
            "has(image.tags.a)",
        ),
    ]
)
texts = st.lists(words, min_size=1, max_size=12).map(" ".join) | st.text(max_size=30)
bare = Image(place=Place("", "", ""), id="")


@unhurried
@given(texts)
@example("image.os in [" + "'a'" + " " * 60 + "'a'" * 30 + "x")
@example("image.name == 'x' && " * 90 + "true")
@example("\x00")
def test_a_text_is_read_or_told_what_is_wrong_with_it(text: str) -> None:
    found = EXPRESSIONS(text)
    if not isinstance(found, tuple):
        assert {found(about, NOW).verdict for about in (image(), bare)} <= {"match", "no_match", "unknown"}
        return
    lines = text.split("\n")
    for line, column, message in found:
        assert 1 <= line <= len(lines)
        assert 1 <= column <= len(lines[line - 1]) + 1
        assert "; " in message
        assert "\n" not in message


@unhurried
@given(texts.filter(lambda text: text.strip() and text.isprintable()), st.sampled_from([None, "'", '"', "|", ">"]))
def test_a_complaint_about_a_file_stands_within_the_expression(text: str, style: str | None) -> None:
    document = {"policies": [{"name": "p", "match": {"when": text}, "actions": [{"copy": {"regions": "r"}}]}]}
    written = yaml.dump(document, default_style=style, allow_unicode=True, width=20)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.yaml"
        path.write_text(written, encoding="utf-8")
        try:
            load(path, CLOUDS)
        except BadFile as error:
            lines = written.split("\n")
            for complaint in error.complaints:
                assert complaint.column <= len(lines[complaint.line - 1]) + 1
