"""What is shaped by HTTP alone. The bodies of `POST /chunk` are contracts: `ml_shared.contracts.chunking`."""

from typing import Any, Final

ALTERNATIVE: Final = "the orchestrator's POST /jobs"
# chunking has no queue of its own

CHUNK_DESCRIPTION: Final = (
    "Each chunk is a slice of the text as it came: `text[start:end]`, in code points. `token_count` is the serving "
    "model's count of that slice, its special tokens included, and never more than `max_tokens`. Every character that "
    "is not blank is in some chunk, in the text's order. A `job_id` is echoed and nothing more."
)
CHUNK_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"description": "No API key, or not a valid one"},
    413: {"description": "The body is too large"},
    422: {"description": "A field is wrong; `max_tokens_too_large` when it is above what the serving model reads"},
    429: {"description": "Over the rate limit, or `too_many_texts`: as many of yours as may be are being cut or wait"},
    503: {"description": "`chunking_busy`: as many texts as the service holds at once are waiting"},
    504: {"description": f"Not done within SYNC_TIMEOUT_SECONDS; use {ALTERNATIVE}"},
}
