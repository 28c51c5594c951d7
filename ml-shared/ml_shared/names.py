"""The names that more than one process has to spell alike."""

from enum import StrEnum


class Service(StrEnum):
    """A service, as it names itself in logs, metrics and `INTERNAL_CALLER_IDS`."""

    ORCHESTRATOR = "orchestrator"
    SCRAPER = "scraper"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"


class Queue(StrEnum):
    """A Celery queue: the names that the workers' commands listen on."""

    ORCHESTRATION = "orchestration"
    SCRAPER = "scraper"
    EMBED_JOBS = "embed_jobs"


class TaskName(StrEnum):
    """A Celery task. Explicit, so that moving a module renames no message in flight."""

    SCRAPE_URL = "scraper.scrape_url"
    SCRAPE_SEVERAL = "scraper.scrape_several"
    EMBED_DOCUMENT = "embedding.embed_document"
    EMBED_SEVERAL = "embedding.embed_several"
    DISPATCH = "orchestrator.dispatch"
    RECOVER_JOBS = "orchestrator.recover_jobs"
    PURGE = "orchestrator.purge"
    CRAWL = "orchestrator.crawl"


class Stage(StrEnum):
    """A stage of the pipeline, as callbacks, content and `failed_stage` name it."""

    SCRAPING = "scraping"
    CHUNKING = "chunking"
    EMBEDDING = "embedding"


SERVICE_KEY_PREFIX = "mlservice_"
"""How a service's own key begins: a peer that does not know it still knows that it is nothing to ask Membership about."""


class RequestMode(StrEnum):
    """How work was asked for: within a request, or through a queue."""

    SYNC = "sync"
    ASYNC = "async"


class Operation(StrEnum):
    """Which path of the system a metric is about."""

    READ = "read"
    WRITE = "write"


class Header:
    """HTTP headers of ours, and those that we read by name."""

    API_KEY = "X-API-Key"
    REQUEST_ID = "X-Request-Id"
    TRACE_ID = "X-Trace-Id"
    FORWARDED_PREFIX = "X-Forwarded-Prefix"
    CONTENT_SHA256 = "X-Content-SHA256"
    RETRY_AFTER = "Retry-After"
    RATE_LIMIT = "RateLimit"
    RATE_LIMIT_POLICY = "RateLimit-Policy"
