"""The settings of every service: keys that are being changed, placeholders left in, values that are not what they should be."""

import hashlib
from typing import Any

import pytest
from pydantic import ValidationError

from ml_shared.settings import MAX_KEYS_OF_A_CALLER, ServiceSettings

OLD, NEW, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"old", b"new", b"other"))


def settings(**values: Any) -> ServiceSettings:
    return ServiceSettings(_env_file=None, **{"SERVICE_NAME": "scraper", "MEMBERSHIP_URL": "http://m"} | values)


def refusal(**values: Any) -> str:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    (error,) = refused.value.errors()
    assert [str(part) for part in error["loc"]] == list(values)
    assert not any(str(value) in str(refused.value) for value in values.values()), "the value is repeated"
    return error["msg"]


def test_a_caller_whose_key_is_being_changed_is_known_by_both() -> None:
    found = settings(INTERNAL_CALLER_IDS=f"scraper={OLD}, scraper={NEW},embedding={OTHER}")
    assert found.internal_callers == {OLD: "scraper", NEW: "scraper", OTHER: "embedding"}


def test_so_is_the_orchestrator() -> None:
    assert settings(ORCHESTRATOR_KEY_HASH=f"{OLD}, {NEW}").internal_callers == {
        OLD: "orchestrator",
        NEW: "orchestrator",
    }
    assert settings(ORCHESTRATOR_KEY_HASH="").internal_callers == {}


def test_the_keys_of_a_caller_are_few() -> None:
    many = [f"scraper={hashlib.sha256(bytes([number])).hexdigest()}" for number in range(MAX_KEYS_OF_A_CALLER + 1)]
    assert "two are enough" in refusal(INTERNAL_CALLER_IDS=",".join(many))


def test_two_services_with_one_key_are_refused() -> None:
    with pytest.raises(ValueError, match="scraper and embedding have the same key"):
        _ = settings(INTERNAL_CALLER_IDS=f"scraper={OLD},embedding={OLD}").internal_callers


@pytest.mark.parametrize("value", ["scraper", "=x", "scraper=", f"scraper:{OLD}"])
def test_a_list_of_callers_that_is_none_is_told_its_form(value: str) -> None:
    assert "name=value,name=value" in refusal(INTERNAL_CALLER_IDS=value)


@pytest.mark.parametrize("value", [OLD.upper(), OLD[1:], "the-key-itself"])
def test_what_is_no_hash_is_refused_without_being_repeated(value: str) -> None:
    assert "not a SHA-256" in refusal(INTERNAL_CALLER_IDS=f"scraper={value}")
    assert "not a SHA-256" in refusal(ORCHESTRATOR_KEY_HASH=f"{OLD},{value}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SERVICE_API_KEY", "<this-service-api-key>"),
        ("MEMBERSHIP_URL", "http://<membership-vm-ip>:8000"),
        ("REDIS_URL", "redis://:<password>@redis:6379/0"),
        ("ORCHESTRATOR_KEY_HASH", "<sha256-of-orchestrator-api-key>"),
    ],
)
def test_a_placeholder_that_was_left_in_is_refused_by_name(name: str, value: str) -> None:
    assert "placeholder" in refusal(**{name: value})


def test_a_tier_has_one_limit() -> None:
    assert settings(RATE_LIMIT_TIERS="default=10,gold=20").RATE_LIMIT_TIERS == {"default": 10, "gold": 20}
    assert "named twice" in refusal(RATE_LIMIT_TIERS="default=10,default=20")
