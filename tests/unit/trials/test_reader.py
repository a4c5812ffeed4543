from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from imageferry.core.account import Account
from imageferry.core.image import Image, Place
from imageferry.core.times import SECOND, parse_rfc3339
from imageferry.errors import BadFile
from imageferry.trials.reader import NOW, load
from imageferry.trials.spec import TOLD_BY
from support.beside import POLICY, Beside

WRONG = Path(__file__).parents[1] / "wrong_tests"
HERE = "image: {cloud: tencent, region: ap-guangzhou}"
NONE = "expect: {actions: []}"
EXPECTED = "expected a file, or a folder with at least one file *.yaml"
EVENT = "{cloud: tencent, account: prod, region: ap-guangzhou, image_id: img-00000001, image: {os: linux}}"


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


def account(name: str = "prod", cloud: str = "tencent", *regions: str) -> Account:
    urls = dict.fromkeys(("endpoint", "identity_endpoint", "storage_endpoint"), "http://x")
    return Account(name=name, cloud=cloud, regions=regions or ("ap-guangzhou", "ap-beijing"), limits={}, **urls)


# --- the image -----------------------------------------------------------------------------------------------------


def test_what_is_not_written_of_an_image_is_not_known_but_for_what_is_plain(beside: Beside) -> None:
    assert beside.one(f"{HERE}, {NONE}").image == Image(
        place=Place("tencent", "", "ap-guangzhou"), id="img-test", state="ready", visibility="private", is_copy=False
    )


def test_everything_that_is_written_of_an_image_is_taken(beside: Beside) -> None:
    trial = beside.one(
        "image: {cloud: huawei, account: prod, region: cn-north-4, id: i-1, name: a, os: other, os_name: BSD, "
        "arch: aarch64, size_gib: 40, state: pending, visibility: shared, encrypted: true, tags: {a: b}, "
        f"created_at: 2025-12-31T00:00:00Z, is_copy: true, extra: {{kind: iso}}}}, {NONE}"
    )

    assert trial.image == Image(
        place=Place("huawei", "prod", "cn-north-4"),
        id="i-1",
        name="a",
        os="other",
        os_name="BSD",
        arch="aarch64",
        size_gib=40,
        state="pending",
        visibility="shared",
        encrypted=True,
        tags={"a": "b"},
        created_at=parse_rfc3339("2025-12-31T00:00:00Z"),
        is_copy=True,
        extra={"kind": "iso"},
    )


def test_a_fact_that_is_null_is_not_known(beside: Beside) -> None:
    image = beside.one(f"image: {{cloud: tencent, region: r, visibility: null, is_copy: null}}, {NONE}").image

    assert (image.visibility, image.is_copy) == (None, None)


def test_an_age_counts_back_from_the_tests_own_time(beside: Beside) -> None:
    trial = beside.one(f"now: 2026-05-01T00:00:00Z, image: {{cloud: tencent, region: r, age: 90s}}, {NONE}")

    assert (trial.now, trial.image.created_at) == (parse_rfc3339("2026-05-01T00:00:00Z"), trial.now - 90 * SECOND)


def test_without_a_time_it_is_always_the_same(beside: Beside) -> None:
    assert beside.one(f"{HERE}, {NONE}").now == NOW


def test_defaults_hold_where_a_test_does_not_say_otherwise(beside: Beside) -> None:
    first, second = beside.suite("""\
        defaults:
          now: 2026-05-01T00:00:00Z
          policies: dr
          regions: ap-nanjing
          image: {cloud: tencent, region: ap-guangzhou, os: linux, name: a, age: 1d}
        tests:
          - {name: first, expect: {actions: []}}
          - name: second
            now: 2026-06-01T00:00:00Z
            policies: [archive]
            regions: [ap-beijing]
            image: {os: windows, created_at: 2026-05-30T00:00:00Z}
            expect: {actions: []}
    """).trials

    assert (first.asked, first.regions, first.image.os, first.image.name) == (("dr",), ("ap-nanjing",), "linux", "a")
    assert (second.asked, second.regions, second.image.os, second.image.name) == (
        ("archive",),
        ("ap-beijing",),
        "windows",
        "a",
    )
    assert second.image.created_at == parse_rfc3339("2026-05-30T00:00:00Z")


def test_all_policies_are_asked_in_file_order_unless_some_are_named(beside: Beside) -> None:
    assert beside.one(f"{HERE}, {NONE}").asked == ("archive", "dr")
    assert beside.one(f"policies: [dr, archive], {HERE}, {NONE}").asked == ("archive", "dr")


def test_what_only_a_cloud_tells_is_what_its_own_page_of_facts_lists() -> None:
    for cloud, names in TOLD_BY.items():
        told = import_module(f"imageferry.clouds.{cloud}.facts").__doc__ or ""
        assert [name for name in sorted(names) if f"``{name}``" not in told] == []


# --- events --------------------------------------------------------------------------------------------------------


def test_an_event_is_believed_where_no_image_is_given(beside: Beside) -> None:
    assert beside.one(f"event: {EVENT}, {NONE}").image == Image(
        place=Place("tencent", "prod", "ap-guangzhou"), id="img-00000001", os="linux", is_copy=False
    )


def test_of_an_event_beside_an_image_only_who_and_where_count(beside: Beside) -> None:
    image = beside.one(f"event: {EVENT}, image: {{name: a}}, {NONE}").image

    assert (image.id, image.place.account, image.name, image.os, image.visibility) == (
        "img-00000001",
        "prod",
        "a",
        None,
        "private",
    )


def test_the_image_of_the_defaults_does_not_stand_for_an_event(beside: Beside) -> None:
    [trial] = beside.suite(f"""\
        defaults: {{image: {{cloud: huawei, region: r, name: a}}}}
        tests: [{{name: one, event: {EVENT}, expect: {{actions: []}}}}]
    """).trials

    assert (trial.image.place.cloud, trial.image.name) == ("tencent", None)


def test_a_whole_cloudevent_is_an_event_too(beside: Beside) -> None:
    attributes = 'specversion: "1.0", id: a, source: /b, type: io.imageferry.image.ready'

    assert beside.one(f"event: {{{attributes}, data: {EVENT}}}, {NONE}").image.id == "img-00000001"


# --- accounts and regions ------------------------------------------------------------------------------------------


def test_without_a_config_every_region_that_a_policy_names_is_listed(beside: Beside) -> None:
    assert beside.one(f"{HERE}, {NONE}").regions == ("ap-guangzhou", "ap-beijing", "ap-shanghai")


def test_a_config_says_what_an_account_lists_and_names_a_clouds_only_one(beside: Beside) -> None:
    trial = beside.one(f"{HERE}, {NONE}", accounts=[account(), account("other", "huawei", "x")])

    assert (trial.image.place.account, trial.regions) == ("prod", ("ap-guangzhou", "ap-beijing"))


def test_what_a_test_says_of_the_regions_holds_over_the_config(beside: Beside) -> None:
    assert beside.one(f"regions: ap-nanjing, {HERE}, {NONE}", accounts=[account()]).regions == ("ap-nanjing",)


def test_a_place_that_the_config_does_not_have_is_a_complaint(beside: Beside) -> None:
    text = f"tests:\n  - {{name: one, {HERE}, {NONE}}}\n"

    assert beside.complaints(text, accounts=[account("prod", "tencent", "ap-beijing")]) == [
        "2:49: tests[0].image.region: region ap-guangzhou of account prod is not configured"
    ]


# --- which files ---------------------------------------------------------------------------------------------------

TEST = f"tests:\n  - {{name: one, {HERE}, {NONE}}}\n"


def test_of_a_folder_every_file_of_tests_is_read(beside: Beside) -> None:
    (beside.folder / "a.test.yaml").write_text(TEST)
    (beside.folder / ".b.test.yaml").write_text("{")

    assert [Path(trial.path).name for trial in beside.suite(TEST).trials] == ["a.test.yaml", "p.test.yaml"]


def test_of_a_policy_file_the_tests_are_those_of_its_name(beside: Beside) -> None:
    beside.write(TEST)
    (beside.folder / "q.yaml").write_text("{")
    (beside.folder / "q.test.yaml").write_text("{")

    suite = load(beside.folder / "p.yaml")

    assert ([one.spec.name for one in suite.policies], len(suite.trials)) == (["archive", "dr"], 1)


def test_a_file_of_tests_is_put_before_all_policies_beside_it(beside: Beside) -> None:
    beside.write(TEST)
    (beside.folder / "q.yaml").write_text(POLICY.replace("archive\n", "third\n").replace("dr\n", "fourth\n"))
    (beside.folder / "q.test.yaml").write_text("{")

    [trial] = load(beside.file).trials

    assert trial.asked == ("archive", "dr", "third", "fourth")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", ":1:1: no tests here; expected at least one file *.test.yaml beside the policies"),
        ("p.yaml", "p.yaml:1:1: no tests here; expected p.test.yaml beside it"),
        ("r.yaml", f"r.yaml:1:1: the policies cannot be read: No such file or directory; {EXPECTED}"),
        ("r" * 300, f"{'r' * 300}:1:1: the policies cannot be read: File name too long; {EXPECTED}"),
        ("r.test.yaml", "r.test.yaml:1:1: the file cannot be read: No such file or directory"),
    ],
)
def test_where_there_is_no_test_it_says_what_was_expected(beside: Beside, name: str, expected: str) -> None:
    with pytest.raises(BadFile) as caught:
        load(beside.folder / name if name else beside.folder)

    assert str(caught.value).replace(f"{beside.folder}/", "").replace(str(beside.folder), "") == expected


def test_what_is_wrong_with_policies_and_tests_comes_at_once(beside: Beside) -> None:
    (beside.folder / "p.yaml").write_text(POLICY.replace("linux", "linus"))

    complaints = beside.complaints(TEST.replace("region", "regoin").replace("actions", "action"))

    assert [complaint.split(":")[:2] for complaint in complaints] == [["3", "33"], ["2", "41"], ["2", "73"]]


def test_policies_that_cannot_be_read_do_not_make_their_names_wrong(beside: Beside) -> None:
    (beside.folder / "p.yaml").write_text("policies: []")

    complaints = beside.complaints(f"tests:\n  - {{name: a, {HERE}, expect: {{verdicts: {{dr: match}}}}}}\n")

    assert complaints == ["1:11: policies: a file without policies; expected at least one under policies"]


# --- what a wrong file is told -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.name.split(".")[0] for path in WRONG.glob("*.test.yaml")))
def test_a_wrong_file_is_told_what_is_wrong_and_where(beside: Beside, name: str) -> None:
    complaints = beside.complaints((WRONG / f"{name}.test.yaml").read_text())

    assert "".join(f"{line}\n" for line in complaints) == (WRONG / f"{name}.expected").read_text()


def test_every_expectation_has_its_file() -> None:
    names = {path.name.split(".")[0] for path in WRONG.iterdir()}

    assert {path.name for path in WRONG.iterdir()} == {
        f"{n}{end}" for n in names for end in (".test.yaml", ".expected")
    }
