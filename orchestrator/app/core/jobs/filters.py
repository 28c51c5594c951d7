"""Which jobs of an owner are wanted: each filter is a condition of its own, so that an index serves it."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from ml_shared.contracts.jobs import JobStatus

INDEXED_URL_CHARACTERS: Final = 256
# of a URL, as `jobs_by_url` has it
_LAST_CHARACTER: Final = 0x10FFFF
_BEFORE_SURROGATES, _AFTER_SURROGATES = 0xD7FF, 0xE000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; `None` means any.

    Attributes
    ----------
    host
        As `ml_shared.web.urls.host_of` has it.
    url_prefix
        What their URLs, as submitted, begin with.
    """

    status: JobStatus | None = None
    corpus_name: str | None = None
    batch_id: UUID | None = None
    created_after: datetime | None = None
    host: str | None = None
    url_prefix: str | None = None
    error_code: str | None = None
    ended_after: datetime | None = None

    def given(self) -> dict[str, Any]:
        """Return what is asked for, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}


_CONDITIONS: Final = {
    "status": "status = {}",
    "corpus_name": "corpus_name = {}",
    "batch_id": "batch_id = {}",
    "created_after": "submitted_at > {}",
    "host": "host = {}",
    "error_code": "error_code = {}",
    "ended_after": "ended_at > {}",
}
_INDEXED_URL: Final = f'left(url, {INDEXED_URL_CHARACTERS}) COLLATE "C"'


def conditions(wanted: JobFilter, *, first: int) -> tuple[list[str], list[Any]]:
    """Return SQL's conditions of a filter, and their arguments, the first of which is the statement's `$first`."""
    texts: list[str] = []
    arguments: list[Any] = []

    def add(text: str, *values: Any) -> None:
        texts.append(text.format(*(f"${first + len(arguments) + number}" for number in range(len(values)))))
        arguments.extend(values)

    for name, value in wanted.given().items():
        if name != "url_prefix":
            add(_CONDITIONS[name], value)
            continue
        begun = value[:INDEXED_URL_CHARACTERS]
        add(f"{_INDEXED_URL} >= {{}}", begun)
        if (after := after_prefix(begun)) is not None:
            add(f"{_INDEXED_URL} < {{}}", after)
        add("starts_with(url, {})", value)
    return texts, arguments


def after_prefix(prefix: str) -> str | None:
    """Return the first text, in the order of code points, after all that begin with this one."""
    kept = prefix.rstrip(chr(_LAST_CHARACTER))
    if not kept:
        return None
    code = ord(kept[-1])
    return kept[:-1] + chr(_AFTER_SURROGATES if code == _BEFORE_SURROGATES else code + 1)
