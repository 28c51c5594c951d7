"""The vocabulary of our span attributes: one line each, with type and meaning. Log fields replace `.` by `_`.

Names only ever come from here; an attribute that is not listed is not ours to set.
"""

from typing import Final

JOB_ID: Final = "job.id"  # str: the orchestrator's job; absent on direct calls
JOB_URL: Final = "job.url"  # str: the submitted URL as `telemetry.urls.told_url` has it: no values of its query
JOB_STAGE: Final = "job.stage"  # str: scrape | chunk | embed | read
QUEUE_NAME: Final = "queue.name"  # str: the Celery queue
OPERATION: Final = "operation"  # str: read | write
REQUEST_MODE: Final = "request.mode"  # str: sync | async
CORPUS_NAME: Final = "corpus.name"  # str: as the owner named it
EMBEDDING_MODEL: Final = "embedding.model"  # str: the model that made the vectors
EMBEDDING_TOKENS: Final = "embedding.tokens"  # int: tokens sent to the endpoint
EMBEDDING_BATCH_SIZE: Final = "embedding.batch_size"  # int: texts in one call to the endpoint
SEARCH_TOP_K: Final = "search.top_k"  # int: results asked for
SEARCH_MODE: Final = "search.mode"  # str: vector | text | hybrid
CALLER_TYPE: Final = "caller.type"  # str: user | service | unknown
HTTP_REQUEST_ID: Final = "http.request_id"  # str: joins gateway logs and spans
FAILED_STAGE: Final = "failed.stage"  # str: the stage that failed
SCRAPE_RESPONSE_BYTES: Final = "scrape.response_bytes"  # int: decoded bytes of the page
CHUNK_COUNT: Final = "chunk.count"  # int: chunks made, or written
ERROR_CODE: Final = "error.code"  # str: our stable code of a failure
DISPATCH_STAGE: Final = "dispatch.stage"  # str: the stage that a pass, or a hand-out, is for
ATTEMPT: Final = "job.attempt"  # int: the attempt's number within its stage
SAMPLING_PRIORITY: Final = "sampling.priority"  # int: 1 on what a collector that samples is to keep all the same


class JobStage:
    """Values of `job.stage`; callbacks and `failed.stage` use `names.Stage`."""

    SCRAPE: Final = "scrape"
    CHUNK: Final = "chunk"
    EMBED: Final = "embed"
    READ: Final = "read"
