"""The reranker for development: a process of its own, asked as the embedding service asks one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_shared.testing.reranker import RerankShape, relevance

KEY = "a-key-of-this-test"
TEXTS = ["a story of a bicycle", "how to change a tyre"]


@pytest.fixture(params=[RerankShape.COHERE, RerankShape.TEI])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[RerankShape, str]]:
    command = [sys.executable, "-m", "standins.reranker", "--port", "0", "--shape", request.param]
    folder = Path(__file__).parents[1]
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "RERANKER_API_KEY": KEY}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            yield request.param, process.stdout.readline().split()[-1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def test_it_scores_alike_each_time_in_the_shape_that_it_was_told(server: tuple[RerankShape, str]) -> None:
    shape, url = server
    field, score = ("texts", "score") if shape is RerankShape.TEI else ("documents", "relevance_score")
    body = {"model": "m", "query": "change a tyre", field: TEXTS}
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30) as client:
        answers = [client.post("/rerank", json=body).json() for _ in range(2)]
        wrong = client.post("/rerank", json={"query": "q", "passages": TEXTS})
    assert answers[0] == answers[1]
    results = answers[0] if shape is RerankShape.TEI else answers[0]["results"]
    assert [(item["index"], item[score]) for item in results] == [
        (index, relevance("change a tyre", TEXTS[index])) for index in (1, 0)
    ]
    assert wrong.status_code == 422


def test_without_the_key_it_refuses(server: tuple[RerankShape, str]) -> None:
    assert httpx.post(f"{server[1]}/rerank", json={"query": "q", "texts": TEXTS}, timeout=30).status_code == 401
