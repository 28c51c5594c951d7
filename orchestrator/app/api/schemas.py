"""What is shaped by HTTP alone: how lists are asked for, and a report that comes with content."""

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import Header, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from ml_shared.contracts.base import CorpusName, Identifier, Timestamp
from ml_shared.contracts.jobs import JobStatus, StageCallback
from ml_shared.contracts.values import IdempotencyKey
from ml_shared.errors import InvalidError
from ml_shared.http.strict_json import parse

JobId = Annotated[Identifier, Path(description="what `POST /jobs` answered")]
IdempotencyHeader = Annotated[IdempotencyKey | None, Header(description="a repeat within 24 h gets the same job")]
StatusFilter = Annotated[JobStatus | None, Query(description="jobs in this state")]
CorpusFilter = Annotated[CorpusName | None, Query(description="jobs of this corpus")]
BatchFilter = Annotated[UUID | None, Query(description="jobs of this batch")]
CreatedAfter = Annotated[Timestamp | None, Query(description="jobs submitted after this time (RFC 3339)")]


def read_report(body: bytes, sha256: str | None) -> tuple[StageCallback, bytes]:
    """Return a report that stands on the first line of a body, and the content that follows it.

    Raises
    ------
    InvalidError, fastapi.exceptions.RequestValidationError
        If it is no report, or not the content that was sent.
    """
    line, _, content = body.partition(b"\n")
    try:
        callback = StageCallback.model_validate(parse(line))
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise InvalidError("the content does not match its hash", code="content_corrupt")
    return callback, content


__all__ = ["BatchFilter", "CorpusFilter", "CreatedAfter", "IdempotencyHeader", "JobId", "StatusFilter", "read_report"]
