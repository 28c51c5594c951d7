"""CloudCIX ML Services from Python: index pages and files, and search them.

from cloudcix_ml import Client

with Client("https://ml.example.com", key) as client:
    client.index("https://example.com/", corpus_name="mine")
    for hit in client.search("What is this domain for?", corpus_name="mine").results:
        print(hit.score, hit.url, hit.text)
"""

from cloudcix_ml.client import AsyncClient, Client
from cloudcix_ml.errors import (
    AuthenticationError,
    CloudCIXError,
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    ProblemError,
    RateLimitedError,
    TransportError,
    UnavailableError,
    WaitTimeoutError,
)
from cloudcix_ml.models.jobs import Batch, ChunkingOptions, Job, JobStatus
from cloudcix_ml.models.search import Hit, SearchAnswer, SearchFilters, SearchMode
from cloudcix_ml.version import VERSION

__version__ = VERSION

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "ChunkingOptions",
    "Client",
    "CloudCIXError",
    "ConfigurationError",
    "ConflictError",
    "Hit",
    "InvalidRequestError",
    "Job",
    "JobFailedError",
    "JobStatus",
    "NotFoundError",
    "PermissionDeniedError",
    "ProblemError",
    "RateLimitedError",
    "SearchAnswer",
    "SearchFilters",
    "SearchMode",
    "TransportError",
    "UnavailableError",
    "WaitTimeoutError",
    "__version__",
]
