"""What is shaped by HTTP alone: how lists are asked for."""

from typing import Annotated
from uuid import UUID

from fastapi import Header, Path, Query

from ml_shared.contracts.base import CorpusName, Identifier, Timestamp
from ml_shared.contracts.jobs import JobStatus
from ml_shared.contracts.values import IdempotencyKey

JobId = Annotated[Identifier, Path(description="what `POST /jobs` answered")]
IdempotencyHeader = Annotated[IdempotencyKey | None, Header(description="a repeat within 24 h gets the same job")]
StatusFilter = Annotated[JobStatus | None, Query(description="jobs in this state")]
CorpusFilter = Annotated[CorpusName | None, Query(description="jobs of this corpus")]
BatchFilter = Annotated[UUID | None, Query(description="jobs of this batch")]
CreatedAfter = Annotated[Timestamp | None, Query(description="jobs submitted after this time (RFC 3339)")]

__all__ = ["BatchFilter", "CorpusFilter", "CreatedAfter", "IdempotencyHeader", "JobId", "StatusFilter"]
