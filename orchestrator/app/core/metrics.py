"""What the orchestrator counts. Labels are stages, outcomes and codes, never a job, a URL, a caller or a corpus."""

from collections.abc import Mapping
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from app.core.dispatch.pipeline import PIPELINE
from app.core.dispatch.placement import Ended
from app.core.dispatch.stage_calls import Accepted, Answered, Rejected, Unavailable, Unknown
from app.core.jobs.transitions import Transition
from app.core.notices.sending import ERROR_CODES, Attempt
from ml_shared.contracts.crawls import RunOutcome, RunState
from ml_shared.contracts.embedding import PageOutcome
from ml_shared.contracts.jobs import ENDED, CallbackStatus, JobStatus
from ml_shared.telemetry.metrics import start_at_zero

PHASES: Final = ("dispatch", "queue", "run")
OTHER: Final = "other"
DELIVERED: Final = "delivered"
FAILURE_CODES: Final = frozenset(
    {
        *("blocked_address", "blocked_scheme", "blocked_port", "dns_failed", "tls_failed", "fetch_timeout"),
        *("robots_disallowed", "robots_unreachable", "host_busy", "http_status", "too_many_redirects", "too_large"),
        *("unsupported_content_type", "empty_content", "extraction_failed", "pacing_unavailable"),
        *("challenge_page", "login_required", "noindex", "no_text_layer", "encrypted"),
        *("content_missing", "content_corrupt", "max_tokens_too_large", "max_tokens_too_small", "stage_unavailable"),
        *("input_too_long", "invalid_vector", "dimension_mismatch", "endpoint_unavailable", "endpoint_rate_limited"),
        *("model_mismatch", "store_unavailable", "invalid_request", "internal_error", "upstream_error"),
        *("task_timeout", "stage_timeout", "worker_lost", "timeout", "unknown_error", "forbidden", "not_found"),
    }
)
"""What a job may fail with, as documented; anything else that a stage says counts as `other`."""
_STAGE_BUCKETS_SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SEARCHABLE_BUCKETS_SECONDS: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600)
_DELIVERY_BUCKETS_SECONDS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_ATTEMPT_BUCKETS: Final = (1, 2, 3, 5, 10)

HAND_OUTS: Final = Counter(
    "ml_dispatch_hand_outs", "Jobs handed to a stage, by what its answer was.", ["stage", "outcome"]
)
STAGE_PAUSES: Final = Counter(
    "ml_dispatch_stage_pauses", "Times that a stage was paused because it could not be used.", ["stage"]
)
HIGH_WATER: Final = Counter(
    "ml_dispatch_high_water_passes", "Passes that handed out nothing because too much is behind.", ["stage"]
)
LEASES_EXPIRED: Final = Counter(
    "ml_jobs_leases_expired", "Leases that ran out, by stage and phase.", ["stage", "phase"]
)
JOBS_SUBMITTED: Final = Counter("ml_jobs_submitted", "Jobs taken in.")
EVENT_STREAMS: Final = Gauge(
    "ml_event_streams_open",
    "Streams of events that are open, by kind of subject.",
    ["kind"],
    multiprocess_mode="livesum",
)
STREAMS_CUT: Final = Counter(
    "ml_event_streams_cut", "Streams of events that were cut off, for their listener took nothing.", ["kind"]
)
JOBS_ENDED: Final = Counter("ml_jobs_ended", "Jobs that ended, by how.", ["status"])
JOBS_FAILED: Final = Counter("ml_jobs_failed", "Jobs that failed, by stage and error code.", ["stage", "code"])
STAGE_SECONDS: Final = Histogram(
    "ml_jobs_stage_duration_seconds",
    "Time from an attempt's start in a stage to its end, by how it ended.",
    ["stage", "outcome"],
    buckets=_STAGE_BUCKETS_SECONDS,
)
STAGE_ATTEMPTS: Final = Histogram(
    "ml_jobs_stage_attempts",
    "Attempts that a job had in a stage when it left that for good.",
    ["stage"],
    buckets=_ATTEMPT_BUCKETS,
)
OUTCOMES: Final = Counter("ml_jobs_outcomes", "Jobs completed, by what became of their document.", ["outcome"])
SAVED_BYTES: Final = Counter(
    "ml_jobs_saved_bytes", "Bytes that were not fetched, since sites said that their pages are as they were."
)
SAVED_CHUNKS: Final = Counter(
    "ml_jobs_saved_chunks", "Chunks that were not embedded, since what they say was in the corpus already."
)
SEARCHABLE_SECONDS: Final = Histogram(
    "ml_jobs_searchable_seconds",
    "Time from a job's submission until its page could be searched.",
    buckets=_SEARCHABLE_BUCKETS_SECONDS,
)
WEBHOOK_DELIVERIES: Final = Counter(
    "ml_webhooks_deliveries", "Attempts to deliver a webhook, by `delivered` or why not.", ["outcome"]
)
WEBHOOK_SECONDS: Final = Histogram(
    "ml_webhooks_delivery_duration_seconds",
    "Time until a webhook's receiver had answered, or the attempt had failed.",
    buckets=_DELIVERY_BUCKETS_SECONDS,
)
WEBHOOKS_PAUSED: Final = Counter("ml_webhooks_paused", "Webhooks that were paused because nothing arrived there.")

CRAWL_RUNS_ENDED: Final = Counter("ml_crawl_runs_ended", "Runs of crawls that ended, by how.", ["state"])
CRAWL_RUNS_DUE: Final = Counter(
    "ml_crawl_runs_due", "Runs that a schedule asked for, by whether they began or were missed.", ["outcome"]
)
CRAWL_RUNS_HELD: Final = Counter(
    "ml_crawl_runs_held", "Runs that would have removed more than a third of their crawl's documents, and removed none."
)
CRAWL_PAGES: Final = Counter(
    "ml_crawl_pages", "Pages of runs, by what became of them; skipped ones when their run ends.", ["outcome"]
)

_STAGES: Final = [definition.stage.value for definition in PIPELINE]
start_at_zero(
    HAND_OUTS, _STAGES, [one.__name__.lower() for one in (Accepted, Answered, Rejected, Unavailable, Unknown)]
)
start_at_zero(STAGE_PAUSES, _STAGES)
start_at_zero(HIGH_WATER, _STAGES)
start_at_zero(LEASES_EXPIRED, _STAGES, PHASES)
start_at_zero(JOBS_ENDED, sorted(ENDED))
start_at_zero(OUTCOMES, [outcome.value for outcome in PageOutcome])
start_at_zero(JOBS_FAILED, _STAGES, [OTHER])  # with each code they would be a hundred, most of them never used
start_at_zero(STAGE_SECONDS, _STAGES, [status.value for status in CallbackStatus])
start_at_zero(STAGE_ATTEMPTS, _STAGES)
start_at_zero(EVENT_STREAMS, ["jobs", "batches", "runs"])
start_at_zero(STREAMS_CUT, ["jobs", "batches", "runs"])
start_at_zero(WEBHOOK_DELIVERIES, [DELIVERED, *ERROR_CODES])
start_at_zero(CRAWL_RUNS_ENDED, [state.value for state in RunState if state is not RunState.RUNNING])
start_at_zero(CRAWL_RUNS_DUE, ["begun", "missed"])
start_at_zero(CRAWL_PAGES, [outcome.value for outcome in RunOutcome])


def count_transition(moved: Transition) -> None:
    """Count what a report did: the end of a stage's attempt, and perhaps of its job."""
    run = moved.stage_run
    if run is not None:
        if run.seconds is not None:
            STAGE_SECONDS.labels(run.stage, run.outcome).observe(run.seconds)
        if run.outcome is not CallbackStatus.DEFERRED or moved.ended is not None:
            STAGE_ATTEMPTS.labels(run.stage).observe(run.attempts)
    if moved.saved is not None:
        if moved.saved.outcome is not None:
            OUTCOMES.labels(moved.saved.outcome).inc()
        SAVED_BYTES.inc(moved.saved.bytes)
        SAVED_CHUNKS.inc(moved.saved.chunks)
    if moved.ended is not None:
        count_ended(moved.ended, indexed=moved.saved is None or moved.saved.outcome is not PageOutcome.REMOVED)


def count_ended(ended: Ended, *, indexed: bool = True) -> None:
    """Count a job that ended; one that removes a document makes nothing searchable."""
    JOBS_ENDED.labels(ended.status).inc()
    if ended.status is JobStatus.COMPLETED and indexed and ended.searchable:
        SEARCHABLE_SECONDS.observe(ended.seconds)
    elif ended.status is JobStatus.FAILED:
        JOBS_FAILED.labels(ended.failed_stage, ended.code if ended.code in FAILURE_CODES else OTHER).inc()


def count_cancelled(jobs: int) -> None:
    """Count jobs that were cancelled."""
    JOBS_ENDED.labels(JobStatus.CANCELLED).inc(jobs)


def count_delivery(attempt: Attempt) -> None:
    """Count an attempt to deliver a webhook."""
    WEBHOOK_DELIVERIES.labels(attempt.error or DELIVERED).inc()
    WEBHOOK_SECONDS.observe(attempt.seconds)


def count_pass_of_runs(outcomes: Mapping[str, int], ended: Mapping[str, int], held: int) -> None:
    """Count what a pass of runs found: what became of pages, and how runs ended."""
    for outcome, pages in outcomes.items():
        CRAWL_PAGES.labels(outcome).inc(pages)
    for state, runs in ended.items():
        CRAWL_RUNS_ENDED.labels(state).inc(runs)
    CRAWL_RUNS_HELD.inc(held)


def count_due(begun: int, missed: int) -> None:
    """Count runs that were due."""
    CRAWL_RUNS_DUE.labels("begun").inc(begun)
    CRAWL_RUNS_DUE.labels("missed").inc(missed)
