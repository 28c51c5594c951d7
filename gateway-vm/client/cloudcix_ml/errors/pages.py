"""Codes of fetching and reading a page or a file."""

from cloudcix_ml.errors.kinds import (
    DeadlineError,
    InvalidRequestError,
    PermissionDeniedError,
    RateLimitedError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
)


class InvalidUrlError(InvalidRequestError):
    """No URL that can be fetched."""

    code = "invalid_url"


class BlockedAddressError(InvalidRequestError):
    """The address may not be fetched."""

    code = "blocked_address"


class BlockedSchemeError(InvalidRequestError):
    """Only http and https are fetched."""

    code = "blocked_scheme"


class BlockedPortError(InvalidRequestError):
    """The port may not be asked."""

    code = "blocked_port"


class DnsFailedError(UpstreamError):
    """The host's name was not found."""

    code = "dns_failed"


class TlsFailedError(UpstreamError):
    """The site's certificate is not valid, or its TLS not usable."""

    code = "tls_failed"


class FetchTimeoutError(DeadlineError):
    """The site took too long."""

    code = "fetch_timeout"


class RobotsDisallowedError(PermissionDeniedError):
    """The site's robots.txt forbids it."""

    code = "robots_disallowed"


class RobotsUnreachableError(UpstreamError):
    """The site's robots.txt could not be read, so nothing is."""

    code = "robots_unreachable"


class HostBusyError(RateLimitedError):
    """The site may not be asked again yet."""

    code = "host_busy"


class PacingUnavailableError(UnavailableError):
    """Nobody knows when the site may be asked."""

    code = "pacing_unavailable"


class TooManyScrapesError(RateLimitedError):
    """Too many pages are being fetched for direct calls."""

    code = "too_many_scrapes"


class PageStatusError(UpstreamError):
    """The site answered with an error."""

    code = "http_status"


class TooManyRedirectsError(UpstreamError):
    """The site redirects without end."""

    code = "too_many_redirects"


class UnsupportedContentTypeError(UnsupportedError):
    """The page is of a kind that is not read."""

    code = "unsupported_content_type"


class EmptyContentError(UnsupportedError):
    """There is no text in it."""

    code = "empty_content"


class NoTextLayerError(UnsupportedError):
    """A scanned document, without text."""

    code = "no_text_layer"


class EncryptedError(UnsupportedError):
    """It takes a password."""

    code = "encrypted"


class ExtractionFailedError(UnsupportedError):
    """Its text could not be read."""

    code = "extraction_failed"


class RendererNotConfiguredError(InvalidRequestError):
    """The page was to be rendered, and there is no renderer."""

    code = "renderer_not_configured"


class RendererUnavailableError(UnavailableError):
    """The renderer does not answer, or all its browsers are in use."""

    code = "renderer_unavailable"


class RenderFailedError(UnsupportedError):
    """The page's browser crashed, or took more than a page may have."""

    code = "render_failed"


class RenderTimeoutError(DeadlineError):
    """What the page is made of did not come in time."""

    code = "render_timeout"


class NoIndexError(PermissionDeniedError):
    """The page asks not to be indexed."""

    code = "noindex"


class ChallengePageError(UnsupportedError):
    """The site asked for a browser or a person instead of answering."""

    code = "challenge_page"


class LoginRequiredError(UnsupportedError):
    """The site answered with its form to log in."""

    code = "login_required"
