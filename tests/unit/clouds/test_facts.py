"""What each cloud never does, by its reference, and what its words and rules allow."""

import re
from typing import Any, get_args

import pytest

from imageferry.clouds.facts import FACTS
from imageferry.clouds.preflight import EXPORT, Rule, judge
from imageferry.core.facts import LANE_KINDS, KindLimit
from imageferry.core.image import CLOUD_NAMES, Image, ImageState, OsFamily, Place, Visibility
from imageferry.core.job import ACTION_KINDS, UNIQUE_LENGTH

UNIQUE = "abcdefghij27"
REGIONS = {"tencent": "ap-guangzhou", "aliyun": "cn-hangzhou", "huawei": "cn-north-1", "jdcloud": "cn-north-1"}


def image(cloud: str, **facts: Any) -> Image:
    """An image that every cloud exports and copies, but for these facts."""
    known: dict[str, Any] = {
        "name": "web-1",
        "os": "linux",
        "os_name": "Debian 12",
        "arch": "x86_64",
        "size_gib": 40,
        "state": "ready",
        "visibility": "private",
        "encrypted": False,
        "tags": {},
        "is_copy": False,
    }
    return Image(place=Place(cloud, "prod", REGIONS[cloud]), id="img-1", **(known | facts))


def refused(cloud: str, action: str, *, options: dict[str, Any] | None = None, to: str = "far-9", **facts: Any) -> str:
    """The reason for which the cloud never does this, or nothing."""
    destination = "bucket" if action == "export" else to
    found = FACTS[cloud].preflight(image(cloud, **facts), action, destination, options or {})  # type: ignore[arg-type]
    return found.reason if found else ""


# --- what they never do --------------------------------------------------------------------------------------------

NEVER: list[tuple[str, str, dict[str, Any], str]] = [
    ("tencent", "export", {"os": "windows"}, "never exports Windows images"),
    ("tencent", "export", {"encrypted": True}, "never exports encrypted images"),
    ("tencent", "export", {"visibility": "public"}, "never exports public images"),
    ("tencent", "export", {"visibility": "shared"}, "never exports images that others shared"),
    ("tencent", "export", {"visibility": "market"}, "never exports marketplace images"),
    ("tencent", "export", {"os_name": "Red Hat Enterprise Linux 8"}, "never exports Red Hat images"),
    ("tencent", "export", {"os_name": "RedHat 7.9 64位"}, "never exports Red Hat images"),
    ("tencent", "copy", {"encrypted": True}, "never copies encrypted images"),
    ("tencent", "copy", {"visibility": "shared"}, "only within its own region"),
    ("aliyun", "export", {"visibility": "public"}, "custom images only"),
    ("aliyun", "export", {"visibility": "shared"}, "own images only"),
    ("aliyun", "export", {"visibility": "market"}, "marketplace images"),
    ("aliyun", "export", {"extra": {"product_code": "cmjj1"}}, "made from a marketplace image"),
    ("aliyun", "export", {"os": "windows"}, "hold Windows"),
    ("aliyun", "export", {"encrypted": True}, "never exports encrypted images"),
    ("aliyun", "export", {"extra": {"data_disks_gib": [1] * 5}}, "more than 4 data disks"),
    ("aliyun", "export", {"extra": {"data_disks_gib": [20, 501]}}, "data disk over 500 GiB"),
    ("aliyun", "copy", {"visibility": "public"}, "custom images only"),
    ("aliyun", "copy", {"visibility": "shared"}, "only within its own region"),
    ("aliyun", "copy", {"visibility": "market"}, "marketplace images"),
    ("aliyun", "copy", {"extra": {"product_code": "cmjj1"}}, "made from a marketplace image"),
    *[("huawei", kind, {"visibility": "public"}, "public images") for kind in ACTION_KINDS],
    *[("huawei", kind, {"visibility": "market"}, "marketplace images") for kind in ACTION_KINDS],
    *[("huawei", kind, {"visibility": "shared"}, "images that others shared") for kind in ACTION_KINDS],
    *[("huawei", kind, {"extra": {"kind": "iso"}}, "ISO images") for kind in ACTION_KINDS],
    *[("huawei", kind, {"extra": {"whole_image": True}}, "full-ECS images") for kind in ACTION_KINDS],
    *[("huawei", kind, {"state": "failed"}, "the image is failed") for kind in ACTION_KINDS],
    *[("huawei", kind, {"state": "gone"}, "the image is gone") for kind in ACTION_KINDS],
    ("huawei", "export", {"extra": {"backup_id": "b-1"}}, "made from a backup"),
    ("huawei", "export", {"extra": {"product_code": "p-1"}}, "made from a marketplace image"),
    ("huawei", "export", {"size_gib": 1024}, "1 TiB or more; this one has 1024 GiB"),
    ("huawei", "export", {"encrypted": True, "size_gib": 129}, "takes no encrypted image; this one has 129 GiB"),
    ("huawei", "export", {"encrypted": True, "options": {"quick": True}}, "no quick export of encrypted images"),
    ("huawei", "copy", {"encrypted": True}, "never copies encrypted images"),
    ("huawei", "copy", {"size_gib": 129}, "129 GiB from cn-north-1 to far-9"),
    ("huawei", "copy", {"size_gib": 301, "to": "cn-east-3"}, "301 GiB from cn-north-1 to cn-east-3"),
    *[("jdcloud", kind, {"visibility": "public"}, "not public ones") for kind in ACTION_KINDS],
    *[("jdcloud", kind, {"visibility": "shared"}, "not those that others shared") for kind in ACTION_KINDS],
    *[("jdcloud", kind, {"visibility": "market"}, "not marketplace ones") for kind in ACTION_KINDS],
    *[("jdcloud", kind, {"extra": {"root_device": "localDisk"}}, "cloud system disk only") for kind in ACTION_KINDS],
    ("jdcloud", "export", {"os": "windows", "extra": {"imported": False}}, "Windows images that were not imported"),
    ("jdcloud", "copy", {"encrypted": True}, "encrypted snapshots"),
    ("jdcloud", "copy", {"to": "cn-north-1"}, "cn-north-1 is the image's own"),
]


@pytest.mark.parametrize(("cloud", "action", "facts", "reason"), NEVER)
def test_what_a_cloud_never_does_is_refused_with_its_reason(
    cloud: str, action: str, facts: dict[str, Any], reason: str
) -> None:
    assert reason in refused(cloud, action, **facts)


@pytest.mark.parametrize(("cloud", "action", "facts", "reason"), NEVER)
def test_a_reason_names_the_cloud(cloud: str, action: str, facts: dict[str, Any], reason: str) -> None:
    assert FACTS[cloud].title in refused(cloud, action, **facts), reason


@pytest.mark.parametrize("action", ACTION_KINDS)
@pytest.mark.parametrize("cloud", FACTS)
def test_an_ordinary_image_is_refused_nothing(cloud: str, action: str) -> None:
    assert refused(cloud, action) == ""


@pytest.mark.parametrize("action", ACTION_KINDS)
@pytest.mark.parametrize("cloud", FACTS)
def test_facts_that_are_not_known_refuse_nothing(cloud: str, action: str) -> None:
    unknown = Image(place=Place(cloud, "prod", REGIONS[cloud]), id="img-1")

    assert FACTS[cloud].preflight(unknown, action, "far-9", {}) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cloud", "action", "facts"),
    [
        ("tencent", "copy", {"os": "windows"}),
        ("tencent", "copy", {"os_name": "Red Hat Enterprise Linux 8"}),
        ("aliyun", "copy", {"os": "windows"}),
        ("aliyun", "copy", {"encrypted": True}),
        ("aliyun", "export", {"extra": {"product_code": "", "data_disks_gib": [500] * 4}}),
        ("aliyun", "export", {"options": {"role": "AliyunECSImageExportDefaultRole"}}),
        ("huawei", "export", {"os": "windows"}),
        ("huawei", "export", {"size_gib": 1023}),
        ("huawei", "export", {"encrypted": True, "size_gib": 128}),
        ("huawei", "export", {"options": {"quick": True}}),
        ("huawei", "export", {"extra": {"kind": "data", "whole_image": False, "backup_id": ""}}),
        ("huawei", "copy", {"size_gib": 128}),
        ("huawei", "copy", {"size_gib": 300, "to": "cn-east-3"}),
        ("huawei", "copy", {"extra": {"backup_id": "b-1"}}),
        ("jdcloud", "export", {"os": "windows"}),
        ("jdcloud", "export", {"os": "windows", "extra": {"imported": True}}),
        ("jdcloud", "export", {"encrypted": True}),
        ("jdcloud", "copy", {"os": "windows", "extra": {"imported": False}}),
        ("jdcloud", "copy", {"extra": {"root_device": "cloudDisk"}}),
    ],
)
def test_what_only_the_cloud_can_judge_is_left_to_it(cloud: str, action: str, facts: dict[str, Any]) -> None:
    assert refused(cloud, action, **facts) == ""


def test_a_refusal_for_the_images_sake_is_of_that_class() -> None:
    found = FACTS["tencent"].preflight(image("tencent", os="windows"), "export", "bucket", {})

    assert found is not None
    assert found.klass == "permanent_image"


def test_another_role_than_alibabas_own_is_the_configs_fault() -> None:
    found = FACTS["aliyun"].preflight(image("aliyun"), "export", "bucket", {"role": "MyRole"})

    assert found is not None
    assert (found.klass, "AliyunECSImageExportDefaultRole" in found.reason) == ("permanent_config", True)


def test_the_first_rule_that_forbids_gives_the_reason() -> None:
    preflight = judge(
        Rule(EXPORT, lambda _: None, "unknown"),
        Rule(EXPORT, lambda _: True, "no {image.name} to {destination}"),
        Rule(EXPORT, lambda _: True, "later"),
    )

    found = preflight(image("tencent"), "export", "there", {})

    assert found is not None
    assert found.reason == "no web-1 to there"
    assert preflight(image("tencent"), "copy", "there", {}) is None


@pytest.mark.parametrize("cloud", FACTS)
def test_every_combination_of_facts_gets_an_answer(cloud: str) -> None:
    for visibility in (None, *get_args(Visibility)):
        for family in (None, *get_args(OsFamily)):
            for state in (None, *get_args(ImageState)):
                for action in ACTION_KINDS:
                    reason = refused(cloud, action, visibility=visibility, os=family, state=state, size_gib=None)
                    assert "{" not in reason


# --- words and rules -----------------------------------------------------------------------------------------------


def test_every_cloud_is_there_under_its_own_name() -> None:
    assert tuple(FACTS) == CLOUD_NAMES
    assert [facts.name for facts in FACTS.values()] == list(FACTS)


@pytest.mark.parametrize(
    ("cloud", "words", "optional"),
    [
        ("tencent", ("secret_id", "secret_key"), ("token",)),
        ("aliyun", ("access_key_id", "access_key_secret"), ("security_token",)),
        ("huawei", ("ak", "sk"), ("security_token",)),
        ("jdcloud", ("access_key", "secret_key"), ("session_token",)),
    ],
)
def test_credentials_have_the_vendors_words(cloud: str, words: tuple[str, ...], optional: tuple[str, ...]) -> None:
    assert (FACTS[cloud].credential_words, FACTS[cloud].optional_credential_words) == (words, optional)


@pytest.mark.parametrize(
    ("cloud", "formats"),
    [
        ("tencent", ("raw", "qcow2", "vhd", "vmdk")),
        ("aliyun", ("raw", "vhd", "qcow2", "vmdk", "vdi")),
        ("huawei", ("qcow2", "vhd", "zvhd", "vmdk")),
        ("jdcloud", ()),
    ],
)
def test_formats_are_the_vendors_its_default_first(cloud: str, formats: tuple[str, ...]) -> None:
    assert FACTS[cloud].formats == formats


@pytest.mark.parametrize(
    ("cloud", "export", "copy"),
    [
        ("tencent", {"format", "prefix", "role", "disks"}, {"name"}),
        ("aliyun", {"format", "prefix", "role"}, {"name"}),
        ("huawei", {"format", "prefix", "quick"}, {"name", "agency", "project"}),
        ("jdcloud", {"prefix", "role", "disks"}, {"name"}),
    ],
)
def test_options_are_those_the_cloud_has(cloud: str, export: set[str], copy: set[str]) -> None:
    assert (FACTS[cloud].export_options, FACTS[cloud].copy_options) == (export, copy)


def test_what_a_cloud_requires_is_among_its_options() -> None:
    required = {cloud: facts.export_required | facts.copy_required for cloud, facts in FACTS.items()}

    assert required == {"tencent": set(), "aliyun": set(), "huawei": {"agency"}, "jdcloud": {"role"}}
    for facts in FACTS.values():
        assert facts.export_required <= facts.export_options
        assert facts.copy_required <= facts.copy_options


@pytest.mark.parametrize(
    ("cloud", "prefix", "fits"),
    [
        ("tencent", "prod", True),
        ("tencent", "Prod_1.x-y", True),
        ("tencent", "x" * 51, True),
        ("tencent", "x" * 52, False),
        ("tencent", "a/b", False),
        ("tencent", "生产", False),
        ("aliyun", "prod1", True),
        ("aliyun", "x" * 14, True),
        ("aliyun", "x" * 15, False),
        ("aliyun", "prod-1", False),
        ("aliyun", "a/b", False),
        ("huawei", "a/b_c.d-e", True),
        ("huawei", "/a", False),
        ("huawei", "a//b", False),
        ("huawei", "a b", False),
        ("huawei", "x" * 108, True),
        ("huawei", "x" * 109, False),
        ("jdcloud", "prod1", True),
        ("jdcloud", "x" * 20, True),
        ("jdcloud", "x" * 21, False),
        ("jdcloud", "prod_1", False),
    ],
)
def test_a_whole_prefix_keeps_the_vendors_rule_and_length(cloud: str, prefix: str, *, fits: bool) -> None:
    facts = FACTS[cloud]
    whole = prefix + facts.prefix_joint + UNIQUE

    assert (len(whole) <= facts.prefix_longest and bool(re.fullmatch(facts.prefix_pattern, whole))) is fits


@pytest.mark.parametrize("cloud", FACTS)
def test_the_unique_part_alone_is_a_prefix_everywhere(cloud: str) -> None:
    facts = FACTS[cloud]

    assert len(UNIQUE) == UNIQUE_LENGTH
    assert re.fullmatch(facts.prefix_pattern, UNIQUE)
    assert facts.prefix_longest > UNIQUE_LENGTH


@pytest.mark.parametrize("cloud", FACTS)
def test_the_longest_prefix_still_keeps_the_vendors_rule(cloud: str) -> None:
    assert re.fullmatch(FACTS[cloud].prefix_pattern, "x" * FACTS[cloud].prefix_longest)


@pytest.mark.parametrize(
    ("cloud", "name", "fits"),
    [
        ("tencent", "任意 name", True),
        ("aliyun", "web-1:2.x_y", True),
        ("aliyun", "镜像-1", True),
        ("aliyun", "1web", False),
        ("aliyun", "a", False),
        ("aliyun", "acs:web", False),
        ("aliyun", "aliyun-web", False),
        ("aliyun", "web-https://x", False),
        ("huawei", "web 1._-镜像", True),
        ("huawei", " web", False),
        ("huawei", "web ", False),
        ("huawei", "a", True),
        ("huawei", "web/1", False),
        ("jdcloud", "web_1.x-镜像", True),
        ("jdcloud", "web 1", False),
        ("jdcloud", "x" * 33, False),
    ],
)
def test_a_copys_name_keeps_the_vendors_rule(cloud: str, name: str, *, fits: bool) -> None:
    assert bool(re.fullmatch(FACTS[cloud].name_pattern, name)) is fits


def test_names_have_the_vendors_longest_length() -> None:
    assert {cloud: facts.name_longest for cloud, facts in FACTS.items()} == {
        "tencent": 60,
        "aliyun": 128,
        "huawei": 128,
        "jdcloud": 32,
    }


def test_limits_are_those_of_the_references() -> None:
    assert FACTS["tencent"].limits == {"export": KindLimit(20.0), "copy": KindLimit(10.0), "read": KindLimit(40.0)}
    assert FACTS["aliyun"].limits["copy"].running == 5
    assert FACTS["huawei"].limits["copy"] == KindLimit(1.0, running=5, scope="account")


@pytest.mark.parametrize("cloud", ["huawei", "jdcloud"])
def test_a_budget_for_everything_together_is_not_exceeded(cloud: str) -> None:
    assert sum(limit.rate for limit in FACTS[cloud].limits.values()) <= 5.0


@pytest.mark.parametrize("cloud", FACTS)
def test_every_kind_of_lane_has_a_limit(cloud: str) -> None:
    assert set(FACTS[cloud].limits) == set(LANE_KINDS)


@pytest.mark.parametrize("cloud", FACTS)
def test_default_addresses_are_https_with_known_placeholders_only(cloud: str) -> None:
    facts = FACTS[cloud]
    for url in (facts.endpoint, facts.identity_endpoint, facts.storage_endpoint):
        assert url.startswith("https://")
        assert set(re.findall(r"\{(\w+)\}", url)) <= {"region", "bucket"}
    assert "{bucket}" in facts.storage_endpoint
    assert "{bucket}" not in facts.endpoint + facts.identity_endpoint
