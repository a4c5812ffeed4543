import pytest

from imageferry.rehearsal.huawei_options import HuaweiOptions, huawei_options, region_of


def test_options_are_read_as_json_has_them() -> None:
    options = huawei_options({"keys": [{"secret_id": "a", "secret_key": "b"}], "buckets": {"x": "cn-north-4"}})
    assert (options.keys[0].secret_id, options.buckets, options.copies_running) == ("a", {"x": "cn-north-4"}, 5)


def test_changes_keep_what_they_do_not_name() -> None:
    options = huawei_options({"account_id": "a1", "denied": {"ListImages": "IAM.0002"}}).changed({"copy_seconds": 9})
    assert (options.account_id, options.denied, options.copy_seconds) == ("a1", {"ListImages": "IAM.0002"}, 9)


def test_a_complaint_names_the_option_and_quotes_no_value() -> None:
    with pytest.raises(ValueError, match=r"keys\.0\.secret_key") as caught:
        huawei_options({"keys": [{"secret_id": "a", "secret_key": {"hidden": "value"}}], "colour": "red"})
    assert ("colour" in str(caught.value), "hidden" in str(caught.value)) == (True, False)


def test_every_region_has_a_main_project_of_its_own() -> None:
    options = HuaweiOptions()
    ids = [options.project_id(region) for region in options.regions]
    assert len(set(ids)) == len(options.regions)
    assert [options.project_name(each) for each in ids] == list(options.regions)


def test_projects_outside_the_regions_do_not_exist() -> None:
    options = huawei_options(
        {"regions": ["cn-north-4"], "projects": {"cn-east-3_x": "e" * 32, "cn-north-4_y": "n" * 32}}
    )
    assert options.project_names() == ["cn-north-4", "cn-north-4_y"]
    assert (options.project_name("e" * 32), options.project_name("n" * 32)) == ("", "cn-north-4_y")


@pytest.mark.parametrize(("name", "region"), [("cn-north-4", "cn-north-4"), ("cn-north-4_dev_a", "cn-north-4")])
def test_a_project_is_in_the_region_that_begins_its_name(name: str, region: str) -> None:
    assert region_of(name) == region


def test_no_secret_is_in_the_text_of_options() -> None:
    options = huawei_options({"users": [{"name": "ada", "password": "lovelace"}]})
    assert ("ada" in repr(options), "lovelace" in repr(options)) == (True, False)
