"""Codes of chunking, embedding, corpora and search."""

from cloudcix_ml.errors.kinds import (
    InvalidRequestError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
    UnavailableError,
    UpstreamError,
)


class CorpusNotFoundError(NotFoundError):
    """There is no such corpus, or it is another owner's."""

    code = "corpus_not_found"


class DocumentNotFoundError(NotFoundError):
    """There is no such document in the corpus."""

    code = "document_not_found"


class EndpointUnavailableError(UnavailableError):
    """The model's server did not answer."""

    code = "endpoint_unavailable"


class EndpointRateLimitedError(RateLimitedError):
    """The model's server has enough to do."""

    code = "endpoint_rate_limited"


class DimensionMismatchError(UpstreamError):
    """The model makes vectors of another size than is set."""

    code = "dimension_mismatch"


class InvalidVectorError(UpstreamError):
    """The model made no vector of a text."""

    code = "invalid_vector"


class ModelMismatchError(InvalidRequestError):
    """The corpora are of different models."""

    code = "model_mismatch"


class InputTooLongError(InvalidRequestError):
    """A text is longer than the model reads."""

    code = "input_too_long"


class UnknownTokensError(InvalidRequestError):
    """Token ids that the model does not have."""

    code = "unknown_tokens"


class ModelNotServedError(NotFoundError):
    """No such model is served."""

    code = "model_not_served"


class NoRerankerError(InvalidRequestError):
    """This platform has no reranker."""

    code = "no_reranker"


class RerankFailedError(UpstreamError):
    """The reranker did not answer as it should."""

    code = "rerank_failed"


class TooManyChunksError(TooLargeError):
    """More chunks than a document may have."""

    code = "too_many_chunks"


class TooManyTextsError(RateLimitedError):
    """As many texts of this caller as may be are being cut."""

    code = "too_many_texts"


class ChunkingBusyError(UnavailableError):
    """The texts of all callers fill the service."""

    code = "chunking_busy"


class MaxTokensTooLargeError(InvalidRequestError):
    """Chunks longer than the model reads."""

    code = "max_tokens_too_large"


class MaxTokensTooSmallError(InvalidRequestError):
    """Chunks too small for their overlap, or for a heading."""

    code = "max_tokens_too_small"
