"""Errors of the orchestrator's own."""

from ml_shared.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, RateLimitedError


class JobNotFoundError(NotFoundError):
    """No such job, or another owner's."""

    code = "job_not_found"

    def __init__(self) -> None:
        super().__init__("there is no such job; GET /jobs lists yours")


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


class IdempotencyKeyReusedError(InvalidError):
    """The same `Idempotency-Key` came with another body."""

    code = "idempotency_key_reused"


class IdempotencyInProgressError(ConflictError):
    """The first request with this `Idempotency-Key` has not ended."""

    code = "idempotency_in_progress"
