"""A reranker that remembers what it was sent, scores by the words that a text shares with a query, and misbehaves when told to."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ml_shared.testing.http_server import ThreadedServer

DEFAULT_KEY: Final = "test-reranker-key"
DEFAULT_MODEL: Final = "test-reranker"
TEI_MAX_BATCH: Final = 32
# text-embeddings-inference's own default
_WORD: Final = re.compile(r"\w+")


class RerankShape(StrEnum):
    """Whose `/rerank` it is."""

    JINA = "jina"
    COHERE = "cohere"
    VLLM = "vllm"
    TEI = "tei"


class RerankMode(StrEnum):
    """What it does with a request."""

    SERVE = "serve"
    HANG = "hang"  # no answer before `delay_seconds`
    BROKEN = "broken"  # 500
    REFUSING = "refusing"  # 400
    GARBAGE = "garbage"  # 200 with something that is not JSON
    ANOTHER_SHAPE = "another_shape"  # 200 with JSON that is no answer
    WRONG_INDEX = "wrong_index"  # a score of a text that it was not sent
    TWICE = "twice"  # two scores of one text
    TOO_FEW = "too_few"  # one score is missing
    NOT_FINITE = "not_finite"  # a NaN, which is no JSON, but written by Python's own
    NO_NUMBER = "no_number"  # a text for a score


def relevance(query: str, text: str) -> float:
    """Return the share of a query's words that a text has, less a little for each other word: the same each time."""
    asked = set(_WORD.findall(query.lower()))
    there = _WORD.findall(text.lower())
    return round(len(asked & set(there)) / max(len(asked), 1) - 0.001 * len(there), 6)


class RerankerState:
    """What a reranker was sent, and what it is to do.

    Attributes
    ----------
    bodies
        The whole body of every request, in the order of arrival.
    keys
        What each was authorised by.
    """

    def __init__(self, *, shape: RerankShape = RerankShape.JINA, key: str = DEFAULT_KEY) -> None:
        self.shape = shape
        self.key = key
        self.mode = RerankMode.SERVE
        self.delay_seconds = 30.0
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []

    @property
    def texts(self) -> list[list[str]]:
        """The passages of each request that had any in the right field."""
        field = "texts" if self.shape is RerankShape.TEI else "documents"
        return [body[field] for body in self.bodies if field in body]


def build_reranker_app(state: RerankerState) -> Starlette:
    """Build the ASGI application of a reranker: `POST /rerank`, and with `/v1` and `/v2` before it."""

    async def rerank(request: Request) -> Response:
        body = await request.json()
        state.bodies.append(body)
        state.keys.append(request.headers.get("authorization", ""))
        if state.keys[-1] != f"Bearer {state.key}":
            return JSONResponse({"message": "invalid api token"}, 401)
        if state.mode is RerankMode.HANG:
            await asyncio.sleep(state.delay_seconds)
        refused = _refusal(state, body)
        return refused if refused is not None else _answer(state, body)

    paths = ("/rerank", "/v1/rerank", "/v2/rerank")
    return Starlette(routes=[Route(path, rerank, methods=["POST"]) for path in paths])


class FakeReranker(ThreadedServer):
    """A reranker on a real port."""

    def __init__(self, state: RerankerState | None = None) -> None:
        self.state = state if state is not None else RerankerState()
        super().__init__(build_reranker_app(self.state))


def _refusal(state: RerankerState, body: Mapping[str, Any]) -> Response | None:
    if state.mode is RerankMode.BROKEN:
        return JSONResponse({"detail": "out of memory on device 0 at 10.1.2.3"}, 500)
    if state.mode is RerankMode.REFUSING:
        return JSONResponse({"detail": "no"}, 400)
    if state.mode is RerankMode.GARBAGE:
        return Response("<html>", media_type="text/html")
    if state.mode is RerankMode.ANOTHER_SHAPE:
        return JSONResponse({"data": [1, 2]})
    if state.shape is RerankShape.TEI:
        if "texts" not in body:
            text = "Failed to deserialize the JSON body into the target type: missing field `texts` at line 1 column 9"
            return JSONResponse({"error": text, "error_type": "Validation"}, 422)
        if len(body["texts"]) > TEI_MAX_BATCH:
            text = f"batch size {len(body['texts'])} > maximum allowed batch size {TEI_MAX_BATCH}"
            return JSONResponse({"error": text, "error_type": "Validation"}, 422)
    elif not {"model", "query", "documents"} <= body.keys():
        return JSONResponse({"detail": "model, query and documents are required"}, 422)
    return None


def _answer(state: RerankerState, body: Mapping[str, Any]) -> Response:
    texts: Sequence[str] = body["texts" if state.shape is RerankShape.TEI else "documents"]
    scores: list[tuple[int, Any]] = [(index, relevance(body["query"], text)) for index, text in enumerate(texts)]
    scores = _distorted(state.mode, sorted(scores, key=lambda pair: -pair[1]))
    if state.shape is RerankShape.TEI:
        return _as_python_writes_it([{"index": index, "score": score} for index, score in scores])
    results = [{"index": index, "relevance_score": score} for index, score in scores]
    answer: dict[str, Any] = {"results": results}
    if state.shape is RerankShape.COHERE:
        answer |= {"id": "1", "meta": {"billed_units": {"search_units": 1}}}
    else:
        answer |= {"model": body["model"], "usage": {"total_tokens": 1}}
    if state.shape is RerankShape.VLLM:
        for result in results:
            result["document"] = {"text": texts[result["index"]]}
    return _as_python_writes_it(answer)


def _distorted(mode: RerankMode, scores: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    (index, score), *others = scores
    wrong = {
        RerankMode.WRONG_INDEX: [(len(scores), score)],
        RerankMode.TWICE: [(index, score), (index, score)],
        RerankMode.TOO_FEW: [],
        RerankMode.NOT_FINITE: [(index, float("nan"))],
        RerankMode.NO_NUMBER: [(index, "0.5")],
    }
    return [*wrong.get(mode, [(index, score)]), *others]


def _as_python_writes_it(answer: Any) -> Response:

    return Response(json.dumps(answer), media_type="application/json")
