import pytest

from imageferry.rehearsal.options import REHEARSAL_KEY, AcceptedKey, RehearsalOptions, options_from_json


def test_json_and_defaults_make_options() -> None:
    read = options_from_json({"buckets": {"a-1": "ap-guangzhou"}, "exports_running": None, "rates": {"SyncImages": 3}})
    assert read == RehearsalOptions(buckets={"a-1": "ap-guangzhou"}, exports_running=None, rates={"SyncImages": 3})


def test_an_unknown_name_is_refused_by_that_name() -> None:
    with pytest.raises(ValueError, match="exports_runing"):
        options_from_json({"exports_runing": 3})


def test_a_complaint_names_the_place_and_never_quotes_the_value() -> None:
    with pytest.raises(ValueError, match=r"keys\.0\.secret_key") as caught:
        options_from_json({"keys": [{"secret_id": "AKID", "secret_key": ["hush-hush"]}]})
    assert "hush-hush" not in str(caught.value)


def test_a_repr_shows_no_secret_and_no_token() -> None:
    shown = repr(RehearsalOptions(keys=(AcceptedKey("AKID", "hush-hush", "psst-psst"),)))
    assert ("hush-hush" in shown, "psst-psst" in shown, "AKID" in shown) == (False, False, True)


def test_a_change_keeps_everything_else() -> None:
    before = RehearsalOptions(account_id="77", exports_running=2)
    assert before.changed({"exports_running": 9}) == RehearsalOptions(account_id="77", exports_running=9)


def test_changed_keys_are_read_from_json() -> None:
    after = RehearsalOptions().changed({"keys": [{"secret_id": "a", "secret_key": "b", "token": "c"}]})
    assert after.keys == (AcceptedKey("a", "b", "c"),)


@pytest.mark.parametrize(
    ("action", "rate"), [("ExportImages", 5), ("DescribeImages", 40), ("SyncImages", None), ("GetCallerIdentity", 20)]
)
def test_a_rate_is_the_given_one_else_the_vendors(action: str, rate: int | None) -> None:
    assert RehearsalOptions(rates={"ExportImages": 5, "SyncImages": None}).rate(action) == rate


def test_the_usual_key_is_no_vendor_key() -> None:
    assert "rehearsal" in REHEARSAL_KEY.secret_id
