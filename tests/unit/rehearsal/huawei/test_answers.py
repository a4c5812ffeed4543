import pytest

from imageferry.rehearsal.connection import Dropped, Hung
from imageferry.rehearsal.huawei_answers import befallen, status_for
from imageferry.rehearsal.huawei_options import HuaweiOptions
from imageferry.rehearsal.misbehaviour import Misbehaviour


@pytest.mark.parametrize(("fault", "kind"), [("hang", Hung), ("drop", Dropped)])
def test_a_connection_that_hangs_or_drops_is_written_down_with_its_work(fault: str, kind: type) -> None:
    written, response = befallen(Misbehaviour(fault=fault, work="late"))  # type: ignore[arg-type] # parametrized
    assert (written, type(response)) == (f"{fault}, work late", kind)


@pytest.mark.parametrize(
    ("code", "status"),
    [("IMG.0009", 400), ("IMG.9999", 400), ("IAM.0061", 401), ("IAM.0083", 403), ("IAM.0011", 400), ("Strange", 500)],
)
def test_a_code_has_the_status_of_its_family(code: str, status: int) -> None:
    assert status_for(code, HuaweiOptions()) == status


def test_a_status_may_be_set() -> None:
    assert status_for("IMG.0026", HuaweiOptions(http_statuses={"IMG.0026": 403})) == 403
