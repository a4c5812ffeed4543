import math

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from imageferry.core.units import Duration, Rate, duration_text, parse_duration, parse_rate, rate_text


class Both(BaseModel):
    model_config = ConfigDict(strict=True)

    every: Duration
    rate: Rate = 1.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("12h", 43_200.0), ("7d", 604_800.0), ("1.5s", 1.5)],
)
def test_a_duration_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "per_second"), [("20/s", 20.0), ("300/m", 5.0), ("3600/h", 1.0), ("0.5/s", 0.5)])
def test_a_rate_is_read_as_requests_a_second(text: str, per_second: float) -> None:
    assert parse_rate(text) == pytest.approx(per_second)


@pytest.mark.parametrize(
    "wrong",
    ["", "30", "s", "30 s", "30S", "-5s", "1e3s", "5 m", "30sec", "٣s", "30s\n", None, True, [], {}, "9" * 400 + "s"],
)
def test_anything_else_is_no_duration(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; expected a number with its unit, such as 500ms"):
        parse_duration(wrong)


@pytest.mark.parametrize("wrong", ["", "20", "/s", "20/d", "20 /s", "20/S", "-1/s", "inf/s", None, False, []])
def test_anything_else_is_no_rate(wrong: object) -> None:
    with pytest.raises(ValueError, match="is not a rate; expected a number of requests with its time, such as 20/s"):
        parse_rate(wrong)


@pytest.mark.parametrize("zero", ["0s", "0.0d", "0ms"])
def test_a_duration_of_nothing_is_refused(zero: str) -> None:
    with pytest.raises(ValueError, match="is not more than zero"):
        parse_duration(zero)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r'"0/s" is not more than zero'):
        parse_rate("0/s")


def test_a_bare_number_is_told_its_likeliest_unit() -> None:
    with pytest.raises(ValueError, match=r'30 is not a duration; .*; did you mean "30s"\?'):
        parse_duration(30)
    with pytest.raises(ValueError, match=r'"20" is not a rate; .*; did you mean "20/s"\?'):
        parse_rate("20")


@pytest.mark.parametrize("text", ["500ms", "2s", "90s", "5m", "24h", "12h", "7d"])
def test_a_duration_is_written_as_it_is_read(text: str) -> None:
    assert duration_text(parse_duration(text)) == text


@pytest.mark.parametrize("text", ["20/s", "1/s", "30/m", "1/m"])
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    assert math.isclose(parse_rate(rate_text(parse_rate(text))), parse_rate(text))


def test_strict_models_take_them() -> None:
    assert Both.model_validate({"every": "5m", "rate": "20/s"}) == Both.model_construct(every=300.0, rate=20.0)


def test_strict_models_refuse_numbers() -> None:
    with pytest.raises(ValidationError, match="2 validation errors"):
        Both.model_validate({"every": 5, "rate": 20})


def test_the_schema_says_that_they_are_texts() -> None:
    properties = Both.model_json_schema()["properties"]

    assert (properties["every"]["type"], properties["rate"]["type"]) == ("string", "string")
