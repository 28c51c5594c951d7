"""`POST /content/reports`: several reports of a worker's in one call, with the content that belongs to them.

A body, of the request and of the answer, is one line of JSON and then the contents, one after the other: each entry says how
many bytes are its own.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import Field, TypeAdapter, model_validator

from ml_shared.contracts.base import Identifier, PeerModel, RequestModel
from ml_shared.contracts.jobs import ProgressReport, StageCallback

REPORTS_MAX: Final = 32
# in one call
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Report(RequestModel):
    """One of them: a sign of life, or how an attempt ended.

    Attributes
    ----------
    ref
        Of content that is to come with the answer to `started`.
    content_bytes, content_sha256
        Of content that the attempt made, and that comes along.
    traceparent
        What the report's trace goes on from: there is but one header.
    """

    job_id: Identifier
    progress: ProgressReport | None = None
    callback: StageCallback | None = None
    ref: Identifier | None = None
    content_bytes: Annotated[int, Field(ge=0)] | None = None
    content_sha256: Sha256 | None = None
    traceparent: Annotated[str, Field(max_length=64)] | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.progress is None) == (self.callback is None):
            raise ValueError("a report is a sign of life or tells of an end: `progress` or `callback`")
        if self.callback is None and self.content_bytes is not None:
            raise ValueError("what an attempt made comes with its end: `callback`")
        if self.progress is None and self.ref is not None:
            raise ValueError("what an attempt works on comes with its start: `progress`")
        return self


class ReportAnswer(PeerModel):
    """What the report's own route would have answered.

    Attributes
    ----------
    body
        Where that is JSON.
    content_bytes, content_sha256
        Of the content that it is otherwise.
    """

    status: int
    body: dict[str, Any] | None = None
    content_bytes: Annotated[int, Field(ge=0)] | None = None
    content_sha256: str | None = None


REPORTS: Final = TypeAdapter(Annotated[list[Report], Field(min_length=1, max_length=REPORTS_MAX)])
ANSWERS: Final = TypeAdapter(list[ReportAnswer])


def framed(entries: Iterable[RequestModel | PeerModel], contents: Iterable[bytes]) -> bytes:
    """Return a body: what is `None` of an entry is left out."""
    line = b",".join(entry.model_dump_json(exclude_none=True).encode() for entry in entries)
    return b"".join((b"[", line, b"]\n", *contents))


def unframed(body: bytes) -> tuple[bytes, bytes]:
    """Return a body's line, and the contents behind it."""
    line, _, contents = body.partition(b"\n")
    return line, contents


def contents_of(entries: Sequence[Report] | Sequence[ReportAnswer], contents: bytes) -> list[bytes | None]:
    """Return of each entry the content that is its own, `None` of one without.

    Raises
    ------
    ValueError
        If there is more of it, or less, than they say.
    """
    found: list[bytes | None] = []
    at = 0
    for entry in entries:
        if entry.content_bytes is None:
            found.append(None)
            continue
        found.append(contents[at : at + entry.content_bytes])
        at += entry.content_bytes
    if at != len(contents):
        raise ValueError(f"the entries speak of {at} bytes of content, and {len(contents)} came")
    return found


def json_bytes(body: dict[str, Any] | None) -> bytes:
    """Return an answer's body as its own route would have sent it."""
    return json.dumps(body or {}).encode()
