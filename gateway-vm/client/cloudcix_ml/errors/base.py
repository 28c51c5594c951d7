"""What this package raises, one tree.

    CloudCIXError
    ├── ConfigurationError      no address, no key, or one or a value that can't be right; nothing was sent
    ├── TransportError          nobody answered: refused, reset, or too late
    ├── AnswerError             an answer that is none of this API's
    ├── WaitTimeoutError        what was waited for has not ended; it goes on
    ├── JobFailedError          the job ended, and not well
    ├── SignatureError          a webhook that is not from the platform, or not from now
    └── ProblemError            a problem document (RFC 9457); one class a kind, one below it a `code`
        ├── InvalidRequestError ├── AuthenticationError ├── PermissionDeniedError ├── NotFoundError
        ├── ConflictError       ├── TooLargeError       ├── UnsupportedError      ├── RateLimitedError
        └── UnavailableError, UpstreamError, DeadlineError, IncompleteError, InternalError

No error's text has a key in it: what was sent is not repeated, and a key that comes back in an answer is masked.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from cloudcix_ml.models.jobs import Job


def _bare(kind: type["CloudCIXError"], *args: Any) -> "CloudCIXError":
    return kind.__new__(kind, *args)


class CloudCIXError(Exception):
    """Base of everything that this package raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # with its attributes and without its __init__, whose arguments are not what Exception remembers: an error that can't be read
        # again in the process that waits for it breaks a whole pool of them
        return _bare, (type(self), *self.args), vars(self)


class ConfigurationError(CloudCIXError):
    """An address, a key or a value is missing or can't be right; nothing was sent."""


class TransportError(CloudCIXError):
    """Nobody answered.

    Parameters
    ----------
    sent
        Whether the request may have reached the server; False where no connection was made.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class AnswerError(CloudCIXError):
    """An answer that is none of this API's: another server stands there, or a proxy before it."""


class WaitTimeoutError(CloudCIXError):
    """What was waited for has not ended yet; it goes on, and can be waited for again.

    Parameters
    ----------
    subject
        What was waited for, as it was last seen.
    """

    def __init__(self, message: str, subject: Any = None) -> None:
        super().__init__(message)
        self.subject = subject


class JobFailedError(CloudCIXError):
    """A job ended as failed or cancelled.

    Parameters
    ----------
    job
        The job, with its `error`.
    """

    def __init__(self, job: "Job") -> None:
        reason = f"{job.error.code}: {job.error.message}" if job.error else str(job.status)
        super().__init__(f"{job.url}: {reason} (job {job.job_id})")
        self.job = job
        self.code = job.error.code if job.error else str(job.status)


class SignatureError(CloudCIXError):
    """A webhook that is not from the platform, was changed on its way, or is too old."""


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong with one field of a request."""

    field: str
    message: str
    type: str = ""


@dataclass(frozen=True)
class ProblemDocument:
    """What a problem document says, as far as it could be read."""

    status: int
    code: str
    detail: str
    title: str = ""
    request_id: str | None = None
    trace_id: str | None = None
    errors: tuple[FieldProblem, ...] = field(default=())


class ProblemError(CloudCIXError):
    """The platform refused a request, and says why.

    Parameters
    ----------
    problem
        What it said.
    retry_after_seconds
        When it may work, if that was said.
    """

    code: ClassVar[str] = ""
    """Of a class below a kind: the `code` that it stands for."""
    worth_repeating: ClassVar[bool] = False
    """Whether the same request may work later."""

    def __init__(self, problem: ProblemDocument, *, retry_after_seconds: float | None = None) -> None:
        fields = "".join(f"; {one.field}: {one.message}" for one in problem.errors[:3])
        traced = f" (trace {problem.trace_id})" if problem.trace_id else ""
        super().__init__(f"{problem.code}: {problem.detail}{fields}{traced}")
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def detail(self) -> str:
        """What was wrong and what would be right."""
        return self.problem.detail

    @property
    def errors(self) -> tuple[FieldProblem, ...]:
        """Of a 422: each wrong field."""
        return self.problem.errors

    @property
    def request_id(self) -> str | None:
        """Finds the request in the platform's logs."""
        return self.problem.request_id

    @property
    def trace_id(self) -> str | None:
        """Finds the request's trace."""
        return self.problem.trace_id
