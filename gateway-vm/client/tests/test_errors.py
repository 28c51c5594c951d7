"""Errors as other processes get them: whoever waits for a pool's worker reads again what that raised."""

import copy
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from cloudcix_ml.core.effects import Answer
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.errors import (
    CloudCIXError,
    FieldProblem,
    JobFailedError,
    ProblemDocument,
    ProblemError,
    TransportError,
    WaitTimeoutError,
)
from cloudcix_ml.models.jobs import Job, JobFailure, JobStatus

JOB = Job(
    job_id="j",
    url="https://example.com/",
    corpus_name="mine",
    status=JobStatus("a state of tomorrow"),
    submitted_at=datetime(2026, 11, 28, tzinfo=UTC),
    error=JobFailure(code="dns_failed", message="no such host", failed_stage="scraping"),
)
PROBLEM = ProblemDocument(429, "rate_limited", "later", "No", "request-1", "f" * 32, (FieldProblem("a", "b", "c"),))


def classes(kind: type[CloudCIXError] = CloudCIXError) -> Iterator[type[CloudCIXError]]:
    """An error's class, and all that are of its kind."""
    yield kind
    for one in kind.__subclasses__():
        yield from classes(one)


def made(kind: type[CloudCIXError]) -> CloudCIXError:
    """An error as this package raises it."""
    if issubclass(kind, ProblemError):
        return kind(PROBLEM, retry_after_seconds=7.0)
    if issubclass(kind, TransportError):
        return kind("nobody answered", sent=True)
    if issubclass(kind, JobFailedError):
        return kind(JOB)
    if issubclass(kind, WaitTimeoutError):
        return kind("it goes on", JOB)
    return kind("it is so")


@pytest.mark.parametrize("kind", sorted(set(classes()), key=lambda one: one.__name__))
def test_an_error_is_the_same_in_another_process(kind: type[CloudCIXError]) -> None:
    error = made(kind)
    error.add_note("in the third row")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert (type(again), str(again), again.args) == (kind, str(error), error.args)
        assert vars(again) == vars(error)
    assert vars(copy.copy(error)) == vars(copy.deepcopy(error)) == vars(error)


def test_a_refusal_of_the_platform_is_the_same_in_another_process() -> None:
    refusal = error_of(Answer(404, {}, b'{"code": "job_not_found", "detail": "none"}'), None)
    again = pickle.loads(pickle.dumps(refusal))
    assert (type(again), again.status, again.detail) == (type(refusal), 404, "none")
