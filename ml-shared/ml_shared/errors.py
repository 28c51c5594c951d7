"""The errors of the fleet, one tree.

    ServiceError
    ├── InvalidError          the request is wrong, and repeating it will not help
    ├── UnauthorizedError     no key, or not a valid one
    ├── ForbiddenError        a valid key that may not do this
    ├── NotFoundError         not there, or another owner's
    ├── ConflictError         the state does not allow it
    ├── TooLargeError         over a stated limit
    ├── UnsupportedError      a kind of content that is not handled
    ├── RateLimitedError      too many requests; later it will work
    ├── UnavailableError      something that we need does not answer
    ├── UpstreamError         something that we called answered wrongly
    ├── DeadlineError         it took longer than it may
    ├── IncompleteError       the rest of the request did not come in time
    └── InternalError         our own fault

A subclass, or an instance, carries a stable `code`. `HTTP_STATUS` alone maps a kind to HTTP, `RETRYABLE_KINDS` alone
maps it to what a worker does. `ml_shared.testing.errors_walk` holds every class of a package to that.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar, Final


class ErrorKind(StrEnum):
    """What sort of failure an error is; everything that treats errors alike goes by this."""

    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"
    RATE_LIMITED = "rate_limited"
    UNAVAILABLE = "unavailable"
    UPSTREAM = "upstream"
    TIMEOUT = "timeout"
    INCOMPLETE = "incomplete"
    INTERNAL = "internal"


HTTP_STATUS: Final[Mapping[ErrorKind, int]] = {
    ErrorKind.INVALID: 422,
    ErrorKind.UNAUTHORIZED: 401,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.TOO_LARGE: 413,
    ErrorKind.UNSUPPORTED: 415,
    ErrorKind.RATE_LIMITED: 429,
    ErrorKind.UNAVAILABLE: 503,
    ErrorKind.UPSTREAM: 502,
    ErrorKind.TIMEOUT: 504,
    ErrorKind.INCOMPLETE: 408,
    ErrorKind.INTERNAL: 500,
}

RETRYABLE_KINDS: Final = frozenset(
    {ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.UPSTREAM, ErrorKind.TIMEOUT}
)

DETAIL_MAX_CHARACTERS: Final = 2_000
# an error's text travels in answers, callbacks and rows; what a peer said is not ours to repeat without end


class ServiceError(Exception):
    """Base of every error that the fleet raises on purpose.

    Parameters
    ----------
    detail
        What was wrong and what would be right, for the caller to read. Never a key, never an internal address.
    code
        Stable, snake_case; the class's own unless given.
    retry_after_seconds
        When it may work, if that is known.
    retryable
        Overrides what the kind says about trying again.
    extra
        Further members of the problem document, JSON values only.
    """

    kind: ClassVar[ErrorKind] = ErrorKind.INTERNAL
    code: str = "internal_error"
    challenge: str | None = None
    # the answer's WWW-Authenticate, where a key, or another one, would help

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        retry_after_seconds: float | None = None,
        retryable: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.detail = detail[:DETAIL_MAX_CHARACTERS]
        super().__init__(self.detail)
        if code is not None:
            self.code = code
        self.retry_after_seconds = retry_after_seconds
        self.retryable = self.kind in RETRYABLE_KINDS if retryable is None else retryable
        self.extra = dict(extra or {})

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle would call the class with `args`, which a subclass with a signature of its own does not take
        return _unpickled, (type(self), self.detail), self.__dict__

    @property
    def status(self) -> int:
        """The HTTP status of this kind of error."""
        return HTTP_STATUS[self.kind]


def _unpickled(kind: type[ServiceError], detail: str) -> ServiceError:
    return kind.__new__(kind, detail)


class InvalidError(ServiceError):
    """The request is wrong, and repeating it will not help."""

    kind = ErrorKind.INVALID
    code = "invalid_request"


class UnauthorizedError(ServiceError):
    """No key, or not a valid one."""

    kind = ErrorKind.UNAUTHORIZED
    code = "invalid_api_key"
    challenge = 'Bearer realm="cloudcix-ml"'


class ForbiddenError(ServiceError):
    """A valid key that may not do this."""

    kind = ErrorKind.FORBIDDEN
    code = "forbidden"


class NotFoundError(ServiceError):
    """Not there, or another owner's: the two are never told apart."""

    kind = ErrorKind.NOT_FOUND
    code = "not_found"


class ConflictError(ServiceError):
    """The state of the thing does not allow it."""

    kind = ErrorKind.CONFLICT
    code = "conflict"


class TooLargeError(ServiceError):
    """Over a stated limit."""

    kind = ErrorKind.TOO_LARGE
    code = "too_large"


class UnsupportedError(ServiceError):
    """A kind of content that is not handled."""

    kind = ErrorKind.UNSUPPORTED
    code = "unsupported_media_type"


class RateLimitedError(ServiceError):
    """Too many requests; later it will work."""

    kind = ErrorKind.RATE_LIMITED
    code = "rate_limited"


class UnavailableError(ServiceError):
    """Something that we need does not answer."""

    kind = ErrorKind.UNAVAILABLE
    code = "unavailable"


class UpstreamError(ServiceError):
    """Something that we called answered wrongly."""

    kind = ErrorKind.UPSTREAM
    code = "upstream_error"


class DeadlineError(ServiceError):
    """It took longer than it may."""

    kind = ErrorKind.TIMEOUT
    code = "timeout"


class IncompleteError(ServiceError):
    """The rest of the request did not come in time."""

    kind = ErrorKind.INCOMPLETE
    code = "request_timeout"


class InternalError(ServiceError):
    """Our own fault."""

    kind = ErrorKind.INTERNAL
    code = "internal_error"


CLASS_OF_KIND: Final[Mapping[ErrorKind, type[ServiceError]]] = {
    base.kind: base
    for base in (
        *(InvalidError, UnauthorizedError, ForbiddenError, NotFoundError, ConflictError, TooLargeError),
        *(UnsupportedError, RateLimitedError, UnavailableError, UpstreamError, DeadlineError, IncompleteError),
        InternalError,
    )
}
