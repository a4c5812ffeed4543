import pytest

from imageferry.rehearsal.aliyun_options import AliyunOptions, aliyun_options


def test_options_are_read_as_json_has_them() -> None:
    options = aliyun_options({"keys": [{"secret_id": "a", "secret_key": "b"}], "buckets": {"x": "cn-hangzhou"}})
    assert (options.keys[0].secret_id, options.buckets, options.copies_running) == ("a", {"x": "cn-hangzhou"}, 5)


def test_changes_keep_what_they_do_not_name() -> None:
    options = aliyun_options({"account_id": "1", "denied": {"CopyImage": "Forbidden.RAM"}}).changed({"copy_seconds": 9})
    assert (options.account_id, options.denied, options.copy_seconds) == ("1", {"CopyImage": "Forbidden.RAM"}, 9)


def test_a_complaint_names_the_option_and_quotes_no_value() -> None:
    with pytest.raises(ValueError, match=r"keys\.0\.secret_key") as caught:
        aliyun_options({"keys": [{"secret_id": "a", "secret_key": {"hidden": "value"}}], "colour": "red"})
    assert ("colour" in str(caught.value), "hidden" in str(caught.value)) == (True, False)


def test_an_action_has_the_rate_of_all_unless_it_has_one_of_its_own() -> None:
    options = AliyunOptions(requests_a_second=7, rates={"ExportImage": 1, "CopyImage": None})
    assert [options.rate(each) for each in ("DescribeTasks", "ExportImage", "CopyImage")] == [7, 1, None]
