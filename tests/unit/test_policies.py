from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.errors import BadFile
from imageferry.policies import PolicyBook, load, read_all
from support.commands import invoke

EXAMPLES = Path(__file__).parents[2] / "policies"

ONE = """\
policies:
  - name: one
    match: {cloud: tencent, os: linux}
    actions:
      - export: {bucket: "archive-{region}"}
"""
TWO = ONE.replace("one", "two")


def wrong(path: Path) -> list[str]:
    """The complaints, without the folder."""
    with pytest.raises(BadFile) as caught:
        load(path, FACTS)
    return [str(complaint).replace(f"{path}/", "").replace(str(path), "") for complaint in caught.value.complaints]


def brief(path: Path) -> list[str]:
    """The complaints without what was expected."""
    return [complaint.split("; ")[0] for complaint in wrong(path)]


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_one_file_is_read(tmp_path: Path) -> None:
    folder = written(tmp_path, a=ONE)

    assert load(folder / "a.yaml", FACTS).names == ("one",)


def test_a_folder_is_read_in_the_order_of_its_files_names(tmp_path: Path) -> None:
    folder = written(tmp_path, b=ONE, a=TWO)

    assert load(folder, FACTS).names == ("two", "one")


def test_other_files_and_hidden_ones_are_not_read(tmp_path: Path) -> None:
    folder = written(tmp_path, a=ONE)
    (folder / ".#a.yaml").write_text("{")
    (folder / "a.test.yaml").write_text("{")
    (folder / "notes.txt").write_text("{")
    (folder / "deeper").mkdir()

    assert load(folder, FACTS).names == ("one",)


def test_where_the_policies_stand_does_not_change_the_digest(tmp_path: Path) -> None:
    both = ONE + TWO.removeprefix("policies:\n")
    (tmp_path / "apart").mkdir()

    apart = load(written(tmp_path / "apart", a=ONE, b=TWO), FACTS)

    assert load(written(tmp_path, both=both) / "both.yaml", FACTS).digest == apart.digest


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere", "No such file or directory"),
        ("n" * 300, "File name too long"),
        ("no\0where", "embedded null byte"),
    ],
)
def test_a_path_that_does_not_exist_is_a_complaint(tmp_path: Path, name: str, reason: str) -> None:
    expected = "expected a file, or a folder with at least one file *.yaml"
    assert wrong(tmp_path / name) == [f":1:1: the policies cannot be read: {reason}; {expected}"]


def test_a_folder_without_policies_is_a_complaint(tmp_path: Path) -> None:
    assert wrong(tmp_path) == [":1:1: no policies here; expected at least one file *.yaml"]


def test_a_folder_with_policies_in_its_folders_says_that_they_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "team").mkdir()
    written(tmp_path / "team", a=ONE)

    assert wrong(tmp_path) == [
        ":1:1: no policies here; expected at least one file *.yaml; folders in it, such as team, are not read"
    ]


def test_a_folder_with_files_of_the_other_ending_says_what_to_rename(tmp_path: Path) -> None:
    (tmp_path / "archive.yml").write_text(ONE)

    assert wrong(tmp_path) == [
        ":1:1: no policies here; expected at least one file *.yaml; rename archive.yml to archive.yaml"
    ]


@pytest.mark.parametrize("name", ["more.yml", "more.YAML", "more.test.yml"])
def test_a_file_that_its_ending_keeps_from_being_read_is_a_complaint(tmp_path: Path, name: str) -> None:
    written(tmp_path, one=ONE)
    (tmp_path / name).write_text(TWO)

    right = name.rpartition(".")[0] + ".yaml"
    assert wrong(tmp_path) == [
        f"{name}:1:1: this file is not read; expected a name that ends with .yaml; rename it to {right}"
    ]


def test_every_complaint_of_every_file_has_its_place(tmp_path: Path) -> None:
    first = """\
policies:
  - name: one
    descripton: x
    match: {cloud: tencnt, os: [linux, Windws], when: "x > 1"}
    actions:
      - export: {bucket: "a-{regoin}"}
"""
    second = """\
policies:
  - name: two
    match: {cloud: tencent}
    actions:
      - export:
          bucket: archive
          format: qcow
"""

    assert brief(written(tmp_path, a=first, b=second)) == [
        'a.yaml:3:5: policies[0]: unknown key "descripton"',
        'a.yaml:4:20: policies[0].match.cloud: "tencnt" matches no cloud',
        'a.yaml:4:40: policies[0].match.os[1]: "Windws" matches no os',
        'a.yaml:4:56: policies[0].match.when: unknown fact "x"',
        'a.yaml:6:26: policies[0].actions[0].export.bucket: "a-{regoin}": {regoin} is no placeholder',
        'b.yaml:7:19: policies[0].actions[0].export.format: tencent cannot export as "qcow"',
    ]


def test_a_complaint_says_what_was_expected_and_what_was_meant(tmp_path: Path) -> None:
    (complaint,) = wrong(written(tmp_path, a=ONE.replace("tencent", "tencnet")))

    assert complaint == (
        'a.yaml:3:20: policies[0].match.cloud: "tencnet" matches no cloud; expected tencent, aliyun, huawei, jdcloud; '
        "did you mean tencent?"
    )


def test_a_file_that_is_not_yaml_does_not_hide_the_complaints_of_the_others(tmp_path: Path) -> None:
    folder = written(tmp_path, a="policies:\n\t- x\n", b=ONE.replace("linux", "Linux"))

    assert [complaint.split(":")[:3] for complaint in wrong(folder)] == [["a.yaml", "2", "1"], ["b.yaml", "3", "33"]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"policies:",
        b"policies: 5",
        b"- 1",
        b"5",
        b"policies: [5, null, []]",
        b"policies: [{actions: {}, match: [], name: {}}]",
        b"policies: [{name: a, match: {any: [5]}, actions: [5, {export: 5}, {copy: []}]}]",
        b"policies: [{name: a, match: {tags: {a: [[]]}, not: [{}]}, actions: [{export: {bucket: {a: {b: c}}}}]}]",
        b"\xff\xfe",
        b"policies: !!python/object/apply:os.system [x]",
        b"a: &a [x]\npolicies: [*a, *a]",
        b"policies: [[[[[[[[[[]]]]]]]]]]",
    ],
)
def test_whatever_stands_in_a_file_becomes_complaints(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.yaml").write_bytes(content)

    assert all(complaint.startswith("a.yaml:") for complaint in wrong(tmp_path))


# --- errors of shape do not hide what the clouds would refuse ---


def test_an_unknown_key_does_not_hide_an_option_that_the_cloud_does_not_take(tmp_path: Path) -> None:
    text = ONE.replace('bucket: "archive-{region}"', 'bucket: "b-{region}", prefx: x, format: qcow')

    assert brief(written(tmp_path, a=text)) == [
        'a.yaml:5:40: policies[0].actions[0].export: unknown key "prefx"',
        'a.yaml:5:58: policies[0].actions[0].export.format: tencent cannot export as "qcow"',
    ]


def test_a_wrong_action_does_not_hide_what_is_wrong_with_the_next_or_shift_its_place(tmp_path: Path) -> None:
    text = ONE + "      - copy: {regions: [a, B]}\n      - {}\n      - export: {bucket: Bad, quick: true}\n"

    assert brief(written(tmp_path, a=text)) == [
        'a.yaml:6:29: policies[0].actions[1].copy.regions[1]: "B" is no region id',
        "a.yaml:7:9: policies[0].actions[2]: an action does one thing",
        'a.yaml:8:26: policies[0].actions[3].export.bucket: "Bad" cannot be the name of a bucket',
        "a.yaml:8:38: policies[0].actions[3].export.quick: tencent has no quick for an export",
    ]


def test_a_policy_without_a_name_does_not_hide_what_is_wrong_with_the_others(tmp_path: Path) -> None:
    text = ONE + "  - match: {cloud: huawei}\n    actions: [{copy: {regions: r}}]\n"

    assert brief(written(tmp_path, a=text)) == [
        'a.yaml:6:5: policies[1]: the key "name" is missing',
        "a.yaml:7:16: policies[1].actions[0].copy.agency: huawei wants agency for every copy",
    ]


def test_a_required_option_with_a_wrong_value_is_not_called_missing_too(tmp_path: Path) -> None:
    text = ONE.replace("tencent", "jdcloud").replace('region}"', 'region}", role: 5')

    assert wrong(written(tmp_path, a=text)) == [
        'a.yaml:5:52: policies[0].actions[0].export.role is 5; expected a text; write it in quotes: "5"'
    ]


def test_a_key_that_is_there_twice_is_told_with_the_rest(tmp_path: Path) -> None:
    text = ONE.replace("os: linux", "os: linux, os: Linux, nam: x")

    assert len(wrong(written(tmp_path, a=text))) == 2


# --- names ---


def test_a_name_that_is_taken_in_the_same_file_is_a_complaint(tmp_path: Path) -> None:
    text = ONE + ONE.removeprefix("policies:\n")

    assert wrong(written(tmp_path, a=text)) == [
        'a.yaml:6:11: the policy name "one" is taken by a.yaml:2:11; expected another name'
    ]


def test_a_name_that_is_taken_in_another_file_is_a_complaint(tmp_path: Path) -> None:
    assert wrong(written(tmp_path, a=ONE, b=ONE)) == [
        'b.yaml:2:11: the policy name "one" is taken by a.yaml:2:11; expected another name'
    ]


def test_a_name_that_is_taken_is_told_even_where_the_policy_has_other_errors(tmp_path: Path) -> None:
    folder = written(tmp_path, a=ONE, b=ONE.replace("linux", "Linux"))

    assert [complaint.split(": ")[0] for complaint in wrong(folder)] == ["b.yaml:2:11", "b.yaml:3:33"]


# --- the book ---


def test_a_book_begins_with_what_the_files_say(tmp_path: Path) -> None:
    book = PolicyBook(written(tmp_path, a=ONE), FACTS)

    assert (book.current.names, book.complaints) == (("one",), ())


def test_a_book_cannot_begin_with_a_wrong_file(tmp_path: Path) -> None:
    with pytest.raises(BadFile):
        PolicyBook(written(tmp_path, a="policies: []"), FACTS)


def test_a_reload_takes_the_whole_new_set(tmp_path: Path) -> None:
    book = PolicyBook(written(tmp_path, a=ONE), FACTS)
    written(tmp_path, a=TWO, b=ONE)

    assert book.reload() == ()
    assert book.current.names == ("two", "one")


def test_a_reload_of_a_wrong_file_keeps_the_whole_old_set_and_says_why(tmp_path: Path) -> None:
    book = PolicyBook(written(tmp_path, a=ONE), FACTS)
    before = book.current
    written(tmp_path, a=TWO, b="policies: []")

    complaints = book.reload()

    assert [complaint.message for complaint in complaints] == [
        "policies: a file without policies; expected at least one under policies"
    ]
    assert (book.current, book.complaints) == (before, complaints)


def test_a_reload_of_files_put_right_forgets_the_complaints(tmp_path: Path) -> None:
    book = PolicyBook(written(tmp_path, a=ONE), FACTS)
    written(tmp_path, a="policies: []")
    book.reload()
    written(tmp_path, a=TWO)

    assert (book.reload(), book.complaints, book.current.names) == ((), (), ("two",))


# --- the library that is shipped ---

LIBRARY = sorted(file for file in EXAMPLES.glob("*.yaml") if not file.name.endswith(".test.yaml"))


@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: file.stem)
def test_every_policy_file_is_valid_alone_and_says_in_one_line_what_it_does(file: Path) -> None:
    editors, people = file.read_text().splitlines()[:2]

    assert load(file, FACTS).names
    assert editors == "# yaml-language-server: $schema=../docs/schema/policies.json"
    assert people.startswith("# ")


@pytest.mark.parametrize("file", LIBRARY, ids=lambda file: file.stem)
def test_every_policy_file_has_tests_that_pass_and_leave_no_gap(file: Path) -> None:
    result = invoke("test", file, "--fail-under", "100")

    assert (result.exit_code, "coverage: 100%" in result.stdout) == (0, True), result.output


def test_the_library_is_valid_as_one_set_and_its_tests_pass_there() -> None:
    result = invoke("test", EXAMPLES, "--fail-under", "100")

    assert (result.exit_code, "failed: 0" in result.stdout) == (0, True), result.output


def test_the_library_has_a_policy_for_every_cloud_and_for_every_action() -> None:
    specs = [one.spec for one in read_all(EXAMPLES, FACTS)]

    assert {cloud for spec in specs for cloud in spec.match.cloud or ()} == set(FACTS)
    assert {next(iter(action.model_fields_set)) for spec in specs for action in spec.actions} == {"export", "copy_"}


def test_the_page_of_the_library_lists_every_policy_with_its_description() -> None:
    page = (EXAMPLES / "README.md").read_text()
    rows = re.findall(r"^\| (?:\[(.+?)\]\(\1\))? ?\| `(.+?)` \| (.+) \|$", page, re.MULTILINE)
    files = list(accumulate((file for file, _, _ in rows), lambda above, file: file or above))

    shown = [(file, name, text) for file, (_, name, text) in zip(files, rows, strict=True)]
    written = [(Path(one.document.name).name, one.spec.name, one.spec.description) for one in read_all(EXAMPLES, FACTS)]
    assert shown == written
