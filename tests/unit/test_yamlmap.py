from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from imageferry import yamlmap
from imageferry.errors import BadFile, Complaint


def complaints_of(text: str | bytes, **options: bool) -> list[str]:
    with pytest.raises(BadFile) as caught:
        yamlmap.parse(text, "f.yaml", **options)
    return [str(complaint) for complaint in caught.value.complaints]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("012", "012"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("1_000", "1_000"),
        ("5", 5),
        ("-5", -5),
        ("+12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("-.INF", float("-inf")),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ('"true"', "true"),
        ("!!str 5", "5"),
        ("!!int 5", 5),
        ("! 5", "5"),
        ("|\n  5\n", "5\n"),
        ("9" * 200, "9" * 200),
    ],
)
def test_values_are_yaml_1_2_core_types(text: str, value: object) -> None:
    data = yamlmap.parse(f"a: {text}", "f.yaml").data

    assert (data, type(data["a"])) == ({"a": value}, type(value))


def test_keys_are_always_text() -> None:
    assert yamlmap.parse("1: a\ntrue: b\nnull: c\n", "f.yaml").data == {"1": "a", "true": "b", "null": "c"}


def test_aliases_stand_for_what_they_name() -> None:
    assert yamlmap.parse("a: &x [1]\nb: *x\n&k key: *x\nc: *k\n", "f.yaml").data == {
        "a": [1],
        "b": [1],
        "key": [1],
        "c": "key",
    }


def test_both_parsers_see_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a:\n  - {b: 1, c: [x, y]}\n  - 'd'\ne: |\n  text\nf: *x\n"
    quick = complaints_of(text)
    monkeypatch.setattr(yamlmap, "_LOADER", yamlmap.yaml.SafeLoader)

    assert complaints_of(text) == quick


# --- positions -----------------------------------------------------------------------------------------------------

TEXT = """\
accounts:
  prod:
    regions: [ap-x, ap-y]
    poll:
      tasks: 30s
  - not: here
"""
DOCUMENT = yamlmap.parse(TEXT.replace("  - not: here\n", "list:\n  - one\n  - {two: 2}\n"), "f.yaml")


@pytest.mark.parametrize(
    ("loc", "key", "expected"),
    [
        ((), False, (1, 1)),
        (("accounts",), True, (1, 1)),
        (("accounts", "prod"), True, (2, 3)),
        (("accounts", "prod"), False, (3, 5)),
        (("accounts", "prod", "regions"), False, (3, 14)),
        (("accounts", "prod", "regions", 1), False, (3, 21)),
        (("accounts", "prod", "poll", "tasks"), False, (5, 14)),
        (("accounts", "prod", "poll", "tasks"), True, (5, 7)),
        (("list", 1, "two"), False, (8, 11)),
        (("list", 1), False, (8, 5)),
    ],
)
def test_every_key_and_value_knows_its_place(
    loc: tuple[str | int, ...], *, key: bool, expected: tuple[int, int]
) -> None:
    assert DOCUMENT.position(loc, key=key) == expected


def test_what_is_missing_is_at_its_nearest_parents_key() -> None:
    assert DOCUMENT.position(("accounts", "prod", "cloud")) == (2, 3)
    assert DOCUMENT.position(("accounts", "stage", "cloud", "x")) == (1, 1)
    assert DOCUMENT.position(("nothing",)) == (1, 1)


def test_a_value_from_a_file_stands_at_its_sibling() -> None:
    document = yamlmap.parse("name: x\nsecret_file: /run/secret\n", "f.yaml")

    assert document.position(("secret",)) == (2, 14)


def test_a_complaint_has_path_line_column_and_message() -> None:
    assert DOCUMENT.complaint(("list", 0), "is wrong") == Complaint("f.yaml", 7, 5, "is wrong")


def test_columns_count_characters_not_bytes() -> None:
    assert yamlmap.parse("{ä: 1, 名前: x}", "f.yaml").position(("名前",)) == (1, 12)


# --- what is refused -----------------------------------------------------------------------------------------------


def test_every_fault_that_can_be_read_around_is_said_at_once() -> None:
    assert complaints_of("a: 1\na: 2\nb: !!python/name:os.system x\n<<: {c: 1}\n[d]: 1\n") == [
        'f.yaml:2:1: the key "a" is here twice; expected it once; the first is in line 1',
        (
            'f.yaml:3:4: the tag "!!python/name:os.system" is not allowed here;'
            " expected plain texts, numbers, lists and mappings; leave the tag out"
        ),
        'f.yaml:4:1: the merge key "<<" is not part of YAML 1.2; write the keys out',
        "f.yaml:5:1: a list, mapping or alias is used as a key; expected a text",
    ]


def test_such_faults_can_be_kept_beside_the_data() -> None:
    document = yamlmap.parse("a: 1\na: 2\nb: 3\n", "f.yaml", keep=True)

    assert (document.data, [str(fault)[:10] for fault in document.faults]) == ({"a": 1, "b": 3}, ["f.yaml:2:1"])


def test_a_tag_that_builds_an_object_builds_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "made"
    text = f"a: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]\n"

    complaints_of(text)

    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        "&a [" + "x, " * 300_000 + "x]",
        "a: &a [x, x, x, x]\n"
        + "".join(f"k{i}: &k{i} [*{n}, *{n}]\n" for i, n in enumerate(["a", *(f"k{i}" for i in range(40))])),
    ],
    ids=["many", "bomb"],
)
def test_growth_has_a_bound(text: str) -> None:
    assert complaints_of(text)[0].endswith("is too large with its aliases expanded; expected at most 250000 values")


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 60, "- " * 60], ids=["lists", "mappings", "items"])
def test_depth_has_a_bound(text: str) -> None:
    assert "nested too deep; expected at most 48 levels" in complaints_of(text)[0]


def test_a_file_has_a_largest_size() -> None:
    assert complaints_of(b"#" * (yamlmap.LARGEST + 1)) == ["f.yaml:1:1: the file is too large; expected at most 8 MiB"]


@pytest.mark.parametrize("text", ["", "\n\n", "# only this\n", "---\n", "null\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert complaints_of(text) == ["f.yaml:1:1: the file is empty; expected a mapping of keys and values"]


def test_a_file_that_is_not_yaml_is_not_quoted() -> None:
    text = 'hunter2: &hunter2 x\nhunter2: y\n  hunter2: "hunter2\n'

    assert "hunter2" not in "".join(complaints_of(text))


def test_a_file_that_cannot_be_opened_is_a_complaint(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(BadFile) as caught:
            yamlmap.read(path)
        assert caught.value.complaints == (Complaint(str(path), 1, 1, f"the file cannot be read: {reason}"),)


def test_a_file_is_read_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")

    document = yamlmap.read(path)

    assert (document.name, document.data) == (str(path), {"a": 1})


@given(st.text(alphabet="ab0:{}[]-*&!<%@?,|>'\"\\#. \n\t\r\x00\ufeff\x85") | st.binary())
def test_whatever_is_read_is_data_or_a_complaint_at_a_place_inside_it(content: str | bytes) -> None:
    length = len(content) + 1
    try:
        places = [yamlmap.parse(content, "f.yaml").position(())]
    except BadFile as error:
        places = [(complaint.line, complaint.column) for complaint in error.complaints]

    assert places
    assert all(1 <= line <= length and 1 <= column <= length for line, column in places)


# --- what models refuse --------------------------------------------------------------------------------------------


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Cat(Strict):
    kind: Literal["cat"]
    lives: int = Field(default=9, ge=1)


class Dog(Strict):
    kind: Literal["dog"]
    tricks: list[str] | str = []


class House(Strict):
    address: str = Field(min_length=1)
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []
    rooms: dict[str, int] = {}
    colour: Literal["red", "green"] = "red"


def complaints_about(text: str) -> list[str]:
    document = yamlmap.parse(text, "f.yaml")
    with pytest.raises(ValidationError) as caught:
        House.model_validate(document.data)
    return [str(complaint) for complaint in document.complaints(caught.value, House)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pets: []", 'f.yaml:1:1: the key "address" is missing; expected it here'),
        ("address: ''", "f.yaml:1:10: address is empty; expected something in it"),
        ("address: 5", 'f.yaml:1:10: address is 5; expected a text; write it in quotes: "5"'),
        ("address: [a]", "f.yaml:1:10: address is a list; expected a text"),
        ("address:", "f.yaml:1:9: address is empty; expected a text"),
        ("{address: a, pets: {}}", 'f.yaml:1:20: pets is empty; expected a list; begin each item with "- "'),
        ("{address: a, rooms: [a]}", "f.yaml:1:21: rooms is a list; expected a mapping of keys and values"),
        ("{address: a, rooms: {hall: big}}", 'f.yaml:1:28: rooms.hall is "big"; expected a whole number'),
        (
            "{address: a, colour: gren}",
            'f.yaml:1:22: colour is "gren"; expected one of red, green; did you mean "green"?',
        ),
        ("{address: a, colour: RED}", 'f.yaml:1:22: colour is "RED"; expected one of red, green; did you mean "red"?'),
        (
            "{address: a, color: red}",
            'f.yaml:1:14: unknown key "color"; expected one of address, pets, rooms, colour; did you mean "colour"?',
        ),
        ("{address: a, pets: [{kind: cow}]}", 'f.yaml:1:28: pets[0].kind is "cow"; expected one of cat, dog'),
        (
            "{address: a, pets: [{lives: 3}]}",
            'f.yaml:1:21: pets[0]: the key "kind" is missing; expected it here: one of cat, dog',
        ),
        ("{address: a, pets: [{kind: cat, lives: 0}]}", "f.yaml:1:40: pets[0].lives is 0; expected 1 or more"),
        (
            "{address: a, pets: [{kind: cat, lifes: 3}]}",
            'f.yaml:1:33: pets[0]: unknown key "lifes"; expected one of kind, lives; did you mean "lives"?',
        ),
        (
            "{address: a, pets: [{kind: dog, tricks: 5}]}",
            'f.yaml:1:41: pets[0].tricks is 5; expected a list or a text; write it in quotes: "5"',
        ),
        (
            "{address: a, pets: [{kind: dog, tricks: [5]}]}",
            'f.yaml:1:42: pets[0].tricks[0] is 5; expected a text; write it in quotes: "5"',
        ),
        ("[a]", "f.yaml:1:1: the file is a list; expected a mapping of keys and values: address, pets, rooms, colour"),
        (
            "hunter2",
            "f.yaml:1:1: the file is not right; expected a mapping of keys and values: address, pets, rooms, colour",
        ),
    ],
)
def test_a_refusal_is_said_in_plain_words_at_its_place(text: str, expected: str) -> None:
    assert complaints_about(text) == [expected]


def test_everything_refused_is_said_at_once_in_the_order_of_the_file() -> None:
    text = "colour: blue\npets:\n  - {kind: cat, lives: x}\n  - {kind: dog, trick: a}\n"

    places = [complaint.split(": ")[0] for complaint in complaints_about(text)]

    assert places == ["f.yaml:1:1", "f.yaml:1:9", "f.yaml:3:24", "f.yaml:4:17"]


def test_an_alias_is_complained_about_where_it_was_written() -> None:
    assert complaints_about("address: &a 5\nrooms: {hall: *a, bath: x}\n") == [
        'f.yaml:1:10: address is 5; expected a text; write it in quotes: "5"',
        'f.yaml:2:25: rooms.bath is "x"; expected a whole number',
    ]


def test_keys_that_are_union_tags_elsewhere_are_still_keys() -> None:
    class Box(Strict):
        what: dict[str, list[str] | str]

    document = yamlmap.parse("what: {str: 5, 'list[str]': [6]}\n", "f.yaml")
    with pytest.raises(ValidationError) as caught:
        Box.model_validate(document.data)

    assert [c.message.split(" is ")[0] for c in document.complaints(caught.value, Box)] == [
        "what.str",
        "what.list[str][0]",
    ]


def test_data_is_plain() -> None:
    def kinds(value: Any) -> set[type]:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {type(value)}.union(*map(kinds, inner))

    assert kinds(DOCUMENT.data) <= {dict, list, str, int, float, bool, type(None)}
