from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from imageferry.cli.main import COMMANDS
from support.programs import ROOT

TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "config",
    "daemon",
    "docs",
    "helm",
    "policies",
    "pyproject.toml",
    "requirements.txt",
    "systemd",
    "tests",
}
LOCK_FILES = {"uv.lock", "pylock.toml", "poetry.lock", "pdm.lock", "Pipfile.lock"}
REGISTRIES = tuple(
    ".".join(parts)  # in parts, or this file would hold them itself
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("proxy", "golang", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
    )
)
LONGEST_MODULE = 400
LONGEST_FUNCTION = 50
LONG_MODULES: set[str] = set()
"""``folder/module.py``, each with a comment that says why."""

LONG_FUNCTIONS: set[str] = set()
"""``module.py:function``, each with a comment that says why."""
NOT_NAMES = {"utils", "base", "common", "helpers", "manager"}
BUILT = {".venv", "build", "dist", "__pycache__"}
DOCS = ("README.md", "CONTRIBUTING.md", "systemd/README.md", "helm/imageferry/templates/NOTES.txt")


def committed() -> list[Path]:
    """Every file that is committed or would be; without git, every file that no tool made."""
    if (ROOT / ".git").exists():
        git = ["git", "-c", "safe.directory=*", "-C", str(ROOT)]
        listed = [*git, "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
        return [ROOT / name for name in names if name and (ROOT / name).is_file()]
    return [
        path
        for top in ROOT.iterdir()
        if top.name in TOP_LEVEL
        for path in (top, *top.rglob("*"))
        if path.is_file() and not BUILT & set(path.parts)
    ]


def names(paths: Iterator[Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in paths)


def modules() -> dict[str, str]:
    folder = ROOT / "daemon" / "imageferry"
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}


def functions(text: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


# --- what is committed -----------------------------------------------------------------------------------------------


def test_the_top_level_holds_only_what_belongs_there() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in committed()} - TOP_LEVEL == set()


def test_no_lock_file_that_holds_addresses_is_committed() -> None:
    assert names(path for path in committed() if path.name in LOCK_FILES) == []


def test_no_package_registry_is_named_in_any_file() -> None:
    words = re.compile("|".join(re.escape(name) for name in REGISTRIES).encode())
    assert names(path for path in committed() if words.search(path.read_bytes())) == []


def test_the_pins_have_hashes_and_no_addresses() -> None:
    pins = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    pins = [pin for pin in pins if pin.strip() and not pin.lstrip().startswith("#")]
    assert pins
    assert [pin for pin in pins if "--hash=sha256:" not in pin or "://" in pin] == []


# --- how the daemon's code is cut ------------------------------------------------------------------------------------


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, text in modules().items() if not ast.get_docstring(ast.parse(text))]
    assert silent == []


def test_no_module_is_too_long_but_those_that_say_why() -> None:
    assert {name for name, text in modules().items() if text.count("\n") > LONGEST_MODULE} == LONG_MODULES


def test_no_function_is_too_long_but_those_that_say_why() -> None:
    longer = {
        f"{name}:{function.name}"
        for name, text in modules().items()
        for function in functions(text)
        if (function.end_lineno or 0) - function.lineno + 1 > LONGEST_FUNCTION
    }
    assert longer == LONG_FUNCTIONS


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [name for name in modules() if NOT_NAMES & set(Path(name).with_suffix("").parts)] == []


# --- what the documents promise --------------------------------------------------------------------------------------


def code(document: str) -> str:
    """What a document shows to be typed: fenced blocks, indented lines and words between backticks."""
    text = (ROOT / document).read_text()
    if not document.endswith(".md"):
        return text
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    rest = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join((*fenced, *re.findall(r"^ {4}(.*)$", rest, re.MULTILINE), *re.findall(r"`([^`]+)`", rest)))


def shown(program: str) -> set[str]:
    """What stands after a program's name in any document."""
    text = "\n".join(code(document) for document in DOCS)
    return set(re.findall(rf"(?:^|[\s/]){program} ([a-z][a-z-]*)", text, re.MULTILINE))


def test_every_command_that_a_document_shows_is_there() -> None:
    commands = shown("imageferry")
    assert "check" in commands
    assert commands - set(COMMANDS) == set()


def test_every_make_target_that_a_document_shows_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    wanted = shown("make")
    assert "test" in wanted
    assert wanted - targets == set()
