"""An OpenAI-compatible embedding endpoint that remembers what it was sent, and misbehaves when told to."""

import asyncio
import base64
import hashlib
import random
import struct
import threading
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

DEFAULT_KEY = "test-endpoint-key"
DEFAULT_MODEL = "test-model"
DEFAULT_DIMENSIONS = 16


class EndpointMode(StrEnum):
    """What the endpoint does with a request."""

    SERVE = "serve"
    RATE_LIMITED = "rate_limited"  # 429, with Retry-After if `retry_after_seconds` is set
    BROKEN = "broken"  # 500
    REFUSING = "refusing"  # 400 that is not about length
    GARBAGE = "garbage"  # 200 with something that is not JSON
    WRONG_COUNT = "wrong_count"  # one vector too few
    WRONG_INDEX = "wrong_index"  # two vectors for one input
    WRONG_DIMENSIONS = "wrong_dimensions"  # one component too many
    NOT_FINITE = "not_finite"  # a NaN
    ZERO = "zero"  # a vector of length zero
    TRUNCATING = "truncating"  # cuts what is over `max_tokens`, and says so by its count alone
    TRUNCATING_OPENLY = "truncating_openly"  # and beside each vector
    SLOW = "slow"  # serves after `delay_seconds`


def vector_of(text: str, dimensions: int = DEFAULT_DIMENSIONS) -> list[float]:
    """Return the vector that the endpoint gives a text: the same each time, unlike any other text's, of length 1."""
    source = random.Random(hashlib.sha256(text.encode()).digest())
    vector = [source.gauss(0.0, 1.0) for _ in range(dimensions)]
    norm = sum(component**2 for component in vector) ** 0.5
    return [component / norm for component in vector]


class FakeEndpoint(ThreadedServer):
    """`POST /v1/embeddings` and `GET /v1/models` on a real port.

    Attributes
    ----------
    inputs
        The texts of each request that was served, in the order of arrival.
    bodies
        The whole body of every request.
    headers
        The headers of every request, names in lower case.
    most_in_flight
        How many requests were being answered at once, at most.
    float_answers
        Answer with lists of floats although base64 was asked for, as some servers do.
    max_tokens
        A text of more words than this is a 400, as vLLM words it.
    refusal_text
        What that 400 says instead.
    """

    def __init__(
        self, *, model: str = DEFAULT_MODEL, dimensions: int = DEFAULT_DIMENSIONS, key: str = DEFAULT_KEY
    ) -> None:
        self.model = model
        self.dimensions = dimensions
        self.key = key
        self.retry_after_seconds: int | None = None
        self._lock = threading.Lock()
        self._lives = 0
        super().__init__(
            Starlette(
                routes=[
                    Route("/v1/embeddings", self._embeddings, methods=["POST"]),
                    Route("/v1/models", self._models, methods=["GET"]),
                ]
            )
        )
        self.reset()

    def reset(self) -> None:
        """Forget what was received, and serve. A request that has been sent belongs to the life before."""
        self.settle()
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._lives += 1
        self.inputs: list[list[str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.max_tokens = 512
        self.refusal_text: str | None = None
        self.float_answers = False
        self.delay_seconds = 5.0
        self.retry_after_seconds = None
        self._pinned: dict[str, list[float]] = {}
        self._mode = EndpointMode.SERVE
        self._times: int | None = None

    @property
    def base_url(self) -> str:
        """What `EMBEDDING_API_BASE_URL` is set to."""
        return f"{self.url}/v1"

    @property
    def texts(self) -> list[str]:
        """Every text that was served, in the order of arrival."""
        return [text for inputs in self.inputs for text in inputs]

    def behave(self, mode: EndpointMode, *, times: int | None = None) -> None:
        """Treat the next `times` requests like this (all of them when it is `None`), and serve again after them."""
        with self._lock:
            self._mode, self._times = mode, times

    def pin(self, text: str, vector: Sequence[float]) -> None:
        """Give a text this vector from now on."""
        self._pinned[text] = list(vector)

    def _next_mode(self) -> EndpointMode:
        mode = self._mode
        if self._times is not None:
            self._times -= 1
            if self._times <= 0:
                self._mode, self._times = EndpointMode.SERVE, None
        return mode

    async def _embeddings(self, request: Request) -> Response:
        with self._lock:
            life = self._lives
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return await self._answer(request, life)
        finally:
            with self._lock:
                if life == self._lives:  # else it ends where it was never counted
                    self.in_flight -= 1

    async def _answer(self, request: Request, life: int) -> Response:
        body = await request.json()
        with self._lock:
            if life != self._lives:
                return _past()
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            mode = self._next_mode()
        if request.headers.get("authorization") != f"Bearer {self.key}":
            return _problem(401, "invalid key")
        if mode is EndpointMode.SLOW:
            await asyncio.sleep(self.delay_seconds)
        texts = [body["input"]] if isinstance(body["input"], str) else list(body["input"])
        with self._lock:
            if life != self._lives:
                return _past()
            refusal = self._refusal(mode, texts)
            if refusal is not None:
                return refusal
            self.inputs.append(texts)
        vectors = self._distort(mode, [self._pinned.get(text) or vector_of(text, self.dimensions) for text in texts])
        as_base64 = body.get("encoding_format") == "base64" and not self.float_answers
        data: list[dict[str, Any]] = [
            {"object": "embedding", "index": index, "embedding": _encoded(vector) if as_base64 else vector}
            for index, vector in enumerate(vectors)
        ]
        if mode is EndpointMode.WRONG_INDEX:
            data[-1]["index"] = 0
        cut = [_tokens(text) > self.max_tokens for text in texts]
        for item in data if mode is EndpointMode.TRUNCATING_OPENLY else ():
            item["truncated"] = cut[item["index"]]
        # servers need not keep the order: `index` says which is which
        data.reverse()
        tokens = sum(min(_tokens(text), self.max_tokens) for text in texts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JSONResponse({"object": "list", "data": data, "model": self.model, "usage": usage})

    def _refusal(self, mode: EndpointMode, texts: Sequence[str]) -> Response | None:
        if mode is EndpointMode.RATE_LIMITED:
            retry_after = self.retry_after_seconds
            return _problem(429, "too many requests", {} if retry_after is None else {"Retry-After": str(retry_after)})
        if mode is EndpointMode.BROKEN:
            return _problem(500, "out of memory on device 0 at 10.1.2.3")
        if mode is EndpointMode.REFUSING:
            return _problem(400, "no")
        if mode is EndpointMode.GARBAGE:
            return Response("<html>", media_type="text/html")
        cutting = mode in {EndpointMode.TRUNCATING, EndpointMode.TRUNCATING_OPENLY}
        if not cutting and any(_tokens(text) > self.max_tokens for text in texts):
            refusal = f"This model's maximum context length is {self.max_tokens} tokens."
            return _problem(400, self.refusal_text or refusal)
        return None

    def _distort(self, mode: EndpointMode, vectors: list[list[float]]) -> list[list[float]]:
        if mode is EndpointMode.WRONG_COUNT:
            return vectors[:-1]
        if mode is EndpointMode.WRONG_DIMENSIONS:
            return [[*vector, 0.5] for vector in vectors]
        if mode is EndpointMode.NOT_FINITE:
            return [*vectors[:-1], [float("nan"), *vectors[-1][1:]]]
        if mode is EndpointMode.ZERO:
            return [*vectors[:-1], [0.0] * self.dimensions]
        return vectors

    async def _models(self, request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": self.model, "object": "model"}]})


def _tokens(text: str) -> int:
    return len(text.split())


def _encoded(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _past() -> Response:
    """Answer nobody: who asked was of another test, and what is to fail or to be remembered is of this one."""
    return _problem(503, "it was reset meanwhile")


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error"}}, status, headers)
