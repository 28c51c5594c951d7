"""Cursors: opaque, and of one list with its filters."""

import base64
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import pytest
from pydantic import StringConstraints

from ml_shared.contracts.cursors import CURSOR_MAX_CHARACTERS, Cursors, InvalidCursorError
from ml_shared.contracts.values import Timestamp

JOBS: Cursors[tuple[datetime, UUID]] = Cursors("jobs", tuple[Timestamp, UUID])
NAMES: Cursors[str] = Cursors("names", Annotated[str, StringConstraints(max_length=2_048, pattern="^[ -~]+$")])
PLACE = (datetime(2026, 1, 1, 12, 0, 0, 1, tzinfo=UTC), UUID(int=5))
FILTERS = {"status": "queued", "corpus_name": None}


def test_a_cursor_gives_back_the_place_that_it_was_made_of() -> None:
    assert JOBS.read(JOBS.write(PLACE, FILTERS), FILTERS) == PLACE
    assert JOBS.read(JOBS.write(PLACE)) == PLACE


def test_there_is_none_on_the_first_page() -> None:
    assert JOBS.read(None, FILTERS) is None


def test_it_can_stand_in_a_query_as_it_is_and_fits_there() -> None:
    written = NAMES.write("é".encode().hex() * 512)
    assert written.replace("-", "").replace("_", "").isalnum()
    assert len(NAMES.write("u" * 2_048)) < CURSOR_MAX_CHARACTERS


def test_a_filter_that_is_absent_counts_as_none() -> None:
    assert JOBS.read(JOBS.write(PLACE, FILTERS), {"status": "queued"}) == PLACE


@pytest.mark.parametrize("filters", [None, {}, {"status": "failed"}, {**FILTERS, "corpus_name": "a"}])
def test_it_is_of_no_use_with_other_filters(filters: dict[str, str] | None) -> None:
    with pytest.raises(InvalidCursorError):
        JOBS.read(JOBS.write(PLACE, FILTERS), filters)


def test_it_is_of_no_use_for_another_list() -> None:
    others: Cursors[tuple[datetime, UUID]] = Cursors("batches", tuple[Timestamp, UUID])
    with pytest.raises(InvalidCursorError):
        others.read(JOBS.write(PLACE))


def test_one_that_was_cut_or_lengthened_or_edited_anywhere_is_refused() -> None:
    written = JOBS.write(PLACE)
    edited = [written[:end] for end in range(len(written))] + [written + more for more in ("A", "=", "\n", " ")]
    edited += [written[:at] + ("A" if written[at] != "A" else "B") + written[at + 1 :] for at in range(len(written))]
    for cursor in edited:
        with pytest.raises(InvalidCursorError) as refused:
            JOBS.read(cursor)
        assert (refused.value.code, refused.value.status) == ("invalid_cursor", 422)


@pytest.mark.parametrize(
    "place", [b'["0001-01-01T00:00:00+23:59","5"]', b'[5,"x"]', b"[" * 5_000, b"null", b"\xff", b"[NaN]", b""]
)
def test_one_whose_digest_was_computed_for_a_place_that_is_none_is_refused(place: bytes) -> None:
    forged = "1" + base64.urlsafe_b64encode(JOBS._digest(place, None) + place).decode().rstrip("=")
    with pytest.raises(InvalidCursorError):
        JOBS.read(forged)


@pytest.mark.parametrize("cursor", ["", "1", "x", "W10", "\ud800", "é", "\0", "1" * 10_000, "=" * 8, "1===="])
def test_what_was_never_one_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursorError):
        JOBS.read(cursor)
