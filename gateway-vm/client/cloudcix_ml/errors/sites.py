"""Codes of crawls, webhooks and uploads."""

from cloudcix_ml.errors.kinds import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
    UnsupportedError,
)


class CrawlNotFoundError(NotFoundError):
    """There is no such crawl, or it is another owner's."""

    code = "crawl_not_found"


class RunNotFoundError(NotFoundError):
    """The crawl has no such run."""

    code = "run_not_found"


class TooManyCrawlsError(ConflictError):
    """As many crawls as an owner may have."""

    code = "too_many_crawls"


class TooManyOpenRunsError(RateLimitedError):
    """As many runs at once as an owner may have."""

    code = "too_many_open_runs"


class RunInProgressError(ConflictError):
    """The crawl's last run has not ended."""

    code = "run_in_progress"


class NotHeldError(ConflictError):
    """The run holds nothing back that could be confirmed."""

    code = "not_held"


class InvalidScheduleError(InvalidRequestError):
    """No schedule that comes due."""

    code = "invalid_schedule"


class WebhookNotFoundError(NotFoundError):
    """There is no such webhook, or it is another owner's."""

    code = "webhook_not_found"


class DeliveryNotFoundError(NotFoundError):
    """The webhook has no such delivery."""

    code = "delivery_not_found"


class WebhookPausedError(ConflictError):
    """The webhook is paused; resume it first."""

    code = "webhook_paused"


class TooManyWebhooksError(ConflictError):
    """As many webhooks as an owner may have."""

    code = "too_many_webhooks"


class WebhooksUnavailableError(UnavailableError):
    """This platform has no key to seal secrets with."""

    code = "webhooks_unavailable"


class UploadsFullError(UnavailableError):
    """There is no room for what is uploaded at the moment."""

    code = "uploads_full"


class InvalidLastEventIdError(InvalidRequestError):
    """Last-Event-ID is not the id of an event."""

    code = "invalid_last_event_id"


class RepeatedFieldError(InvalidRequestError):
    """A field of the form is there twice."""

    code = "repeated_field"


class NotAListError(UnsupportedError):
    """It is no sitemap and no feed."""

    code = "not_a_list"
