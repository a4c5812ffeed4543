import pytest

from imageferry.rehearsal.huawei_answers import status_for
from imageferry.rehearsal.huawei_options import HuaweiOptions


@pytest.mark.parametrize(
    ("code", "status"),
    [("IMG.0009", 400), ("IMG.9999", 400), ("IAM.0061", 401), ("IAM.0083", 403), ("IAM.0011", 400), ("Strange", 500)],
)
def test_a_code_has_the_status_of_its_family(code: str, status: int) -> None:
    assert status_for(code, HuaweiOptions()) == status


def test_a_status_may_be_set() -> None:
    assert status_for("IMG.0026", HuaweiOptions(http_statuses={"IMG.0026": 403})) == 403
