"""What is shaped by HTTP alone: how lists are asked for, and a report that comes with content."""

import hashlib
from typing import Annotated
from uuid import UUID

from fastapi import Header, Path, Query
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic.types import Strict

from ml_shared.contracts.base import CorpusName, Identifier, Timestamp
from ml_shared.contracts.crawls import OnGone, RunOutcome
from ml_shared.contracts.jobs import JobStatus, StageCallback
from ml_shared.contracts.values import DECIMAL_DIGITS, IdempotencyKey
from ml_shared.contracts.webhooks import DeliveryStatus
from ml_shared.errors import InvalidError
from ml_shared.http.strict_json import parse
from ml_shared.web.urls import (
    URL_MAX_CHARACTERS,
    InvalidUrlError,
    host_of,
    normalise_url,
)

HOST_MAX_CHARACTERS = 260
# a name of 253, a colon, a port


def _read_host(text: str) -> str:
    if not set(text).isdisjoint("/?#@\\ "):
        raise ValueError("not a host; give it as site.test, or site.test:8080")
    try:
        return host_of(normalise_url(f"http://{text}/"))
    except InvalidUrlError as error:
        raise ValueError(error.detail) from error


def _check_text(text: str) -> str:
    if "\0" in text:
        raise ValueError("contains a NUL character, which no URL has")
    return text


JobId = Annotated[Identifier, Path(description="what `POST /jobs` answered")]
IdempotencyHeader = Annotated[IdempotencyKey | None, Header(description="a repeat within 24 h gets the same job")]
BatchId = Annotated[Identifier, Path(description="what `POST /jobs/batch` answered")]
BatchIdempotencyHeader = Annotated[
    IdempotencyKey | None, Header(alias="Idempotency-Key", description="a repeat within 24 h gets the same batch")
]
BatchLimit = Annotated[
    int, Field(ge=1, le=50), Strict(), DECIMAL_DIGITS, Query(description="most items of the page; each is counted")
]
PreferHeader = Annotated[
    str | None,
    Header(
        description="`wait=N`: answer once the job has ended, or after N seconds (60 at most), if there is room to wait"
    ),
]
LastEventId = Annotated[
    str | None, Header(description="the `id` of the last event that came: what came after it is sent again")
]
StatusFilter = Annotated[JobStatus | None, Query(description="jobs in this state")]
CorpusFilter = Annotated[CorpusName | None, Query(description="jobs of this corpus")]
BatchFilter = Annotated[UUID | None, Query(description="jobs of this batch")]
CreatedAfter = Annotated[Timestamp | None, Query(description="jobs submitted after this time (RFC 3339)")]
HostFilter = Annotated[
    Annotated[str, StringConstraints(max_length=HOST_MAX_CHARACTERS), AfterValidator(_read_host)] | None,
    Query(description="jobs of this host, with its port where the URL has one: `site.test`"),
]
UrlPrefixFilter = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=URL_MAX_CHARACTERS), AfterValidator(_check_text)] | None,
    Query(description="jobs whose URL, as submitted, begins with this"),
]
ErrorCodeFilter = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None,
    Query(description="jobs that failed with this code"),
]
EndedAfter = Annotated[Timestamp | None, Query(description="jobs that ended after this time (RFC 3339)")]

CrawlId = Annotated[Identifier, Path(description="what `POST /crawls` answered")]
RunNumber = Annotated[
    int, Field(ge=1, lt=2**31), Strict(), DECIMAL_DIGITS, Path(description="of the crawl's runs, from 1")
]
CrawlIdempotencyHeader = Annotated[
    IdempotencyKey | None, Header(alias="Idempotency-Key", description="a repeat within 24 h gets the same run")
]
CrawlLimit = Annotated[
    int, Field(ge=1, le=50), Strict(), DECIMAL_DIGITS, Query(description="most items of the page; each is counted")
]
RunLimit = Annotated[
    int, Field(ge=1, le=20), Strict(), DECIMAL_DIGITS, Query(description="most items of the page; each is counted")
]
DocumentsChoice = Annotated[
    OnGone,
    Query(description="what becomes of its documents: `delete` removes them from the corpus, `keep` leaves them"),
]
OutcomeFilter = Annotated[RunOutcome | None, Query(description="pages that came to this")]
ReasonFilter = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None,
    Query(description="pages that did so for this reason: `robots_disallowed`, `gone`, an error's code"),
]
PageUrlPrefixFilter = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=URL_MAX_CHARACTERS), AfterValidator(_check_text)] | None,
    Query(description="pages whose URL begins with this"),
]
StatsHours = Annotated[int, Field(ge=1, le=168), Strict(), DECIMAL_DIGITS, Query(description="how far back, in hours")]
WebhookIdempotencyHeader = Annotated[
    IdempotencyKey | None,
    Header(alias="Idempotency-Key", description="a repeat within 24 h gets the same webhook, without its secret"),
]
RotationIdempotencyHeader = Annotated[
    IdempotencyKey | None,
    Header(alias="Idempotency-Key", description="a repeat within 24 h makes no other secret, and shows none"),
]
WebhookId = Annotated[Identifier, Path(description="what `POST /webhooks` answered")]
DeliveryId = Annotated[Identifier, Path(description="of the webhook's log of deliveries")]
DeliveryStatusFilter = Annotated[DeliveryStatus | None, Query(description="deliveries in this state")]


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


__all__ = [
    "BatchFilter",
    "BatchId",
    "BatchIdempotencyHeader",
    "BatchLimit",
    "CorpusFilter",
    "CrawlId",
    "CrawlIdempotencyHeader",
    "CrawlLimit",
    "CreatedAfter",
    "DeliveryId",
    "DeliveryStatusFilter",
    "DocumentsChoice",
    "EndedAfter",
    "ErrorCodeFilter",
    "HostFilter",
    "IdempotencyHeader",
    "JobId",
    "LastEventId",
    "OutcomeFilter",
    "PageUrlPrefixFilter",
    "PreferHeader",
    "ReasonFilter",
    "RotationIdempotencyHeader",
    "RunLimit",
    "RunNumber",
    "StatsHours",
    "StatusFilter",
    "UrlPrefixFilter",
    "WebhookId",
    "WebhookIdempotencyHeader",
    "read_report",
]
