"""Errors of the orchestrator's own."""

from ml_shared.errors import (
    ConflictError,
    ForbiddenError,
    InternalError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
)


class JobNotFoundError(NotFoundError):
    """No such job, or another owner's."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such job; GET /jobs lists yours")


class BatchNotFoundError(NotFoundError):
    """No such batch, or another owner's."""

    code = "batch_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such batch; GET /batches lists yours")


class CommittingError(ConflictError):
    """The job's result is being written, or was when its worker was lost: it can't be cancelled until that has ended."""

    code = "committing"

    def __init__(self) -> None:
        super().__init__(
            "a worker has begun to write the page to its corpus: the job ends in a moment, or, if that worker is lost, can be "
            "cancelled once it is handed out again"
        )


class AlreadyEndedError(ConflictError):
    """A job that has completed or failed can't be cancelled."""

    code = "already_ended"


class NotRetryableError(ConflictError):
    """There is nothing that has failed, or was cancelled, to be tried again."""

    code = "not_retryable"


class AbandonError(ConflictError):
    """The attempt is superseded, cancelled or over: the worker drops the task, with no callback."""

    code = "abandon"

    def __init__(self) -> None:
        super().__init__("this attempt is no longer the job's; drop the task")


class ContentNotFoundError(NotFoundError):
    """No such content, or not for this attempt."""

    code = "content_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such content for this attempt")


class WrongStageError(ForbiddenError):
    """A service reported of a stage that another one runs."""

    code = "wrong_stage"


class TooManyOpenJobsError(RateLimitedError):
    """The owner has as many unfinished jobs as one may have."""

    code = "too_many_open_jobs"


class UploadsFullError(UnavailableError):
    """So much is kept that an upload has to wait."""

    code = "uploads_full"


class TooManyStreamsError(RateLimitedError):
    """As many streams of events are open as there may be, of this owner or in this process."""

    code = "too_many_streams"


class IdempotencyKeyReusedError(InvalidError):
    """The same `Idempotency-Key` came with another body."""

    code = "idempotency_key_reused"


class IdempotencyInProgressError(ConflictError):
    """The first request with this `Idempotency-Key` has not ended."""

    code = "idempotency_in_progress"


class WebhooksUnavailableError(UnavailableError):
    """Without a key to seal their secrets with there are no webhooks."""

    code = "webhooks_unavailable"

    def __init__(self) -> None:
        super().__init__("this installation sends no webhooks: its operator has set no WEBHOOK_SECRET_KEY")


class WebhookNotFoundError(NotFoundError):
    """No such webhook, or another owner's."""

    code = "webhook_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such webhook; GET /webhooks lists yours")


class DeliveryNotFoundError(NotFoundError):
    """No such delivery of this webhook."""

    code = "delivery_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such delivery; GET /webhooks/{webhook_id}/deliveries lists them")


class TooManyWebhooksError(ConflictError):
    """The owner has as many webhooks as one may have."""

    code = "too_many_webhooks"


class WebhookPausedError(ConflictError):
    """To a paused webhook nothing is sent, but for tests."""

    code = "webhook_paused"

    def __init__(self) -> None:
        super().__init__('the webhook is paused; PATCH it with {"paused": false} first')


class SecretUnreadableError(InternalError):
    """A webhook's secret was sealed with a key that this installation does not have any more."""

    code = "secret_unreadable"

    def __init__(self) -> None:
        super().__init__("the webhook's secret can't be opened; rotate it, or set the key that sealed it")


class CrawlNotFoundError(NotFoundError):
    """No such crawl, or another owner's."""

    code = "crawl_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such crawl; GET /crawls lists yours")


class RunNotFoundError(NotFoundError):
    """No such run of that crawl."""

    code = "run_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such run of this crawl; GET /crawls/{id}/runs lists those that are kept")


class TooManyCrawlsError(ConflictError):
    """The owner has as many crawls as one may have."""

    code = "too_many_crawls"


class TooManyOpenRunsError(RateLimitedError):
    """The owner has as many runs under way as one may have."""

    code = "too_many_open_runs"


class RunInProgressError(ConflictError):
    """A crawl has one run at a time."""

    code = "run_in_progress"


class NotHeldError(ConflictError):
    """There is nothing that waits to be confirmed."""

    code = "not_held"


class InvalidScheduleError(InvalidError):
    """Not a schedule that ever comes."""

    code = "invalid_schedule"
