"""One class a kind of problem: what a program treats alike."""

from collections.abc import Mapping
from typing import Final

from cloudcix_ml.errors.base import ProblemError


class InvalidRequestError(ProblemError):
    """The request is wrong, and repeating it will not help."""


class AuthenticationError(ProblemError):
    """No key, or not a valid one."""


class PermissionDeniedError(ProblemError):
    """A valid key that may not do this."""


class NotFoundError(ProblemError):
    """It does not exist, or is another owner's."""


class ConflictError(ProblemError):
    """The state of the thing does not allow it."""


class TooLargeError(ProblemError):
    """Over a stated limit."""


class UnsupportedError(ProblemError):
    """A kind of content that is not read."""


class RateLimitedError(ProblemError):
    """Too many requests, or too much work that waits; later it will work."""

    worth_repeating = True


class UnavailableError(ProblemError):
    """Something that is needed does not answer."""

    worth_repeating = True


class UpstreamError(ProblemError):
    """Something that was called answered wrongly."""


class DeadlineError(ProblemError):
    """It took longer than it may; the text names an alternative."""


class IncompleteError(ProblemError):
    """The rest of the request did not come in time."""

    worth_repeating = True


class InternalError(ProblemError):
    """A fault of the platform's own; the trace id finds it."""


KIND_OF_STATUS: Final[Mapping[int, type[ProblemError]]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: NotFoundError,
    408: IncompleteError,
    409: ConflictError,
    413: TooLargeError,
    415: UnsupportedError,
    429: RateLimitedError,
    502: UpstreamError,
    503: UnavailableError,
    504: DeadlineError,
}


def kind_of(status: int) -> type[ProblemError]:
    """Return the class of a status that has no class of its own `code`."""
    default = InvalidRequestError if status < 500 else InternalError
    return KIND_OF_STATUS.get(status, default)
