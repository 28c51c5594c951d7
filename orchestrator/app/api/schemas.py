"""What is shaped by HTTP alone: how lists are asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime

from ml_shared.contracts.base import CorpusName
from ml_shared.contracts.jobs import JobStatus

Limit = Annotated[int, Query(ge=1, le=200, description="most items of the page")]
Cursor = Annotated[str | None, Query(max_length=300, description="next_cursor of the page before")]
StatusFilter = Annotated[JobStatus | None, Query(description="jobs in this state")]
CorpusFilter = Annotated[CorpusName | None, Query(description="jobs of this corpus")]
BatchFilter = Annotated[UUID | None, Query(description="jobs of this batch")]
CreatedAfter = Annotated[AwareDatetime | None, Query(description="jobs submitted after this time (RFC 3339)")]

__all__ = ["BatchFilter", "CorpusFilter", "CreatedAfter", "Cursor", "Limit", "StatusFilter"]
