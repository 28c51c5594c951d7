"""The same work without a fleet: pages fetched, extracted, cut and embedded by plain calls in one process.

    echo '["http://127.0.0.1:8001/pages/1"]' | ENDPOINT_API_KEY=… python -m bench.plain http://127.0.0.1:8090/v1

What it prints is what all figures of the fleet are set against: this machine's processor time for what a page needs.
"""

import base64
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import httpx
import numpy as np
import orjson
from fleet.layout import REPOSITORY
from standins.weights import DIMENSIONS, MODEL_NAME, TOKENIZER_SHA256, model_folder

from ml_shared.contracts.chunking import ChunkRequest

WARM_PAGES: Final = 10
BATCH: Final = 32


@dataclass(frozen=True)
class Plain:
    """What pages took: seconds of the wall clock, and of this process' processor time."""

    pages: int
    seconds: float
    cpu_seconds: float

    @property
    def cpu_ms(self) -> float:
        """Processor time of a page, in milliseconds."""
        return self.cpu_seconds / self.pages * 1000

    @property
    def pages_a_second(self) -> float:
        """How many pages a second one process gets done, one after the other."""
        return self.pages / self.seconds


def _of_service(service: str, module: str) -> Any:
    """Import a module of a service. All call their package `app`, so an earlier service's is forgotten first."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
    sys.path.insert(0, str(REPOSITORY / service))
    try:
        return importlib.import_module(module)
    finally:
        del sys.path[0]


def _extractor() -> Callable[[bytes, str], str]:
    extract = _of_service("scraper", "app.core.extraction.extract").extract
    return lambda body, url: str(extract(body, url=url, media_type="text/html", charset="utf-8").content)


def _splitter() -> Callable[[str], list[str]]:
    os.environ |= {
        "SERVICE_NAME": "chunking",
        "MEMBERSHIP_URL": "http://127.0.0.1:9",
        "TOKENIZER_FILE": str(model_folder() / "tokenizer.json"),
        "TOKENIZER_SHA256": TOKENIZER_SHA256,
    }
    logic = _of_service("chunking", "app.core.logic")
    tokenizer = logic.Tokenizer.load(model_folder() / "tokenizer.json", TOKENIZER_SHA256, MODEL_NAME)

    def split(text: str) -> list[str]:
        answer = logic.chunk_text(ChunkRequest(text=text), tokenizer, logic.Cancellation())
        return [chunk.text for chunk in answer.result.chunks]

    return split


def _embed(client: httpx.Client, endpoint: str, texts: Sequence[str]) -> list[np.ndarray]:
    vectors = []
    for first in range(0, len(texts), BATCH):
        wanted = {"model": MODEL_NAME, "input": texts[first : first + BATCH], "encoding_format": "base64"}
        answer = client.post(f"{endpoint}/embeddings", content=orjson.dumps(wanted)).raise_for_status()
        for row in orjson.loads(answer.content)["data"]:
            vectors.append(np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4", count=DIMENSIONS))
    return vectors


def index(urls: Sequence[str], endpoint: str, api_key: str) -> Plain:
    """Index pages, one after the other, and return what all but the first few took."""
    extract, split = _extractor(), _splitter()
    headers = {"Authorization": f"Bearer {api_key}"}
    began = cpu_began = 0.0
    with httpx.Client(trust_env=False) as sites, httpx.Client(trust_env=False, headers=headers) as model:
        for number, url in enumerate(urls):
            if number == WARM_PAGES:
                began, cpu_began = time.perf_counter(), time.process_time()
            page = sites.get(url).raise_for_status()
            if not _embed(model, endpoint, split(extract(page.content, url))):
                raise AssertionError(f"{url} has no text")
    measured = len(urls) - WARM_PAGES
    return Plain(measured, time.perf_counter() - began, time.process_time() - cpu_began)


if __name__ == "__main__":
    print(json.dumps(asdict(index(json.load(sys.stdin), sys.argv[1], os.environ["ENDPOINT_API_KEY"]))))
