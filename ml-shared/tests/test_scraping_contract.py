"""A page's result, between versions of the scraper and of the orchestrator."""

from typing import Any

import pytest
from pydantic import ValidationError

from ml_shared.contracts.scraping import Extraction, ExtractionWarning, ScrapeResult
from ml_shared.testing.stages import a_page


def test_a_result_of_a_version_that_did_not_tell_how_is_read() -> None:
    old = a_page("http://site.test/").model_dump(mode="json", exclude={"extraction"})
    assert ScrapeResult.model_validate(old).extraction is None


def test_a_warning_of_a_later_version_is_passed_over() -> None:
    told = {"method": "selection", "warnings": ["of_a_later_version", "little_text", "little_text", 7], "more": True}
    found = ScrapeResult.model_validate(a_page("http://site.test/").model_dump() | {"extraction": told}).extraction
    assert found == Extraction(method="selection", warnings=[ExtractionWarning.LITTLE_TEXT])


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "x" * 61},
        {"method": 5},
        {},
        {"method": "m", "kept_share": 1.01},
        {"method": "m", "kept_share": -0.1},
        {"method": "m", "kept_share": float("nan")},
        {"method": "m", "warnings": "little_text"},
        {"method": "m", "warnings": None},
    ],
)
def test_what_is_told_is_bounded(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Extraction.model_validate(wrong)
