"""Values that a caller sends, each bounded where it comes in, so that nothing behind refuses one later.

A request's body is read as JSON has it: a number is a number, a text a text, `true` neither. Two things alone are read
from texts, because JSON has no kind for them: times (`Timestamp`) and names of a fixed set (`Choice`). A query is text
by nature: its numbers are decimal digits (`DECIMAL_DIGITS`).
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

import orjson
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, Strict, StringConstraints
from pydantic_core import PydanticCustomError

METADATA_MAX_BYTES: Final = 16_384
# it stands beside every search result
METADATA_MAX_KEYS: Final = 64
METADATA_MAX_DEPTH: Final = 32
# far from what orjson (254) and PostgreSQL's stack bear, and deeper than anyone filters by
STATS_MAX_BYTES: Final = 65_536
# counts, and what a page says of itself, its texts bounded each
MAX_INTEGER: Final = 2**64 - 1
MIN_INTEGER: Final = -(2**63)
# What orjson writes and reads back. A float up to here may come back from `jsonb` as an integer: 1e19 does.
MAX_COUNT: Final = 2**53 - 1
# what every reader of JSON holds exactly, those with floats alone too
EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + timedelta.resolution
LATEST: Final = datetime.max.replace(tzinfo=UTC) - timedelta.resolution
# the instants beyond are infinities to asyncpg, which gives them back without an offset
IDEMPOTENCY_KEY_MAX_CHARACTERS: Final = 255

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,12})?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_DECIMAL: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE | re.ASCII)

_Name = TypeVar("_Name", bound=StrEnum)


def storable(text: str) -> str:
    """Return a text that PostgreSQL stores: no NUL, no half of a surrogate pair. Same length, so that offsets hold."""
    return _UNSTORABLE.sub("\ufffd", text)


def uuid_of(text: str) -> UUID | None:
    """Return the UUID that a text spells, with dashes or without; `None` if it spells none.

    Python's own constructor also takes braces, underscores and digits of any script: one id would have many names.
    """
    return UUID(text) if _UUID.fullmatch(text) else None


def _read_time(value: object) -> object:
    if isinstance(value, str):
        value = _time_of(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        try:
            return min(max(value.astimezone(UTC), EARLIEST), LATEST)
        except OverflowError as error:
            raise ValueError("lies outside the years 1 to 9999 in UTC") from error
    return value


def _in_utc(value: object) -> object:
    # an infinity that an earlier version stored
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) and value.tzinfo is None else value


def _time_of(text: str) -> datetime:
    try:
        if _TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        pass  # the 30th of February
    raise ValueError("not a time as RFC 3339 has it, with its offset: 2026-01-31T12:00:00Z")


def _read_decimal(value: object) -> object:
    if isinstance(value, str):
        if not _DECIMAL.fullmatch(value):
            raise PydanticCustomError("int_parsing", "Input should be a whole number in decimal digits")
        return int(value)
    return value


def _replace_unstorable(value: object) -> object:
    return storable(value) if isinstance(value, str) else value


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a NUL character, which PostgreSQL does not store")
    return text


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(metadata) > METADATA_MAX_KEYS:
        raise ValueError(f"{len(metadata)} keys; {METADATA_MAX_KEYS} is the most")
    return _check_json(metadata, METADATA_MAX_BYTES)


def _check_stats(stats: dict[str, Any]) -> dict[str, Any]:
    return _check_json(stats, STATS_MAX_BYTES)


def _check_json(value: dict[str, Any], max_bytes: int) -> dict[str, Any]:
    """Refuse what can't be kept as `jsonb` and be read back the same; a bare `orjson.dumps` would make NaN a null."""
    more = sum(map(_check_scalar, _scalars(value)))
    try:
        size = len(orjson.dumps(value)) + more
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if size > max_bytes:
        raise ValueError(f"{size} bytes as JSON; {max_bytes} is the most")
    return value


def _scalars(value: Any) -> Iterator[Any]:
    """Yield every key, and every value that holds no others."""
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > METADATA_MAX_DEPTH:
            raise ValueError(f"nested deeper than {METADATA_MAX_DEPTH} levels")
        below = []
        for held in level:
            if isinstance(held, dict):
                yield from held
            for item in held.values() if isinstance(held, dict) else held:
                if isinstance(item, dict | list):
                    below.append(item)
                else:
                    yield item
        level = below


def _check_scalar(value: Any) -> int:
    """Check one value; return by how many bytes PostgreSQL writes it longer than JSON does, where that is many."""
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise ValueError("contains a NUL character, or half of a surrogate pair, which PostgreSQL does not store")
    elif isinstance(value, float):
        if value - value != 0.0:
            raise ValueError("contains a number that JSON does not have (NaN or an infinity)")
        written = repr(value)
        # `jsonb` writes every digit of 1e308: what is sent in six bytes would be read in 309
        return len(f"{Decimal(written):f}") if "e" in written else 0
    elif isinstance(value, int) and not MIN_INTEGER <= value <= MAX_INTEGER:
        raise ValueError("contains an integer beyond 64 bits; give it as a text")
    return 0


Timestamp = Annotated[AwareDatetime, Strict(), BeforeValidator(_read_time)]
"""A time in a request: RFC 3339, a text, with its offset; UTC from here on.

Between the years 1 and 9999 in UTC, which is Python's range and within PostgreSQL's. Not less: `0001-01-01T00:00:00Z`
and `9999-12-31T23:59:59Z` are what many clients write for "ever". The first microsecond and the last one are moved
inwards by one.
"""

PeerTimestamp = Annotated[AwareDatetime, BeforeValidator(_in_utc)]
"""A time in an answer: read as leniently as it may come, and never a reason not to show what is stored."""

Choice = Annotated[_Name, Strict(strict=False)]
"""One of the names of a `StrEnum`, from its text: `Choice[SearchMode]`. Nothing else is read as one."""

DECIMAL_DIGITS: Final = BeforeValidator(_read_decimal)
"""Marks an integer of a query, after its bounds: decimal digits, no sign but `-`, no blanks, no leading zeros."""

Count = Annotated[int, Field(ge=0, lt=2**31)]
"""As PostgreSQL's `integer` holds it."""

BigCount = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""As JSON holds it everywhere."""

Told = Annotated[str, BeforeValidator(_replace_unstorable)]
"""A text for people to read beside what matters: what can't be stored is replaced, since refusing it would lose that."""

OwnerName = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_check_text)]
"""Whose something is, as the orchestrator tells it."""

IdempotencyKey = Annotated[str, StringConstraints(pattern=rf"^[ -~]{{1,{IDEMPOTENCY_KEY_MAX_CHARACTERS}}}$")]
"""1 to 255 printable ASCII characters."""

Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]
"""The caller's own JSON object: at most 64 keys, 32 levels and 16 KiB, as PostgreSQL writes it; integers of 64 bits."""

Stats = Annotated[dict[str, Any], AfterValidator(_check_stats)]
"""What a stage counted: a JSON object of at most 64 KiB."""
