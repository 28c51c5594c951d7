"""The embedding endpoint for development: OpenAI's embeddings API over a small real model.

    ENDPOINT_API_KEY=… python -m standins.endpoint --host 127.0.0.1 --port 8090

`POST /v1/embeddings` and `GET /v1/models` need the key as a bearer token; `GET /health` and `GET /stats` do not. A
text that does not fit the model is refused, never cut.
"""

import asyncio
import base64
import hashlib
import os
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from standins.minilm import MiniLm, Vectors, batches
from standins.openai_errors import RefusedError, answer_refused
from standins.openai_requests import MAX_TEXTS, check_key, key_hash, read_body
from standins.serving import arguments_of, serve
from standins.weights import DIMENSIONS, MAX_TOKENS, MODEL_ALIASES, MODEL_NAME, WeightsError

DEFAULT_CACHE = Path(".state/model")


class EmbeddingsRequest(BaseModel):
    """`POST /v1/embeddings`, as far as a model that takes text can serve it."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: Annotated[str, Field(min_length=1)] | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None

    @property
    def texts(self) -> list[str]:
        """The input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


SHORTEST_PASSAGE: Final = 160
# characters: what is shorter may be headings, which pages have in common and which are embedded for each


class Stats:
    """What the endpoint has been sent since it started. Texts are told apart by their hash; none is kept."""

    def __init__(self) -> None:
        self.requests = 0
        self.texts = 0
        self.passages = 0
        self.tokens = 0
        self._seen: set[bytes] = set()
        self._seen_passages: set[bytes] = set()

    def count(self, texts: list[str], tokens: int) -> None:
        """Record one request that was served."""
        self.requests += 1
        self.texts += len(texts)
        self.tokens += tokens
        for text in texts:
            digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
            self._seen.add(digest)
            if len(text) >= SHORTEST_PASSAGE:
                self.passages += 1
                self._seen_passages.add(digest)

    def as_json(self) -> dict[str, int]:
        """Return the counts."""
        return {
            "requests": self.requests,
            "texts": self.texts,
            "distinct_texts": len(self._seen),
            "passages": self.passages,
            "distinct_passages": len(self._seen_passages),
            "tokens": self.tokens,
        }


class Encoder:
    """Runs the model on one thread, a batch at a time, so that requests take turns and the event loop stays free."""

    def __init__(self, model: MiniLm) -> None:
        self._model = model
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")

    async def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return each text's token ids. Tokenizing releases the interpreter's lock, so any thread will do."""
        return await asyncio.to_thread(self._model.tokenize, texts)

    async def embed(self, tokens: list[list[int]]) -> Vectors:
        """Return one vector a row, in the order given."""
        vectors = np.empty((len(tokens), DIMENSIONS), dtype=np.float32)
        loop = asyncio.get_running_loop()
        for group in batches([len(ids) for ids in tokens]):
            batch = [tokens[position] for position in group]
            vectors[group] = await loop.run_in_executor(self._thread, self._model.embed, batch)
        return vectors

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)


def _parse(body: bytes) -> EmbeddingsRequest:
    try:
        wanted = EmbeddingsRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        if field == "input":
            message = "input has to be a non-empty string or a list of strings; token lists are not taken here."
        else:
            message = f"{field or 'body'}: {first['msg']}"
        raise RefusedError(message, param=field) from error
    if wanted.model not in MODEL_ALIASES:
        message = f"The model {wanted.model!r} does not exist; this endpoint serves {MODEL_NAME}."
        raise RefusedError(message, status=404, code="model_not_found", param="model")
    if not 0 < len(wanted.texts) <= MAX_TEXTS:
        raise RefusedError(f"input has to be 1 to {MAX_TEXTS} strings, not {len(wanted.texts)}.", param="input")
    if not all(wanted.texts):
        raise RefusedError(f"input[{wanted.texts.index('')}] is an empty string.", param="input")
    if wanted.dimensions not in (None, DIMENSIONS):
        raise RefusedError(f"{MODEL_NAME} makes vectors of {DIMENSIONS} dimensions only.", param="dimensions")
    return wanted


def _check_lengths(tokens: list[list[int]]) -> None:
    for position, ids in enumerate(tokens):
        if len(ids) > MAX_TOKENS:
            raise RefusedError(
                f"This model's maximum context length is {MAX_TOKENS} tokens, however input[{position}] has "
                f"{len(ids)} tokens, special ones included. Please reduce its length.",
                code="context_length_exceeded",
                param="input",
            )


async def create_embeddings(request: Request) -> Response:
    check_key(request, request.app.state.key_hash)
    wanted = _parse(await read_body(request))
    encoder: Encoder = request.app.state.encoder
    tokens = await encoder.tokenize(wanted.texts)
    _check_lengths(tokens)
    vectors = await encoder.embed(tokens)
    used = sum(len(ids) for ids in tokens)
    request.app.state.stats.count(wanted.texts, used)
    rows = [
        base64.b64encode(row.astype("<f4").tobytes()).decode() if wanted.encoding_format == "base64" else row
        for row in vectors
    ]
    answer = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
        "model": MODEL_NAME,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


async def list_models(request: Request) -> Response:
    check_key(request, request.app.state.key_hash)
    model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "sentence-transformers"}
    return JSONResponse({"object": "list", "data": [model]})


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok", "model": MODEL_NAME, "dimensions": DIMENSIONS, "max_tokens": MAX_TOKENS})


async def stats(request: Request) -> Response:
    counts: Stats = request.app.state.stats
    return JSONResponse(counts.as_json())


async def _not_served(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return RefusedError("No such route, or not with this method.", status=status).response()


def build_endpoint_app(model: MiniLm, api_key: str) -> Starlette:
    """Build the endpoint's ASGI application.

    Parameters
    ----------
    model
        The loaded model.
    api_key
        The one key that it takes. Only its hash is kept.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.encoder = Encoder(model)
        yield
        app.state.encoder.close()

    app = Starlette(
        routes=[
            Route("/v1/embeddings", create_embeddings, methods=["POST"]),
            Route("/v1/models", list_models),
            Route("/health", health),
            Route("/stats", stats),
        ],
        exception_handlers={RefusedError: answer_refused, HTTPException: _not_served},
        lifespan=lifespan,
    )
    app.state.key_hash = key_hash(api_key)
    app.state.stats = Stats()
    return app


def main() -> int:
    """Load the model and serve until a signal ends it."""
    parser = arguments_of("standins.endpoint", __doc__)
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder of the model's graph")
    parser.add_argument("--threads", type=int, default=None, help="cores that one batch may use")
    arguments = parser.parse_args()
    api_key = os.environ.get("ENDPOINT_API_KEY", "")
    if not api_key:
        print("ENDPOINT_API_KEY is not set; it is the key that callers have to send", file=sys.stderr)
        return 2
    try:
        model = MiniLm.load(arguments.cache, threads=arguments.threads)
    except WeightsError as error:
        print(error, file=sys.stderr)
        return 1
    app = build_endpoint_app(model, api_key)
    return serve(app, f"embedding endpoint ({MODEL_NAME})", arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
