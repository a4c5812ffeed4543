"""JSON Schemas of the files that people write, made from the models that read them, for editors.

The ``schema`` command prints them, and the committed copies in ``docs/schema`` are made from them. Draft 7, which every
editor's YAML support takes. A schema cannot say everything that the models check: what it refuses is wrong, and what
it takes may still be; ``check`` and ``test`` have the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from imageferry.core.spec import PolicyFile
from imageferry.core.units import duration_text, rate_text
from imageferry.settings.blueprint import Blueprint
from imageferry.trials.spec import TrialFile

DRAFT: Final = "http://json-schema.org/draft-07/schema#"

Node = dict[str, Any]
"""A schema, or a part of one."""

_REFERENCE: Final = "#/definitions/{model}"
_VARIABLE: Final[Node] = {"type": "string", "pattern": r"\$\{", "description": "From the environment"}
_KEPT: Final = ("description", "default", "examples")
_BOUNDS: Final = {"ge": "minimum", "le": "maximum"}
_UNITS: Final[Mapping[str, Callable[[float], str]]] = {"|m|h|d)$": duration_text, "/(s|m|h)$": rate_text}
"""How the pattern of a duration or a rate ends, and how one is written."""
_TAGS: Final = ("cloud", "type", "source")
"""Keys that tell the members of a union apart."""
_UNTOLD: Final = "UnknownCloud"
"""A shape that exists for its complaints alone."""


def policies() -> Node:
    """Of a policy file."""
    return _schema(PolicyFile.model_json_schema(ref_template=_REFERENCE), "imageferry policies")


def tests() -> Node:
    """Of a file of tests; a null fact of an image is one that is not known."""
    return _schema(TrialFile.model_json_schema(ref_template=_REFERENCE), "imageferry tests of policies", {"ImageFacts"})


def config() -> Node:
    """Of the config file: ``${VAR}`` may stand for any value, and a secret may come from a ``*_file``."""
    raw = Blueprint.model_json_schema(ref_template=_REFERENCE)
    shapes: Node = raw["$defs"]
    shapes.pop(_UNTOLD)
    for shape in (*shapes.values(), raw):
        _forget_untyped(shape)
        _want_tags(shape)
        _add_secret_files(shape)
        for node in shape.get("properties", {}).values():
            _part_words(node, shapes)
    whole = _schema(raw, "imageferry config", {*shapes, ""})
    return _each(whole, lambda node: _with_variables(node, whole["definitions"]))


SCHEMAS: Final[Mapping[str, Callable[[], Node]]] = {"policies": policies, "tests": tests, "config": config}
"""What there is a schema of."""


def _schema(raw: Node, title: str, nullable: frozenset[str] | set[str] = frozenset()) -> Node:
    """The whole schema without what only pydantic needs; nulls stay in the shapes that take them ("" is the root)."""
    shapes = {name: _tidied(shape, keep_null=name in nullable) for name, shape in raw.pop("$defs", {}).items()}
    root = _tidied(raw, keep_null="" in nullable)
    return {"$schema": DRAFT, "title": title, **root, "definitions": shapes}


def _tidied(shape: Node, *, keep_null: bool) -> Node:
    def tidy(node: Node) -> Node:
        node = {_BOUNDS.get(key, key): value for key, value in node.items() if key != "discriminator"}
        if isinstance(node.get("title"), str):
            del node["title"]
        if not keep_null and "anyOf" in node:
            node = _not_null(node)
        if "default" in node:
            node = _with_default(node)
        if "oneOf" in node and all("$ref" in member for member in node["oneOf"]):
            node["anyOf"] = [one for one in node.pop("oneOf") if not one["$ref"].endswith(f"/{_UNTOLD}")]
        if "description" in node:
            node["description"] = node["description"].replace("``", "`")
        return {"allOf": [{"$ref": node.pop("$ref")}], **node} if "$ref" in node and len(node) > 1 else node

    return _each(shape, tidy)


def _not_null(node: Node) -> Node:
    members = [member for member in node["anyOf"] if member != {"type": "null"}]
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**members[0], **rest} if len(members) == 1 else {**rest, "anyOf": members}


def _with_default(node: Node) -> Node:
    """A default as a person would write it; none where that says nothing."""
    default = node.pop("default")
    if isinstance(default, float):
        pattern = next((one["pattern"] for one in (node, *node.get("anyOf", ())) if "pattern" in one), "")
        default = next((show(default) for end, show in _UNITS.items() if pattern.endswith(end)), default)
    said = isinstance(default, str | int | bool) and default != "" and not str(default).startswith("*")
    return node | {"default": default} if said else node


# --- what only the config file has -----------------------------------------------------------------------------------


def _forget_untyped(shape: Node) -> None:
    """Keys that are there only to be complained about have no type."""
    keys = shape.get("properties", {})
    for key in [key for key, node in keys.items() if not {"type", "anyOf", "oneOf", "$ref"} & node.keys()]:
        del keys[key]


def _want_tags(shape: Node) -> None:
    """What tells the members of a union apart has to be written, whatever default its model has."""
    keys = shape.get("properties", {})
    wanted = [tag for tag in _TAGS if "const" in keys.get(tag, {}) and tag not in shape.get("required", ())]
    if wanted:
        shape.setdefault("required", []).extend(wanted)


def _part_words(node: Node, shapes: Mapping[str, Node]) -> None:
    """Where one member of a union takes several words of a tag, those that have a member of their own are not its."""
    members = [shapes.get(one["$ref"].rpartition("/")[2], {}) for one in node.get("oneOf", ()) if "$ref" in one]
    for tag in _TAGS:
        told = [member.get("properties", {}).get(tag, {}) for member in members]
        own = {one["const"] for one in told if "const" in one}
        for one in told:
            if "enum" in one:
                one["enum"] = [word for word in one["enum"] if word not in own]


def _add_secret_files(shape: Node) -> None:
    """A secret's ``*_file`` sibling; where the secret has to be given, one of the two has to."""
    keys: Node = shape.get("properties", {})
    secrets = [key for key, node in keys.items() if any(one.get("format") == "password" for one in _members(node))]
    for key in secrets:
        keys[f"{key}_file"] = {"type": "string", "description": f"The path of a file that holds {key}", "minLength": 1}
        if key in shape.get("required", ()):
            shape["required"].remove(key)
            either = {"anyOf": [{"required": [key]}, {"required": [f"{key}_file"]}]}
            shape.setdefault("allOf", []).append(either)


def _members(node: Node) -> Iterator[Node]:
    yield node
    yield from node.get("anyOf", ())


def _with_variables(node: Node, shapes: Mapping[str, Node]) -> Node:
    """The same with ``${VAR}`` allowed; a union can be told apart by a variable too, and then takes any keys."""
    tag = _tag(node, shapes)
    if tag:
        untold = {"type": "object", "required": [tag], "properties": {tag: _VARIABLE}}
        return node | {"anyOf": [*node["anyOf"], untold]}
    narrow = node.get("type") == "integer" or (node.get("type") == "string" and {"enum", "pattern"} & node.keys())
    if not narrow:
        return node
    outer = {key: value for key, value in node.items() if key in _KEPT}
    inner = {key: value for key, value in node.items() if key not in _KEPT}
    return outer | {"anyOf": [inner, _VARIABLE]}


def _tag(node: Node, shapes: Mapping[str, Node]) -> str | None:
    for member in node.get("anyOf", ()):
        if "$ref" in member:
            keys = shapes[member["$ref"].rpartition("/")[2]].get("properties", {})
            return next((tag for tag in _TAGS if "const" in keys.get(tag, {})), None)
    return None


# --- walking through a schema ----------------------------------------------------------------------------------------


def _each(node: Node, change: Callable[[Node], Node]) -> Node:
    """The schema with every part of it changed, the innermost first. Names of keys are no parts."""
    done = dict(node)
    for key in ("properties", "patternProperties", "definitions"):
        if key in done:
            done[key] = {name: _each(inner, change) for name, inner in done[key].items()}
    for key in ("anyOf", "oneOf", "allOf"):
        if key in done:
            done[key] = [_each(inner, change) for inner in done[key]]
    for key in ("items", "additionalProperties", "propertyNames"):
        if isinstance(done.get(key), dict):
            done[key] = _each(done[key], change)
    return change(done)
