"""The server of the bench of the embedding endpoint's side, over real HTTP, and our own client's work at it."""

import base64
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from bench.gpu.encoder import BGE_LARGE, TINY, NumpyEncoder, SimulatedEncoder
from bench.gpu.room import Room
from bench.gpu.server import MODEL, build_app
from bench.gpu.share import BenchError, Case, over_http, served, shared
from bench.gpu.words import documents, text_of, tokenize, tokenizer

from ml_shared.testing.http_server import ThreadedServer

KEY = "endpoint-key"
LOCAL_DEV = Path(__file__).resolve().parents[1]
MARKER = "ML_TEST_BENCH_GPU"


@pytest.fixture(scope="module")
def encoder() -> NumpyEncoder:
    return NumpyEncoder(TINY)


@pytest.fixture(scope="module")
def client(encoder: NumpyEncoder) -> Iterator[httpx.Client]:
    with ThreadedServer(build_app(encoder, TINY, KEY)) as server, opened(server.url) as client:
        yield client


def opened(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False)


def ask(client: httpx.Client, given: Any, **more: Any) -> httpx.Response:
    return client.post("/v1/embeddings", json={"model": MODEL, "input": given, **more})


def vectors(answer: httpx.Response) -> np.ndarray[Any, Any]:
    assert answer.status_code == 200, answer.text
    rows = answer.json()["data"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    return np.array([row["embedding"] for row in rows], dtype=np.float32)


def test_texts_of_all_lengths_get_the_vectors_that_the_encoder_gives_each(
    client: httpx.Client, encoder: NumpyEncoder
) -> None:
    source = random.Random(3)
    texts = [text_of(tokens, source, TINY.vocabulary) for tokens in (9, 60, 3, 61, 20, 33, 9)]
    answer = ask(client, [text.text for text in texts])
    rows = tokenize(tokenizer(TINY.vocabulary), [text.text for text in texts])
    expected = np.concatenate([encoder.begin([row])() for row in rows])
    assert np.allclose(vectors(answer), expected, atol=1e-5)
    assert answer.json()["usage"]["prompt_tokens"] == sum(text.tokens for text in texts)


def test_texts_and_their_tokens_base64_and_floats_are_the_same(client: httpx.Client) -> None:
    texts = [text.text for text in documents(1, 3, TINY.vocabulary, tokens=9)[0]]
    rows = tokenize(tokenizer(TINY.vocabulary), texts)
    expected = vectors(ask(client, texts))
    assert np.allclose(vectors(ask(client, rows)), expected, atol=1e-6)
    assert np.allclose(vectors(ask(client, rows[0])), expected[:1], atol=1e-6)
    assert np.allclose(vectors(ask(client, texts[0])), expected[:1], atol=1e-6)
    encoded = ask(client, texts, encoding_format="base64").json()["data"]
    decoded = [np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in encoded]
    assert np.allclose(decoded, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"input": []}, 400, "input"),
        ({"input": ""}, 400, "input"),
        ({"input": ["a", [1]]}, 400, "input"),
        ({"input": [[1, TINY.vocabulary]]}, 400, "input"),
        ({"input": [[1] * (TINY.positions + 1)]}, 400, "input"),
        ({"input": " ".join(["tea"] * TINY.positions)}, 400, "input"),
        ({"input": "a", "dimensions": 3}, 400, "dimensions"),
        ({"input": "a", "model": "another"}, 404, "model"),
        ({"input": "a", "encoding_format": "int8"}, 400, "encoding_format"),
    ],
)
def test_what_cannot_be_served_is_refused(client: httpx.Client, body: dict[str, Any], status: int, param: str) -> None:
    answer = client.post("/v1/embeddings", json={"model": MODEL, **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_the_key_is_wanted_and_the_model_says_what_its_weights_are(client: httpx.Client) -> None:
    for method, path in (("GET", "/v1/models"), ("POST", "/v1/embeddings")):
        assert client.request(method, path, headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == [MODEL]
    assert client.get("/health").json()["weights"] == "random"


def test_who_finds_the_room_full_is_told_to_come_again(encoder: NumpyEncoder) -> None:
    with ThreadedServer(build_app(encoder, TINY, KEY, Room(most_waiting=2))) as server, opened(server.url) as client:
        answer = ask(client, ["a", "b", "c"])
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
        assert vectors(ask(client, ["a", "b"])).shape == (2, TINY.width)


def test_an_encoder_that_fails_is_a_500_and_serves_again() -> None:
    class FailsOnce(SimulatedEncoder):
        failed = False

        def begin(self, texts: Sequence[Sequence[int]]) -> Any:
            if not self.failed:
                self.failed = True
                raise RuntimeError("10.1.2.3 is out of memory")
            return super().begin(texts)

    app = build_app(FailsOnce(TINY.width, 0, 0), TINY, KEY)
    with ThreadedServer(app) as server, opened(server.url) as client:
        answer = ask(client, ["a", "b"])
        assert answer.status_code == 500
        assert "10.1.2.3" not in answer.text
        assert ask(client, ["a", "b"]).status_code == 200


def test_what_several_ask_at_once_is_computed_together_and_counted() -> None:
    with (
        ThreadedServer(build_app(SimulatedEncoder(TINY.width, 0, 0), TINY, KEY)) as server,
        opened(server.url) as client,
    ):
        before = client.get("/stats").json()
        ask(client, ["a b", "a b c"])
        after = client.get("/stats").json()
    counted = {name: after[name] - before[name] for name in ("requests", "batches", "texts", "tokens", "padded_tokens")}
    assert counted == {"requests": 1, "batches": 1, "texts": 2, "tokens": 9, "padded_tokens": 10}


def run(*arguments: str, module: bool = True, **options: Any) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *["-m"][: int(module)], *arguments]
    return subprocess.run(command, cwd=LOCAL_DEV, capture_output=True, text=True, check=False, timeout=280, **options)


def test_the_server_does_not_start_without_a_key() -> None:
    without = {name: value for name, value in os.environ.items() if name != "ENDPOINT_API_KEY"}
    done = run("bench.gpu.server", "--port", "0", "--encoder", "simulated", env=without)
    assert done.returncode == 2
    assert "ENDPOINT_API_KEY is not set" in done.stderr


def test_our_client_is_measured_by_what_the_server_counts_and_no_process_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MARKER, str(os.getpid()))
    arguments = ["--encoder", "simulated", "--batch-ms", "5", "--token-us", "2", "--batch-tokens", "4096"]
    with served(arguments) as server:
        settings = {"EMBEDDING_BATCH_TOKENS": "1024", "EMBEDDING_BATCH_SIZE": "512"}
        ours = shared(server, BGE_LARGE, Case(3, 40, 64, settings, query=True), 0.5, processes=2)
        load = over_http(server, BGE_LARGE, 0.5, tokens=64)
        url, own = server.url, server.process.pid
    assert (
        ours.vectors_per_second * 60 < ours.tokens_per_second < ours.vectors_per_second * 64
    )  # the queries are shorter
    assert load.tokens_per_second == pytest.approx(load.vectors_per_second * 64)
    # 4,096 tokens take 13.2 ms at best, which no count can beat
    assert 0 < ours.tokens_per_second < 1.05 * 4_096 / 0.0132
    assert ours.query_ms is not None
    assert not psutil.pid_exists(own)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{url}/health", trust_env=False)
    assert [process for process in psutil.process_iter() if process.pid != os.getpid() and marked(process)] == []


def marked(process: psutil.Process) -> bool:
    try:
        return process.environ().get(MARKER) == str(os.getpid()) and "bench.gpu" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_the_server_ends_with_a_bench_that_is_killed() -> None:
    code = """if True:
        from bench.gpu.share import served
        with served(["--encoder", "simulated"]) as server:
            print(server.process.pid, flush=True)
            input()
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], cwd=LOCAL_DEV, text=True, **pipes) as bench:
        server = psutil.Process(int(bench.stdout.readline()))
        bench.kill()
        bench.wait()
    gone, _ = psutil.wait_procs([server], timeout=60)
    assert gone == [server]


def test_a_server_that_does_not_start_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="did not start"), served(["--encoder", "none"]):
        pass
    assert "invalid choice: 'none'" in capfd.readouterr().err


def test_the_whole_bench_runs_on_a_tiny_model_and_writes_its_figures(tmp_path: Path) -> None:
    out = tmp_path / "figures" / "gpu.json"
    given = [
        "--encoder",
        "numpy",
        "--shape",
        "tiny",
        "--minutes",
        "0.05",
        "--chunks",
        "3",
        "--batch-tokens",
        "2048",
        "--out",
        str(out),
    ]
    done = run("bench.gpu", *given, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["rows"][0]["rate"]["tokens_per_second"] > 0
    assert found["rows"][0]["of_encoder"] > 0
    assert found["left_out"]
    assert found["batch_tokens"] == 2_048
    assert "numpy, float32, 1 layers of 32, on the CPU; weights random" in done.stdout
    assert "1 in flight: " in done.stdout


def test_the_wheels_for_a_machine_without_an_index_are_all_that_the_bench_imports() -> None:
    code = """if True:
        import importlib.metadata, sys
        from packaging.utils import canonicalize_name
        from bench.gpu.wheels import THERE, needed
        there = {*needed(), *THERE}
        owners = importlib.metadata.packages_distributions()
        absent = {name for name, own in owners.items() if not {canonicalize_name(one) for one in own} & there}
        class Absent:
            def find_spec(self, name, path, target=None):
                if name.partition(".")[0] in absent:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Absent())
        from bench.gpu import __main__, load, server
        from bench.gpu.client import Work, service
        service(Work("http://127.0.0.1:9/v1", "k", "m", 8, 1, 1, 2000))
        print(len(absent), "lxml" in absent, "torch" in needed(), "numpy" in needed())
    """
    done = run("-c", code, module=False)
    assert done.returncode == 0, done.stderr
    absent, *said = done.stdout.split()
    assert int(absent) > 10
    assert said == ["True", "False", "False"]
