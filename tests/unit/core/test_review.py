from __future__ import annotations

from typing import Any

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.core.review import Draft, Flaw, review
from imageferry.core.spec import ActionSpec
from support.policies import policy


def flaws(action: dict[str, Any], cloud: str | list[str] | None = None, name: str = "p") -> list[Flaw]:
    match = {"region": "*"} if cloud is None else {"cloud": cloud}
    return list(review(Draft.whole(policy(name, action, match=match)), FACTS))


def export(**options: Any) -> dict[str, Any]:
    return {"export": {"bucket": "archive-{region}"} | options}


def copy(**options: Any) -> dict[str, Any]:
    return {"copy": {"regions": ["cn-east-2"]} | options}


LONG = "n" * 52
SOUND = [
    ("tencent", export(format="qcow2", prefix="a.{date}-{image.name}", role="r", disks="system")),
    ("aliyun", export(format="vhd", prefix="abc", role="AliyunECSImageExportDefaultRole")),
    ("huawei", export(quick=True, prefix="a/{date}")),
    ("huawei", copy(agency="a", project="p", name="{image.name}")),
    ("jdcloud", export(role="r", disks="all", prefix="p")),
    ("jdcloud", copy(name="dr-{image.name}")),
    (None, export(role="r", quick=True)),
    (["tencent", "aliyun"], export(format="raw", prefix="p")),
]


@pytest.mark.parametrize(("cloud", "action"), SOUND)
def test_what_every_named_cloud_takes_has_no_flaw(cloud: str | list[str] | None, action: dict[str, Any]) -> None:
    assert flaws(action, cloud) == []


@pytest.mark.parametrize(
    ("cloud", "action", "option", "message"),
    [
        (
            "tencent",
            export(format="qcow"),
            "format",
            'tencent cannot export as "qcow"; expected raw, qcow2, vhd, vmdk; did you mean qcow2?',
        ),
        (
            "tencent",
            export(quick=True),
            "quick",
            "tencent has no quick for an export; expected disks, format, prefix, role",
        ),
        ("huawei", export(role="r"), "role", "huawei has no role for an export; expected format, prefix, quick"),
        ("jdcloud", export(), "role", "jdcloud wants role for every export; expected it to be written"),
        (
            "tencent",
            export(prefix="a/b"),
            "prefix",
            'tencent does not take the prefix "a/b"; expected it to fit [A-Za-z0-9._-]{1,64} with 12 more letters',
        ),
        (
            "tencent",
            export(prefix=LONG),
            "prefix",
            f'prefix "{LONG}" leaves no room for what makes a job unique; expected at most 51 characters on tencent',
        ),
        (
            "aliyun",
            export(prefix="x{region}"),
            "prefix",
            (
                'aliyun does not take the prefix "xr-1"; expected it to fit [A-Za-z0-9]{1,30} with 12 more letters; '
                '"x{region}" becomes this at best'
            ),
        ),
        (
            "huawei",
            export(quick=True, format="qcow2"),
            "format",
            "a quick export has a format of its own; expected either quick: true or format",
        ),
    ],
)
def test_an_export_option_that_the_named_cloud_does_not_take(
    cloud: str, action: dict[str, Any], option: str, message: str
) -> None:
    assert flaws(action, cloud) == [Flaw(("actions", 0, "export", option), message)]


@pytest.mark.parametrize(
    ("cloud", "action", "option", "message"),
    [
        ("tencent", copy(agency="a"), "agency", "tencent has no agency for a copy; expected name"),
        ("huawei", copy(), "agency", "huawei wants agency for every copy; expected it to be written"),
        (
            "jdcloud",
            copy(name="n" * 20),
            "name",
            "the name is too long for what makes a job unique; expected at most 19 characters on jdcloud",
        ),
        (
            "jdcloud",
            copy(name="a b"),
            "name",
            r'jdcloud does not take the name "a b"; expected it to fit [A-Za-z0-9\u3400-\u9fff_.-]{1,32}',
        ),
    ],
)
def test_a_copy_option_that_the_named_cloud_does_not_take(
    cloud: str, action: dict[str, Any], option: str, message: str
) -> None:
    assert flaws(action, cloud) == [Flaw(("actions", 0, "copy", option), message)]


def test_a_policy_for_several_clouds_is_checked_against_each() -> None:
    found = flaws(export(format="zvhd"), ["tencent", "huawei", "aliyun"])

    assert [flaw.message.split()[0] for flaw in found] == ["tencent", "aliyun"]


def test_a_policy_for_any_cloud_is_wrong_where_no_cloud_takes_it() -> None:
    (flaw,) = flaws(export(format="ova"))

    assert flaw.loc == ("actions", 0, "export", "format")
    assert flaw.message.startswith('no cloud takes this; tencent cannot export as "ova"')


@pytest.mark.parametrize("action", [export(format="zvhd"), export(), copy(agency="a"), copy()])
def test_a_policy_for_any_cloud_is_fine_where_one_cloud_takes_it(action: dict[str, Any]) -> None:
    assert flaws(action) == []


@pytest.mark.parametrize("bucket", ["Archive", "a_b", "ab", "x" * 64, "b/{region}", "-{region}", "{policy}"])
def test_a_bucket_that_no_cloud_can_have(bucket: str) -> None:
    reason = f'"{bucket}" cannot be the name of a bucket; expected 3 to 63 lower-case letters, digits, dots or hyphens'

    assert flaws(export(bucket=bucket), name="My Policy") == [Flaw(("actions", 0, "export", "bucket"), reason)]


def test_a_wrong_bucket_of_a_map_is_pointed_at() -> None:
    (flaw,) = flaws(export(bucket={"cn-east-2": "good", "cn-north-1": "Bad"}))

    assert flaw.loc == ("actions", 0, "export", "bucket", "cn-north-1")


def test_a_match_that_no_cloud_fits_is_a_flaw() -> None:
    spec = policy(match={"cloud": "tencent", "not": {"cloud": "t*"}})

    assert list(review(Draft.whole(spec), FACTS)) == [
        Flaw(("match",), "no cloud fits all of this; expected matchers that can hold together")
    ]


def test_a_bucket_that_is_named_twice_would_never_be_written_as_the_second_says() -> None:
    spec = policy("p", export(), export(format="qcow2"))

    assert list(review(Draft.whole(spec), FACTS)) == [
        Flaw(
            ("actions", 1, "export", "bucket"),
            '"archive-{region}" is a destination of actions[0] already; expected each destination once in a policy',
        )
    ]


def test_a_region_that_is_named_twice_is_a_flaw_in_one_list_and_over_two() -> None:
    spec = policy("p", copy(regions=["a", "b", "a"]), copy(regions="b"))

    assert [flaw.loc for flaw in review(Draft.whole(spec), FACTS)] == [
        ("actions", 0, "copy", "regions", 2),
        ("actions", 1, "copy", "regions", 0),
    ]


def test_the_same_bucket_for_two_regions_is_no_repetition() -> None:
    assert flaws(export(bucket={"cn-east-2": "one", "cn-north-1": "one"})) == []


def test_a_draft_without_a_match_is_checked_against_all_clouds() -> None:
    action = ActionSpec.model_validate(export(format="ova"))

    (flaw,) = review(Draft("p", None, ((3, action),)), FACTS)

    assert flaw.loc == ("actions", 3, "export", "format")
