"""What a command's exit status says."""

from enum import IntEnum

from cloudcix_ml.errors import (
    AuthenticationError,
    CloudCIXError,
    ConfigurationError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    SignatureError,
    TransportError,
    UnavailableError,
    WaitTimeoutError,
)


class Exit(IntEnum):
    """Exit statuses, as the README lists them."""

    GOOD = 0
    FAILED = 1
    """A job, a page or a check failed; the platform refused for a reason of its own; somebody was asked, and said no; or a result
    could not be written."""
    USAGE = 2
    """The command was not understood, or the platform did not take a value."""
    CONFIGURATION = 3
    """No address or no key, a package that is not here, or something else that can't be right."""
    DENIED = 4
    """The key is not known, or may not do this."""
    NOT_FOUND = 5
    UNREACHABLE = 6
    """Nobody answered, or not for now; later it may work."""
    TIMED_OUT = 7
    """What was waited for goes on."""
    INTERRUPTED = 130


_OF = (
    (ConfigurationError, Exit.CONFIGURATION),
    (AuthenticationError, Exit.DENIED),
    (NotFoundError, Exit.NOT_FOUND),
    (TransportError, Exit.UNREACHABLE),
    (UnavailableError, Exit.UNREACHABLE),
    (RateLimitedError, Exit.UNREACHABLE),
    (WaitTimeoutError, Exit.TIMED_OUT),
    (PermissionDeniedError, Exit.DENIED),
    (InvalidRequestError, Exit.USAGE),
    (JobFailedError, Exit.FAILED),
    (SignatureError, Exit.FAILED),
)


def exit_of(error: CloudCIXError) -> Exit:
    """Return the exit status of an error."""
    return next((status for kind, status in _OF if isinstance(error, kind)), Exit.FAILED)
