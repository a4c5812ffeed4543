from __future__ import annotations

from typing import Any

from imageferry.core.image import Place
from imageferry.core.policy import PolicySet
from imageferry.core.spec import PolicyFile
from imageferry.core.targets import Target, targets

HERE = Place("tencent", "prod", "ap-guangzhou")


def told(*policies: dict[str, Any], place: Place = HERE) -> list[Target]:
    return targets(PolicySet(PolicyFile.model_validate({"policies": list(policies)}).policies), place)


def policy(*actions: dict[str, Any], name: str = "p", **match: Any) -> dict[str, Any]:
    return {"name": name, "match": {"cloud": "tencent", **match}, "actions": list(actions)}


def test_a_bucket_has_the_places_words_filled_in() -> None:
    export = {"export": {"bucket": "{policy}-{cloud}-{account}-{region}"}}
    assert told(policy(export)) == [Target("p", "export", "p-tencent-prod-ap-guangzhou")]


def test_a_bucket_that_an_image_names_stays_open() -> None:
    assert told(policy({"export": {"bucket": "of-{image.id}"}})) == [Target("p", "export", "of-{image.id}", open=True)]


def test_a_bucket_that_the_day_names_stays_open() -> None:
    assert told(policy({"export": {"bucket": "day-{date}"}})) == [Target("p", "export", "day-{date}", open=True)]


def test_a_map_gives_the_bucket_of_the_region() -> None:
    export = {"export": {"bucket": {"ap-guangzhou": "gz", "ap-shanghai": "sh"}}}
    assert told(policy(export)) == [Target("p", "export", "gz")]


def test_a_map_without_the_region_names_no_bucket() -> None:
    assert told(policy({"export": {"bucket": {"ap-shanghai": "sh"}}})) == []


def test_a_copy_goes_to_every_other_region() -> None:
    copy = {"copy": {"regions": ["ap-beijing", "ap-guangzhou"]}}
    assert told(policy(copy)) == [Target("p", "copy", "ap-beijing")]


def test_a_policy_that_cannot_match_at_the_place_wants_nothing() -> None:
    export = {"export": {"bucket": "b"}}
    assert told(policy(export, region="ap-shanghai"), policy(export, name="q", account="other")) == []


def test_the_same_wish_of_one_policy_is_told_once() -> None:
    export = {"export": {"bucket": "b"}}
    assert told(policy(export, export)) == [Target("p", "export", "b")]
