"""An OpenAI-compatible embedding endpoint over an encoder with random weights: its vectors mean nothing, its speed does.

    ENDPOINT_API_KEY=… python -m bench.gpu.server --port 8090 [--encoder torch] [--shape bge-large]

`POST /v1/embeddings` takes texts or tokens and answers floats or base64; `GET /v1/models`; both want the key. `GET
/health` and `GET /stats` don't. Requests are taken apart and computed in batches of like length. A text that is too long is
refused, never cut; so is a request that finds the room full, with `429` and `Retry-After`.
"""

import argparse
import asyncio
import base64
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, Final, Literal

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from standins.openai_errors import RefusedError, answer_refused
from standins.openai_requests import MAX_TEXTS, check_key, key_hash, read_body
from standins.serving import arguments_of, serve
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from tokenizers import Tokenizer

from bench.gpu import tied
from bench.gpu.choices import add_arguments, chosen_encoder, chosen_shape
from bench.gpu.encoder import Encoder, Shape, TorchMissingError, Vectors, warm
from bench.gpu.room import BATCH_TEXTS, BATCH_TOKENS, LONGEST_WAIT_SECONDS, MOST_WAITING, Room, RoomFullError, Waiting
from bench.gpu.runner import Runner
from bench.gpu.words import count, tokenize, tokenizer

MODEL: Final = "random-bge-large"
COME_AGAIN_SECONDS: Final = "1"

Tokens = Annotated[list[int], Field(min_length=1)]
Input = Annotated[str, Field(min_length=1)]


class EmbeddingsRequest(BaseModel):
    """`POST /v1/embeddings`."""

    model_config = ConfigDict(extra="forbid")

    model: str
    input: Input | Tokens | Annotated[list[Input] | list[Tokens], Field(min_length=1, max_length=MAX_TEXTS)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None


class _Answer:
    """A request's vectors as they come, from another thread, and a future of the loop that waits for all of them."""

    def __init__(self, texts: int, dimensions: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.all: asyncio.Future[Vectors] = self._loop.create_future()
        self._vectors = np.empty((texts, dimensions), dtype=np.float32)
        self._missing = texts
        self._failed: Exception | None = None

    def take(self, position: int, vector: Vectors | Exception) -> None:
        """Keep a text's vector, or the error that it got instead."""
        if isinstance(vector, Exception):
            self._failed = vector
        else:
            self._vectors[position] = vector
        self._missing -= 1
        if not self._missing:
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if not self.all.done():  # whoever asked may have gone
            if self._failed is None:
                self.all.set_result(self._vectors)
            else:
                self.all.set_exception(self._failed)


def _parsed(body: bytes, model: str, dimensions: int) -> EmbeddingsRequest:
    try:
        wanted = EmbeddingsRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise RefusedError(f"{field or 'body'}: {first['msg']}", param=field) from error
    if wanted.model != model:
        raise RefusedError(f"This endpoint serves {model}.", status=404, code="model_not_found", param="model")
    if wanted.dimensions not in (None, dimensions):
        raise RefusedError(f"{model} makes vectors of {dimensions} dimensions only.", param="dimensions")
    return wanted


def _given_tokens(given: Any, shape: Shape) -> Sequence[Sequence[int]] | None:
    """Return the tokens that a request has itself, none if it has texts."""
    if isinstance(given, str) or isinstance(given[0], str):
        return None
    rows = given if isinstance(given[0], list) else [given]
    if not all(0 <= token < shape.vocabulary for row in rows for token in row):
        raise RefusedError(f"a token is a number from 0 to {shape.vocabulary - 1}", param="input")
    return rows


async def _tokens(given: Any, shape: Shape, known: Tokenizer | None) -> Sequence[Sequence[int]]:
    rows = _given_tokens(given, shape)
    if rows is None:
        texts = [given] if isinstance(given, str) else given
        rows = count(texts) if known is None else await asyncio.to_thread(tokenize, known, texts)
    for position, row in enumerate(rows):
        if len(row) > shape.positions:
            raise RefusedError(
                f"This model's maximum context length is {shape.positions} tokens, input[{position}] has {len(row)}.",
                code="context_length_exceeded",
                param="input",
            )
    return rows


async def _vectors(room: Room, rows: Sequence[Sequence[int]], dimensions: int) -> Vectors:
    answer = _Answer(len(rows), dimensions)
    try:
        room.put([Waiting(row, partial(answer.take, at)) for at, row in enumerate(rows)])
    except RoomFullError as error:
        raise RefusedError("Too many texts wait already.", status=429, code="rate_limit_exceeded") from error
    try:
        return await answer.all
    except Exception as error:
        raise RefusedError(f"The encoder failed: {type(error).__name__}.", status=500) from error


def _rows(vectors: Vectors, encoding_format: str) -> list[Any]:
    if encoding_format == "base64":
        return [base64.b64encode(row).decode() for row in vectors.astype("<f4", copy=False)]
    return list(vectors)


async def create_embeddings(request: Request) -> Response:
    state = request.app.state
    check_key(request, state.key_hash)
    wanted = _parsed(await read_body(request), state.model, state.dimensions)
    rows = await _tokens(wanted.input, state.shape, state.tokenizer)
    vectors = await _vectors(state.room, rows, state.dimensions)
    state.requests += 1
    used = sum(map(len, rows))
    answer = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": row}
            for index, row in enumerate(_rows(vectors, wanted.encoding_format))
        ],
        "model": state.model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }
    return Response(orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")


async def list_models(request: Request) -> Response:
    check_key(request, request.app.state.key_hash)
    model = {"id": request.app.state.model, "object": "model", "created": 0, "owned_by": "random weights"}
    return JSONResponse({"object": "list", "data": [model]})


async def health(request: Request) -> Response:
    state = request.app.state
    return JSONResponse({"status": "ok", "model": state.model, "encoder": state.described, "weights": "random"})


async def stats(request: Request) -> Response:
    state = request.app.state
    return JSONResponse({"requests": state.requests, **state.runner.done.as_json(), "waiting": len(state.room)})


async def _refused(request: Request, error: Exception) -> Response:
    answer = await answer_refused(request, error)
    if answer.status_code == 429:
        answer.headers["Retry-After"] = COME_AGAIN_SECONDS
    return answer


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=400)  # for nobody


def build_app(encoder: Encoder, shape: Shape, key: str, room: Room | None = None, model: str = MODEL) -> Starlette:
    """Build the endpoint's ASGI application; the encoder's threads run as long as it does."""
    room = Room() if room is None else room
    runner = Runner(encoder, room)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        with runner:
            yield

    app = Starlette(
        routes=[
            Route("/v1/embeddings", create_embeddings, methods=["POST"]),
            Route("/v1/models", list_models),
            Route("/health", health),
            Route("/stats", stats),
        ],
        exception_handlers={RefusedError: _refused, ClientDisconnect: _gone},
        lifespan=lifespan,
    )
    app.state.room, app.state.runner, app.state.requests = room, runner, 0
    app.state.shape = shape
    app.state.tokenizer = tokenizer(shape.vocabulary) if encoder.reads_tokens else None
    app.state.dimensions, app.state.described = encoder.dimensions, encoder.described
    app.state.key_hash, app.state.model = key_hash(key), model
    return app


def main() -> int:
    """Make the model and serve until a signal ends it."""
    parser = arguments_of("bench.gpu.server", __doc__)
    add_arguments(parser)
    parser.add_argument("--model", default=MODEL, help="the name that it answers to")
    add_room_arguments(parser)
    tied.add_argument(parser)
    arguments = parser.parse_args()
    tied.tie(arguments)
    key = os.environ.get("ENDPOINT_API_KEY", "")
    if not key:
        print("ENDPOINT_API_KEY is not set; it is the key that callers have to send", file=sys.stderr)
        return 2
    try:
        encoder = chosen_encoder(arguments)
    except TorchMissingError as error:
        print(error, file=sys.stderr)
        return 1
    shape = chosen_shape(arguments)
    warm(encoder, shape, arguments.batch_tokens)
    app = build_app(encoder, shape, key, chosen_room(arguments), arguments.model)
    return serve(app, f"embedding endpoint, random weights ({encoder.described})", arguments.host, arguments.port)


def add_room_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the queue is made with."""
    parser.add_argument(
        "--batch-tokens", type=int, default=BATCH_TOKENS, help="padded tokens computed at once, at most"
    )
    parser.add_argument("--batch-texts", type=int, default=BATCH_TEXTS, help="texts computed at once, at most")
    parser.add_argument("--most-waiting", type=int, default=MOST_WAITING, help="texts that may wait")
    parser.add_argument(
        "--longest-wait-ms", type=float, default=LONGEST_WAIT_SECONDS * 1e3, help="of an idle encoder for a full batch"
    )


def chosen_room(arguments: argparse.Namespace) -> Room:
    """Make the queue that the arguments describe."""
    return Room(
        batch_tokens=arguments.batch_tokens,
        batch_texts=arguments.batch_texts,
        most_waiting=arguments.most_waiting,
        longest_wait_seconds=arguments.longest_wait_ms / 1e3,
    )


if __name__ == "__main__":
    sys.exit(main())
