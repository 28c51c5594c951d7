"""What is worth a line in the audit trail, and what each line may say."""

from collections.abc import Mapping
from enum import StrEnum
from types import UnionType
from typing import Final
from uuid import UUID


class AuditEvent(StrEnum):
    """What was done."""

    SCRAPE_SYNC_COMPLETE = "scrape_sync_complete"
    LINKS_SYNC_COMPLETE = "links_sync_complete"
    MAP_SYNC_COMPLETE = "map_sync_complete"
    SCRAPE_ENQUEUED = "scrape_enqueued"
    CHUNK_COMPLETE = "chunk_complete"
    EMBED_SYNC_COMPLETE = "embed_sync_complete"
    EMBED_ENQUEUED = "embed_enqueued"
    OPENAI_EMBED_COMPLETE = "openai_embed_complete"
    SEARCH_COMPLETE = "search_complete"
    JOB_SUBMITTED = "job_submitted"
    DOCUMENT_SUBMITTED = "document_submitted"
    BATCH_SUBMITTED = "batch_submitted"
    JOB_READ = "job_read"
    JOB_FOLLOWED = "job_followed"
    JOBS_LISTED = "jobs_listed"
    BATCH_READ = "batch_read"
    BATCH_FOLLOWED = "batch_followed"
    BATCHES_LISTED = "batches_listed"
    STATS_READ = "stats_read"
    BATCH_CANCELLED = "batch_cancelled"
    BATCH_RETRIED = "batch_retried"
    JOB_CANCELLED = "job_cancelled"
    JOB_RETRIED = "job_retried"
    JOB_ENDED = "job_ended"
    WEBHOOK_CREATED = "webhook_created"
    WEBHOOK_READ = "webhook_read"
    WEBHOOKS_LISTED = "webhooks_listed"
    WEBHOOK_CHANGED = "webhook_changed"
    WEBHOOK_DELETED = "webhook_deleted"
    WEBHOOK_ROTATED = "webhook_rotated"
    WEBHOOK_TESTED = "webhook_tested"
    WEBHOOK_REPLAYED = "webhook_replayed"
    DELIVERIES_LISTED = "deliveries_listed"
    CRAWL_SUBMITTED = "crawl_submitted"
    CRAWL_READ = "crawl_read"
    CRAWLS_LISTED = "crawls_listed"
    CRAWL_CHANGED = "crawl_changed"
    CRAWL_PAUSED = "crawl_paused"
    CRAWL_RESUMED = "crawl_resumed"
    CRAWL_DELETED = "crawl_deleted"
    RUN_BEGUN = "run_begun"
    RUN_READ = "run_read"
    RUNS_LISTED = "runs_listed"
    RUN_PAGES_LISTED = "run_pages_listed"
    RUN_CANCELLED = "run_cancelled"
    RUN_CONFIRMED = "run_confirmed"
    RUN_FOLLOWED = "run_followed"
    STAGE_STARTED = "stage_started"
    STAGE_REPORTED = "stage_reported"
    CONTENT_STORED = "content_stored"
    CONTENT_READ = "content_read"
    RESULT_READ = "result_read"
    MODELS_LISTED = "models_listed"
    MODEL_READ = "model_read"
    CORPORA_LISTED = "corpora_listed"
    CORPUS_READ = "corpus_read"
    CORPUS_DELETED = "corpus_deleted"
    DOCUMENTS_LISTED = "documents_listed"
    DOCUMENT_READ = "document_read"
    DOCUMENT_CONTENT_READ = "document_content_read"
    DOCUMENT_DELETED = "document_deleted"
    MODEL_CHANGE_ASKED = "model_change_asked"
    MODEL_CHANGE_READ = "model_change_read"
    MODEL_CHANGE_CANCELLED = "model_change_cancelled"


class Outcome(StrEnum):
    """How it went."""

    SUCCESS = "success"
    FAILURE = "failure"
    DENIED = "denied"


Fields = Mapping[str, type | UnionType]
_TASK: Final[Fields] = {"task_id": str, "job_id": str}
_JOB: Final[Fields] = {"job_id": str}
_BATCH: Final[Fields] = {"batch_id": str, "jobs": int}
_CRAWL: Final[Fields] = {"crawl_id": str}
_RUN: Final[Fields] = {**_CRAWL, "run": int}
_CONTENT: Final[Fields] = {"job_id": str, "stage": str, "content_ref": str, "bytes": int}
_WEBHOOK: Final[Fields] = {"webhook_id": str}
_DELIVERY: Final[Fields] = {**_WEBHOOK, "delivery_id": str}
_CORPUS: Final[Fields] = {"corpus_name": str}
_DOCUMENT: Final[Fields] = {**_CORPUS, "document_id": str | UUID}
_EMBEDDED: Final[Fields] = {"job_id": str, "texts": int, "tokens": int}

FIELDS: Final[Mapping[AuditEvent, Fields]] = {
    AuditEvent.SCRAPE_SYNC_COMPLETE: {**_JOB, "url": str, "bytes": int},
    AuditEvent.LINKS_SYNC_COMPLETE: {**_JOB, "url": str, "results": int},
    AuditEvent.MAP_SYNC_COMPLETE: {**_JOB, "url": str, "results": int},
    AuditEvent.SCRAPE_ENQUEUED: {**_TASK, "url": str},
    AuditEvent.CHUNK_COMPLETE: {**_JOB, "chunk_count": int, "token_total": int},
    AuditEvent.EMBED_SYNC_COMPLETE: _EMBEDDED,
    AuditEvent.EMBED_ENQUEUED: {**_TASK, "url": str, "corpus_name": str},
    AuditEvent.OPENAI_EMBED_COMPLETE: _EMBEDDED,
    AuditEvent.SEARCH_COMPLETE: {**_JOB, "mode": str, "top_k": int, "results": int},
    AuditEvent.JOB_SUBMITTED: {**_JOB, "url": str, "corpus_name": str},
    AuditEvent.DOCUMENT_SUBMITTED: {**_JOB, "corpus_name": str, "bytes": int},
    AuditEvent.BATCH_SUBMITTED: {**_BATCH, "corpus_name": str},
    AuditEvent.JOB_READ: _JOB,
    AuditEvent.JOB_FOLLOWED: _JOB,
    AuditEvent.JOBS_LISTED: {"results": int},
    AuditEvent.BATCH_READ: _BATCH,
    AuditEvent.BATCH_FOLLOWED: _BATCH,
    AuditEvent.BATCHES_LISTED: {"results": int},
    AuditEvent.STATS_READ: {"hours": int},
    AuditEvent.BATCH_CANCELLED: _BATCH,
    AuditEvent.BATCH_RETRIED: {**_BATCH, "retry_of": str},
    AuditEvent.JOB_CANCELLED: _JOB,
    AuditEvent.JOB_RETRIED: {**_JOB, "retry_of": str},
    AuditEvent.JOB_ENDED: {**_JOB, "stage": str, "status": str, "error_code": str},
    AuditEvent.WEBHOOK_CREATED: _WEBHOOK,
    AuditEvent.WEBHOOK_READ: _WEBHOOK,
    AuditEvent.WEBHOOKS_LISTED: {"results": int},
    AuditEvent.WEBHOOK_CHANGED: _WEBHOOK,
    AuditEvent.WEBHOOK_DELETED: _WEBHOOK,
    AuditEvent.WEBHOOK_ROTATED: _WEBHOOK,
    AuditEvent.WEBHOOK_TESTED: _DELIVERY,
    AuditEvent.WEBHOOK_REPLAYED: {**_DELIVERY, "deliveries": int},
    AuditEvent.DELIVERIES_LISTED: {**_WEBHOOK, "results": int},
    AuditEvent.STAGE_STARTED: {**_JOB, "stage": str},
    AuditEvent.STAGE_REPORTED: {**_JOB, "stage": str, "status": str, "error_code": str},
    AuditEvent.CRAWL_SUBMITTED: {**_RUN, "url": str, "corpus_name": str},
    AuditEvent.CRAWL_READ: _CRAWL,
    AuditEvent.CRAWLS_LISTED: {"results": int},
    AuditEvent.CRAWL_CHANGED: _CRAWL,
    AuditEvent.CRAWL_PAUSED: _CRAWL,
    AuditEvent.CRAWL_RESUMED: _CRAWL,
    AuditEvent.CRAWL_DELETED: {**_CRAWL, "documents": str},
    AuditEvent.RUN_BEGUN: _RUN,
    AuditEvent.RUN_READ: _RUN,
    AuditEvent.RUNS_LISTED: {**_CRAWL, "results": int},
    AuditEvent.RUN_PAGES_LISTED: {**_RUN, "results": int},
    AuditEvent.RUN_CANCELLED: _RUN,
    AuditEvent.RUN_FOLLOWED: _RUN,
    AuditEvent.RUN_CONFIRMED: {**_RUN, "documents": int},
    AuditEvent.CONTENT_STORED: _CONTENT,
    AuditEvent.CONTENT_READ: _CONTENT,
    AuditEvent.RESULT_READ: {**_TASK, "status": int},
    AuditEvent.MODELS_LISTED: {},
    AuditEvent.MODEL_READ: {"model": str},
    AuditEvent.CORPORA_LISTED: {},
    AuditEvent.CORPUS_READ: _CORPUS,
    AuditEvent.CORPUS_DELETED: _CORPUS,
    AuditEvent.DOCUMENTS_LISTED: _CORPUS,
    AuditEvent.DOCUMENT_READ: _DOCUMENT,
    AuditEvent.DOCUMENT_CONTENT_READ: _DOCUMENT,
    AuditEvent.DOCUMENT_DELETED: _DOCUMENT,
    AuditEvent.MODEL_CHANGE_ASKED: {"change": int, "model": str},
    AuditEvent.MODEL_CHANGE_READ: {"change": int, "model": str},
    AuditEvent.MODEL_CHANGE_CANCELLED: {"change": int},
}
# by event: what a line may say beyond who did it, when, where and with what outcome; any of them may be left out
