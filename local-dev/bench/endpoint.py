"""An embedding endpoint that answers at once, so that a measured fleet does not wait for a model.

    ENDPOINT_API_KEY=… python -m bench.endpoint --host 127.0.0.1 --port 8090

It speaks as much of OpenAI's API as the embedding service asks for. A text's vector is cut from one row of random
numbers at a place that its checksum gives: the same for the same text, and of no meaning. `POST /delay` with a number
of seconds makes every later answer take that long.
"""

import asyncio
import base64
import hmac
import os
import sys
import zlib
from typing import Final

import numpy as np
import orjson
from standins.serving import arguments_of, serve
from standins.weights import DIMENSIONS, MODEL_NAME
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_ROW: Final = np.random.default_rng(1).standard_normal(2**18, dtype=np.float32)


def vector_of(text: str) -> str:
    """Return a text's vector as base64."""
    start = zlib.crc32(text.encode()) % (len(_ROW) - DIMENSIONS)
    return base64.b64encode(_ROW[start : start + DIMENSIONS].tobytes()).decode()


def build_instant_endpoint(api_key: str) -> Starlette:
    """Build the endpoint's ASGI application."""
    expected = f"Bearer {api_key}".encode()
    delay = 0.0

    async def embed(request: Request) -> Response:
        if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected):
            return Response(status_code=401)
        texts = orjson.loads(await request.body())["input"]
        if delay:
            await asyncio.sleep(delay)
        rows = [{"object": "embedding", "index": at, "embedding": vector_of(text)} for at, text in enumerate(texts)]
        tokens = sum(map(len, texts))  # never fewer than the model would count: that is how cut texts are found
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        answer = {"object": "list", "data": rows, "model": MODEL_NAME, "usage": usage}
        return Response(orjson.dumps(answer), media_type="application/json")

    async def set_delay(request: Request) -> Response:
        nonlocal delay
        delay = float(await request.body())
        return Response(status_code=204)

    async def health(_: Request) -> Response:
        return Response()

    routes = [
        Route("/v1/embeddings", embed, methods=["POST"]),
        Route("/delay", set_delay, methods=["POST"]),
        Route("/health", health),
    ]
    return Starlette(routes=routes)


def main() -> int:
    """Serve until a signal ends it."""
    arguments = arguments_of("bench.endpoint", __doc__).parse_args()
    app = build_instant_endpoint(os.environ["ENDPOINT_API_KEY"])
    return serve(app, "instant embedding endpoint", arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
