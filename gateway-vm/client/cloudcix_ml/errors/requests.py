"""Codes of any request: its form, its key, and how much there is of it."""

from cloudcix_ml.errors.kinds import (
    AuthenticationError,
    ConflictError,
    DeadlineError,
    IncompleteError,
    InternalError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
)


class MalformedRequestError(InvalidRequestError):
    """A field is wrong, unknown or given twice."""

    code = "invalid_request"


class InvalidCursorError(InvalidRequestError):
    """The cursor is of another list, or was changed on its way."""

    code = "invalid_cursor"


class MissingKeyError(AuthenticationError):
    """The request came without a key."""

    code = "missing_api_key"


class InvalidKeyError(AuthenticationError):
    """The key is not known, or was revoked."""

    code = "invalid_api_key"


class ForbiddenError(PermissionDeniedError):
    """This key may not do this."""

    code = "forbidden"


class InsufficientScopeError(PermissionDeniedError):
    """The key lacks a scope that the route needs."""

    code = "insufficient_scope"


class InternalOnlyError(PermissionDeniedError):
    """The route is for the platform's own services."""

    code = "internal_only"


class InternalFieldError(PermissionDeniedError):
    """The field is for the platform's own services."""

    code = "internal_field"


class UsersOnlyError(PermissionDeniedError):
    """The route is for users, not for services."""

    code = "users_only"


class RouteNotFoundError(NotFoundError):
    """There is no such path; the platform may be of another version."""

    code = "not_found"


class MethodNotAllowedError(NotFoundError):
    """The path exists, but not with this method."""

    code = "method_not_allowed"


class RequestTimeoutError(IncompleteError):
    """The rest of the body did not come in time."""

    code = "request_timeout"


class StateConflictError(ConflictError):
    """The state of the thing does not allow it."""

    code = "conflict"


class BodyTooLargeError(TooLargeError):
    """The body, or the page, is over its limit."""

    code = "too_large"


class UnsupportedMediaTypeError(UnsupportedError):
    """The body is of a kind that the route does not take."""

    code = "unsupported_media_type"


class UnsupportedContentEncodingError(UnsupportedError):
    """The body is compressed; send it plain."""

    code = "unsupported_content_encoding"


class TooManyRequestsError(RateLimitedError):
    """More requests than a minute allows."""

    code = "rate_limited"


class TooManyAtOnceError(RateLimitedError):
    """As many requests of this caller as may be are served already."""

    code = "too_many_at_once"


class TooManyBytesError(RateLimitedError):
    """Too many large bodies of this caller at once."""

    code = "too_many_bytes"


class BodiesFullError(UnavailableError):
    """Too many large bodies are being worked on."""

    code = "bodies_full"


class BusyError(UnavailableError):
    """Nothing of what all callers share came free in time."""

    code = "busy"


class StoppingError(UnavailableError):
    """This server is being stopped; another one takes over."""

    code = "stopping"


class ServiceUnavailableError(UnavailableError):
    """A service does not answer."""

    code = "unavailable"


class MembershipUnavailableError(UnavailableError):
    """Keys can't be looked up at the moment."""

    code = "membership_unavailable"


class RedisUnavailableError(UnavailableError):
    """A service's Redis does not answer."""

    code = "redis_unavailable"


class StoreUnavailableError(UnavailableError):
    """A service's database does not answer."""

    code = "store_unavailable"


class BadGatewayError(UpstreamError):
    """The gateway did not reach a service, or it broke off: what was asked may have been done."""

    code = "upstream_error"
    worth_repeating = True


class GatewayTimeoutError(DeadlineError):
    """A service took longer than the gateway waits."""

    code = "timeout"


class SyncTimeoutError(DeadlineError):
    """Longer than a request may take; the text names an alternative."""

    code = "sync_timeout"


class PlatformFaultError(InternalError):
    """A fault of the platform's own."""

    code = "internal_error"
