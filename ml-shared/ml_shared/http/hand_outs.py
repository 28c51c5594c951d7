"""`POST /enqueue/batch`: what is told of several hand-outs in one answer."""

from collections.abc import Iterable

from ml_shared.contracts.queueing import EnqueueAnswer, EnqueueAnswers, Refusal
from ml_shared.errors import HTTP_STATUS, ServiceError


def answers_of(outcomes: Iterable[EnqueueAnswer | ServiceError]) -> EnqueueAnswers:
    """Return the answer that tells of each hand-out what `POST /enqueue` would have."""
    return EnqueueAnswers(answers=[_refusal(each) if isinstance(each, ServiceError) else each for each in outcomes])


def _refusal(error: ServiceError) -> Refusal:
    return Refusal(
        status=HTTP_STATUS[error.kind],
        code=error.code,
        detail=error.detail,
        retry_after_seconds=error.retry_after_seconds,
    )
