"""What can go wrong with a page. The codes are part of the scraper's contract."""

from typing import Final

from ml_shared.errors import (
    DeadlineError,
    ForbiddenError,
    InvalidError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UnsupportedError,
    UpstreamError,
)

_TEMPORARY_STATUSES: Final = frozenset({408, 425, 429})
# the client errors that say "not now" rather than "not ever"


class RobotsDisallowedError(ForbiddenError):
    """The site's robots.txt asks us not to fetch this page."""

    code = "robots_disallowed"


class RobotsUnreachableError(UpstreamError):
    """The site's robots.txt could not be read, so nobody knows what it allows."""

    code = "robots_unreachable"


class HostBusyError(RateLimitedError):
    """The host's next free slot is further away than a worker may sleep."""

    code = "host_busy"


class PacingUnavailableError(UnavailableError):
    """The store that keeps every host's pace does not answer; without it nothing is fetched."""

    code = "pacing_unavailable"


class PageTooLargeError(TooLargeError):
    """The page, decoded, is longer than the limit."""

    code = "too_large"


class UnsupportedContentTypeError(UnsupportedError):
    """Of a kind that there is no reader for: by its header, or by its bytes whatever the header says."""

    code = "unsupported_content_type"


class FetchTimeoutError(DeadlineError):
    """The host took longer than a page may take."""

    code = "fetch_timeout"


class TooManyRedirectsError(UpstreamError):
    """More redirects than a page may have."""

    code = "too_many_redirects"


class HttpStatusError(UpstreamError):
    """The host answered, but not with a page."""

    code = "http_status"

    def __init__(self, status: int, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(
            f"the page's host answered with HTTP status {status}",
            retryable=status in _TEMPORARY_STATUSES or status >= 500,
            retry_after_seconds=retry_after_seconds,
            extra={"upstream_status": status},
        )
        self.upstream_status = status


class ChallengePageError(UnsupportedError):
    """In the page's place came a check whether we are a browser, or a person."""

    code = "challenge_page"


class LoginRequiredError(UnsupportedError):
    """In the page's place came a form to log in with."""

    code = "login_required"


class EmptyContentError(UnsupportedError):
    """The page holds no text, or none but that it needs JavaScript or is loading."""

    code = "empty_content"


class NoTextLayerError(UnsupportedError):
    """The document is made of pictures of its pages, such as a scanned one; they are not read."""

    code = "no_text_layer"


class EncryptedError(UnsupportedError):
    """It takes a password to read the document, or a licence."""

    code = "encrypted"


class NotAListError(UnsupportedError):
    """What was to name URLs is no sitemap, no feed and no page that names feeds."""

    code = "not_a_list"


class NoIndexError(ForbiddenError):
    """The page asks robots not to index it."""

    code = "noindex"


class RendererNotConfiguredError(InvalidError):
    """The page was to be rendered, and there is no renderer here."""

    code = "renderer_not_configured"


class RendererUnavailableError(UnavailableError):
    """The renderer does not answer, or all its browsers are in use; later it will work."""

    code = "renderer_unavailable"


class RenderError(UnsupportedError):
    """The page's browser crashed, or took more memory or time than a page may have."""

    code = "render_failed"


class RenderTimeoutError(DeadlineError):
    """What the page is made of did not come in time, and it has no text without."""

    code = "render_timeout"


class ExtractionError(UnsupportedError):
    """The page could not be turned into text within the limits on time and memory."""

    code = "extraction_failed"
