"""What a caller may send: read as JSON has it, and bounded by what is behind."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from pydantic import Field, TypeAdapter, ValidationError

from ml_shared.contracts.base import RequestModel, Url
from ml_shared.contracts.jobs import JobRequest, StageCallback
from ml_shared.contracts.values import (
    DECIMAL_DIGITS,
    METADATA_MAX_DEPTH,
    Choice,
    IdempotencyKey,
    Metadata,
    PeerTimestamp,
    Timestamp,
    uuid_of,
)
from ml_shared.names import Stage

TIME: TypeAdapter[datetime] = TypeAdapter(Timestamp)
METADATA: TypeAdapter[dict[str, Any]] = TypeAdapter(Metadata)
DECIMAL: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(ge=-10, le=10**12), DECIMAL_DIGITS])


class Order(RequestModel):
    """One field of each kind."""

    integer: int | None = None
    number: float | None = None
    flag: bool | None = None
    text: Annotated[str, Field(max_length=10)] | None = None
    time: Timestamp | None = None
    stage: Choice[Stage] | None = None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("integer", [True, "5", 5.5, 5.0, [5]]),
        ("number", [True, "5", "nan", float("nan"), float("inf"), -float("inf")]),
        ("flag", ["true", 1, 0, "no"]),
        ("text", [5, True, b"x", ["x"], "\ud800"]),
        ("time", [0.5, 5, True, "5", "2026-01-01", datetime(2026, 1, 1)]),  # noqa: DTZ001 - which is why
        ("stage", [5, True, "reading", ["scraping"]]),
    ],
)
def test_a_field_takes_nothing_that_is_of_another_kind(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(ValidationError) as refused:
            Order.model_validate({name: value})
        assert refused.value.errors()[0]["loc"] == (name,)


def test_texts_are_read_as_times_and_as_names_and_integers_as_numbers() -> None:
    order = Order.model_validate({"time": "2026-01-01T00:00:00Z", "stage": "scraping", "number": 5})
    assert (order.time, order.stage, order.number) == (datetime(2026, 1, 1, tzinfo=UTC), Stage.SCRAPING, 5.0)


def test_what_a_service_makes_is_read_back_as_it_was() -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    order = Order(time=at, stage=Stage.CHUNKING, number=0.5, integer=1, flag=True, text="t")
    assert order.time == at
    assert Order.model_validate(order.model_dump(mode="json")) == order
    assert Order.model_validate_json(order.model_dump_json()) == order


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "2026-01-31t12:00:00.123456789z",
        "2026-01-31 12:00:00+01:00",
        "2026-01-31T12:00:00-00:00",
    ],
)
def test_a_time_is_as_rfc_3339_has_it_and_comes_out_in_utc(text: str) -> None:
    assert TIME.validate_python(text).tzinfo is UTC


def test_the_ends_of_time_are_no_infinities_to_postgresql() -> None:
    assert TIME.validate_python("0001-01-01T00:00:00Z") > datetime.min.replace(tzinfo=UTC)
    assert TIME.validate_python("9999-12-31T23:59:59.999999Z") < datetime.max.replace(tzinfo=UTC)
    stored: datetime = TypeAdapter(PeerTimestamp).validate_python(datetime.min)  # noqa: DTZ901
    assert stored.utcoffset() == timedelta(0), "one that an earlier version stored can be shown"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "2026-01-01T00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "1767225600",
    ],
)
def test_a_time_that_is_none_or_that_nothing_behind_holds_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        TIME.validate_python(text)


@pytest.mark.parametrize("text", ["0", "5", "-5", "1000000000000"])
def test_an_integer_of_a_query_is_decimal_digits(text: str) -> None:
    assert DECIMAL.validate_python(text) == int(text)


@pytest.mark.parametrize(
    "text", ["", " 5", "5 ", "+5", "05", "-0", "5.0", "5e0", "1_000", "٥", "0x5", "true", "9" * 5_000]
)
def test_an_integer_of_a_query_is_nothing_else(text: str) -> None:
    with pytest.raises(ValidationError):
        DECIMAL.validate_python(text)


def _nested(levels: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return dict(value)


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"a": [1, -1.5, None, True, "text", {"b": []}]},
        {"most": 2**64 - 1, "least": -(2**63)},
        {"backslash": "\\u0000", "pair": "\U0001f600"},
        _nested(METADATA_MAX_DEPTH),
    ],
)
def test_metadata_is_the_callers_own_json(metadata: dict[str, Any]) -> None:
    assert METADATA.validate_python(metadata) == metadata


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"a": float("nan")}, "NaN"),
        ({"a": [{"b": float("inf")}]}, "NaN or an infinity"),
        ({"a": 2**64}, "64 bits"),
        ({"a": [-(2**63) - 1]}, "64 bits"),
        ({"a": 10**5_000}, "64 bits"),
        ({"a": "nul\0"}, "NUL"),
        ({"nul\0": 1}, "NUL"),
        ({"a": {"deep\0": 1}}, "NUL"),
        ({"a": "\ud800"}, "surrogate"),
        ({"\udc00": 1}, "surrogate"),
        (_nested(METADATA_MAX_DEPTH + 1), "nested deeper"),
        (_nested(900), "nested deeper"),
        ({str(number): 1 for number in range(65)}, "65 keys"),
        ({"a": "x" * 16_384}, "bytes as JSON"),
        ({"a": [1e308] * 60}, "bytes as JSON"),  # 300 bytes each once PostgreSQL writes them
        ({"a": [5e-324] * 60}, "bytes as JSON"),
        ({"a": {1, 2}}, "not JSON"),
        ({1: 1}, "string"),
    ],
)
def test_metadata_that_would_not_come_back_as_it_went_is_refused(metadata: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        METADATA.validate_python(metadata)


@pytest.mark.parametrize("key", ["once", "a b", "~" * 255])
def test_an_idempotency_key_is_printable_ascii(key: str) -> None:
    assert TypeAdapter(IdempotencyKey).validate_python(key) == key


@pytest.mark.parametrize("key", ["", "a" * 256, "é", "\x01", "a\n", "\x7f", "a\0"])
def test_an_idempotency_key_is_nothing_else(key: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(IdempotencyKey).validate_python(key)


def test_a_uuid_has_one_spelling_but_for_dashes_and_case() -> None:
    spelled = "0E1CA3C6-5A1B-4B5E-8B53-9A4A3C1B2D4F"
    assert uuid_of(spelled) == uuid_of(spelled.lower().replace("-", "")) is not None
    for other in (
        f"{{{spelled}}}",
        f"urn:uuid:{spelled}",
        "1_2" + "0" * 29,
        "٥" * 32,
        "",
        "x",
        spelled + "\n",
        "0" * 10_000,
    ):
        assert uuid_of(other) is None


@pytest.mark.parametrize(
    "url", ["http://a/\ud800", "ftp://a/\ud800", "http://\ud800/", "http://a/\0", "http://a/" + "b" * 2_048]
)
def test_a_url_that_can_not_be_kept_is_refused_whatever_its_scheme(url: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Url).validate_python(url)


def test_a_report_is_not_lost_over_a_character_that_can_not_be_stored() -> None:
    report = {"attempt_id": "a", "stage": "scraping", "status": "failed", "error_message": "half \ud800, nul \0"}
    assert StageCallback.model_validate(report).error_message == "half \ufffd, nul \ufffd"
    with pytest.raises(ValidationError):
        StageCallback.model_validate(report | {"stats": {"document": {"title": "nul \0"}}})


def test_metadata_is_checked_wherever_it_stands() -> None:
    with pytest.raises(ValidationError, match="NaN"):
        JobRequest(url="http://a/", metadata={"a": [float("nan")]})
