"""One tree of errors, one table to HTTP, one table to what a worker does."""

import asyncio
import pickle
import traceback
from collections.abc import Callable

import httpx
import pytest
from billiard.einfo import ExceptionInfo
from billiard.exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from redis.exceptions import RedisError

import ml_shared
from ml_shared.contracts.jobs import CallbackStatus
from ml_shared.errors import (
    CLASS_OF_KIND,
    HTTP_STATUS,
    RETRYABLE_KINDS,
    ConflictError,
    ErrorKind,
    InvalidError,
    NotFoundError,
    ServiceError,
    UnavailableError,
    UpstreamError,
)
from ml_shared.names import Stage
from ml_shared.testing import errors_walk
from ml_shared.worker.runtime import ResourcesError
from ml_shared.worker.stage import as_service_error, failure_callback

# each of them ends before anybody outside of its process could be told of it
OUTSIDE = {
    *("AbandonError", "AlreadyEndedError", "AuditSchemaError", "BodyEndedError", "ExchangeError"),
    *("_HeadersError", "_RefusedError"),
    *("MigrationError", "NotStartedError", "ResourcesError", "TransientError"),
}


class AnsweredError(UpstreamError):
    """An error that takes no detail, as some of the services' own."""

    code = "answered"

    def __init__(self, status: int, *, why: str = "") -> None:
        super().__init__(f"answered {status} {why}", retryable=status >= 500, extra={"upstream_status": status})
        self.upstream_status = status


def test_every_error_of_the_library_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(
        ml_shared,
        # the one carries one of the tree, the other ends a service before it answers anybody
        outside=OUTSIDE | {"RefusalError", "StoreUrlError"},
        without=["ml_shared.testing"],
    )


def test_every_kind_has_its_class_its_own_status_and_an_answer_to_whether_to_retry() -> None:
    assert set(HTTP_STATUS) == set(ErrorKind) == set(CLASS_OF_KIND)
    assert len(set(HTTP_STATUS.values())) == len(HTTP_STATUS)
    assert all(400 <= status <= 599 for status in HTTP_STATUS.values())
    assert {kind for kind in ErrorKind if kind in RETRYABLE_KINDS} == {
        "rate_limited",
        "unavailable",
        "upstream",
        "timeout",
    }
    assert len({base.code for base in CLASS_OF_KIND.values()}) == len(CLASS_OF_KIND)


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_a_kind_that_may_pass_is_deferred_and_another_fails(kind: ErrorKind) -> None:
    callback = failure_callback(CLASS_OF_KIND[kind]("why"), "attempt", Stage.SCRAPING, None)
    assert callback.status is (CallbackStatus.DEFERRED if kind in RETRYABLE_KINDS else CallbackStatus.FAILED)


@pytest.mark.parametrize(
    ("foreign", "kind"),
    [
        (httpx.ReadTimeout("secret"), ErrorKind.UPSTREAM),
        (TimeoutError("secret"), ErrorKind.UPSTREAM),
        (RedisError("secret"), ErrorKind.UNAVAILABLE),
        (ResourcesError("secret"), ErrorKind.UNAVAILABLE),
        (SoftTimeLimitExceeded("secret"), ErrorKind.TIMEOUT),
        (TimeLimitExceeded("secret"), ErrorKind.TIMEOUT),
        (asyncio.CancelledError("secret"), ErrorKind.INTERNAL),
        (KeyError("secret"), ErrorKind.INTERNAL),
    ],
)
def test_a_foreign_error_has_its_place_in_the_tree_and_keeps_its_text_to_itself(
    foreign: BaseException, kind: ErrorKind
) -> None:
    told = as_service_error(foreign)
    assert told.kind is kind
    assert "secret" not in told.detail


@pytest.mark.parametrize(
    "error",
    [
        AnsweredError(503, why="not now"),
        UnavailableError("later", code="queue_full", retry_after_seconds=2.5, retryable=False, extra={"a": [1]}),
    ],
)
def test_an_error_passes_from_a_child_to_the_main_process_whole(error: ServiceError) -> None:
    """Celery's pool sends it in an `ExceptionInfo`, pickled; one that failed there would take the worker's loop along."""
    try:
        raise error
    except ServiceError:
        info = pickle.loads(pickle.dumps(ExceptionInfo()))
    copy = info.exception if isinstance(info.exception, ServiceError) else info.exception.exc
    assert vars(copy) == vars(error)
    assert (type(copy), str(copy), copy.status) == (type(error), str(error), error.status)
    assert traceback.format_exception_only(copy)[-1].rstrip().endswith(error.detail)


class Misnamed(InvalidError):  # noqa: N818 - what is wrong with it
    """Its name does not say that it is one."""

    code = "misnamed"


class ShoutingError(InvalidError):
    """Its code is not stable in form."""

    code = "Not-Snake"


class HomelessError(ServiceError):
    """Of a kind, but not of its class."""

    kind = ErrorKind.CONFLICT
    code = "homeless"


class UnpicklableError(NotFoundError):
    """Carries what can't leave the process."""

    code = "unpicklable"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.made: Callable[[], None] = lambda: None


class SilentError(ConflictError):
    """Says nothing."""

    code = "silent"


@pytest.mark.parametrize(
    "error",
    [
        Misnamed("x"),
        ShoutingError("x"),
        HomelessError("x"),
        UnpicklableError("x"),
        SilentError(" "),
        UpstreamError("x", retryable=False),
        NotFoundError("x", retryable=True),
        NotFoundError("x", code="bad code"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_that_breaks_a_promise_is_found(error: ServiceError) -> None:
    with pytest.raises((AssertionError, AttributeError, pickle.PicklingError)):
        errors_walk.check(error)
