"""Codes of jobs, batches and queues."""

from cloudcix_ml.errors.kinds import (
    ConflictError,
    DeadlineError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
)


class JobNotFoundError(NotFoundError):
    """There is no such job, or it is another owner's."""

    code = "job_not_found"


class BatchNotFoundError(NotFoundError):
    """There is no such batch, or it is another owner's."""

    code = "batch_not_found"


class ResultNotFoundError(NotFoundError):
    """There is no such task, or its result is gone."""

    code = "result_not_found"


class CommittingError(ConflictError):
    """The page is being written: the job ends in a moment, or can be cancelled once it is handed out again."""

    code = "committing"


class AlreadyEndedError(ConflictError):
    """What has completed or failed can't be cancelled."""

    code = "already_ended"


class NotRetryableError(ConflictError):
    """Nothing of it has failed or was cancelled."""

    code = "not_retryable"


class IdempotencyInProgressError(ConflictError):
    """The first request of this key has not ended."""

    code = "idempotency_in_progress"
    worth_repeating = True


class IdempotencyKeyReusedError(InvalidRequestError):
    """The same key came with another body."""

    code = "idempotency_key_reused"


class TooManyOpenJobsError(RateLimitedError):
    """As many unfinished jobs as an owner may have."""

    code = "too_many_open_jobs"


class TooManyTasksError(RateLimitedError):
    """As many tasks as one caller may have in the queue."""

    code = "too_many_tasks"


class TooManyStreamsError(RateLimitedError):
    """As many open streams of events as may be."""

    code = "too_many_streams"


class QueueFullError(RateLimitedError):
    """As many tasks as may wait."""

    code = "queue_full"


class QueueUnavailableError(UnavailableError):
    """The queue does not answer."""

    code = "queue_unavailable"


class ResultsFullError(RateLimitedError):
    """As many results as may be kept."""

    code = "results_full"


class ResultTooLargeError(TooLargeError):
    """The result is too long to be kept; a job takes longer ones."""

    code = "result_too_large"


class TaskTimeoutError(DeadlineError):
    """The task was ended at its limit."""

    code = "task_timeout"


class WorkerLostError(InternalError):
    """The worker that ran the task is gone."""

    code = "worker_lost"
