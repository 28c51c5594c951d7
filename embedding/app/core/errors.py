"""What goes wrong here, by the codes of the contract.

ServiceError
├── InvalidError
│   ├── InputTooLongError          longer than the model takes; no document's text is ever truncated
│   ├── TokenIdsError              not the model's token ids, or no tokenizer here to read them
│   ├── RerankerMissingError       asked for a reranker, and there is none
│   └── ModelMismatchError         asked for by another model's name
├── NotFoundError
│   ├── CorpusNotFoundError        not there, or another owner's
│   ├── DocumentNotFoundError
│   └── ModelNotServedError        the settings name no such model
├── ConflictError
│   ├── ModelStillAnswersError     whose vectors are not deleted
│   └── PoorRecallError            a search by the model's index would miss too much
├── RateLimitedError
│   └── EndpointRateLimitedError   429 of the endpoint
├── UnavailableError
│   ├── EndpointUnavailableError   no answer from the endpoint, or an answer that is the operator's to mend
│   ├── StoreUnavailableError      no answer from PostgreSQL
│   └── ModelNotPreparedError      the migration step has not met this model
└── UpstreamError
    ├── EndpointAnswerError        not the answer that was asked for
    ├── RerankError                no usable answer of the reranker; a search then answers without it
    ├── DimensionMismatchError     vectors of another length than EMBEDDING_DIMENSIONS
    └── InvalidVectorError         not finite, or of no length
"""

from ml_shared.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    RateLimitedError,
    UnavailableError,
    UpstreamError,
)
from ml_shared.storage.postgres import StoreUnavailableError as StoreUnavailableError


class InputTooLongError(InvalidError):
    """A text has more tokens than the model takes."""

    code = "input_too_long"


class ModelMismatchError(InvalidError):
    """The request names a model that is not the one served here."""

    code = "model_mismatch"


class RerankerMissingError(InvalidError):
    """The request asks for a reranker, and none is configured."""

    code = "no_reranker"


class TokenIdsError(InvalidError):
    """Token ids that are not the model's, or that nobody here can read."""

    code = "unknown_tokens"


class CorpusNotFoundError(NotFoundError):
    """The caller has no such corpus."""

    code = "corpus_not_found"

    def __init__(self, *names: str) -> None:
        super().__init__(f"there is no corpus {', '.join(repr(name) for name in names)}")


class DocumentNotFoundError(NotFoundError):
    """The corpus holds no such document."""

    code = "document_not_found"


class EndpointRateLimitedError(RateLimitedError):
    """The embedding endpoint asks for fewer calls."""

    code = "endpoint_rate_limited"


class EndpointUnavailableError(UnavailableError):
    """The embedding endpoint does not answer, or not us."""

    code = "endpoint_unavailable"


class DocumentDiffersError(UnavailableError):
    """A document is not what its page was known by: it is made anew, of content that somebody has to fetch first."""

    code = "content_missing"


class ModelNotPreparedError(UnavailableError):
    """The database does not know the configured model yet."""

    code = "stale_schema"


class EndpointAnswerError(UpstreamError):
    """The embedding endpoint answered something else than what it was asked for."""

    code = "upstream_error"


class RerankError(UpstreamError):
    """The reranker gave no usable answer in time; it never fails a search."""

    code = "rerank_failed"


class DimensionMismatchError(UpstreamError):
    """The vectors have another length than the settings say."""

    code = "dimension_mismatch"


class InvalidVectorError(UpstreamError):
    """A vector that no distance can be taken to. The same text would give it again, so it is not retried."""

    code = "invalid_vector"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retryable=False)


class ModelNotServedError(NotFoundError):
    """The settings name no such model."""

    code = "model_not_served"


class ChangeNotFoundError(NotFoundError):
    """No change of model has that number."""

    code = "change_not_found"


class ChangeUnderWayError(ConflictError):
    """One change of model at a time."""

    code = "change_under_way"


class ModelStillAnswersError(ConflictError):
    """Vectors that corpora answer from are not deleted."""

    code = "model_still_answers"


class PoorRecallError(ConflictError):
    """A search by the model's index would miss too much of what is nearest."""

    code = "poor_recall"
