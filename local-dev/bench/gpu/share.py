"""How much of the endpoint's capacity our client takes: the endpoint's own counts, over some seconds of steady work."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psutil

from bench.gpu.client import Work
from bench.gpu.encoder import Shape
from bench.gpu.server import MODEL

LOCAL_DEV: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 180.0
# of a server: a large model's weights are drawn, and the card is woken
END_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 0.25
LOAD_CONNECTIONS, LOAD_TEXTS = 32, 32


class BenchError(Exception):
    """A process of the bench did not do what it should."""


@dataclass(frozen=True, slots=True)
class Server:
    """An endpoint that is being served."""

    url: str
    key: str
    process: psutil.Process

    def stats(self) -> dict[str, int]:
        """Return its counts."""
        answer: dict[str, int] = httpx.get(f"{self.url}/stats", trust_env=False, timeout=30).json()
        return answer


@dataclass(frozen=True, slots=True)
class Rate:
    """What the endpoint did for some clients."""

    tokens_per_second: float
    vectors_per_second: float
    texts_per_batch: float
    tokens_per_batch: float
    padding: float
    server_cores: float
    client_cores: float


@dataclass(frozen=True, slots=True)
class Shared:
    """One row: our client with so many documents in flight, beside what could be had."""

    documents: int
    chunks: int
    tokens: int | None
    settings: dict[str, str]
    rate: Rate


@contextmanager
def served(arguments: Sequence[str]) -> Iterator[Server]:
    """Serve the endpoint from a process of its own."""
    key = secrets.token_urlsafe(24)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gpu.server", "--port", "0", *arguments],
        cwd=LOCAL_DEV,
        env={**os.environ, "ENDPOINT_API_KEY": key},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = _line(process.stdout)
        if " ready on " not in said:
            raise BenchError(f"the server did not start: {said or 'it said nothing'}")
        yield Server(said.strip().rpartition(" ")[2], key, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(END_SECONDS)


@contextmanager
def working(module: str, work: Work) -> Iterator["subprocess.Popen[str]"]:
    """Have a process do some work within the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.gpu.{module}"],
        cwd=LOCAL_DEV,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    try:
        process.stdin.write(json.dumps(asdict(work)) + "\n")
        process.stdin.flush()
        if _line(process.stdout) != "ready\n":
            raise BenchError(f"{module} did not start")
        yield process
        process.stdin.close()
        if not _line(process.stdout):
            raise BenchError(f"{module} failed")
    finally:
        process.kill()
        process.wait()


def _line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def observed(server: Server, module: str, works: Sequence[Work], seconds: float) -> Rate:
    """Return what the endpoint does for some processes in steady work."""
    with ExitStack() as stack:
        clients = [psutil.Process(stack.enter_context(working(module, work)).pid) for work in works]
        first, deadline = server.stats()["batches"], time.monotonic() + START_SECONDS
        while server.stats()["batches"] < first + 2:  # the first answers are on their way
            if time.monotonic() > deadline:
                raise BenchError(f"{module}: nothing was embedded in {START_SECONDS:.0f} s")
            time.sleep(0.01)
        time.sleep(SETTLE_SECONDS)
        cpu = _cpu([server.process]), _cpu(clients)
        before, began = server.stats(), time.perf_counter()
        time.sleep(seconds)
        after, took = server.stats(), time.perf_counter() - began
        spent = _cpu([server.process]) - cpu[0], _cpu(clients) - cpu[1]
    return _rate({name: after[name] - before[name] for name in before}, took, *spent)


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


def _rate(counted: Mapping[str, int], took: float, server_seconds: float, client_seconds: float) -> Rate:
    batches, tokens = max(1, counted["batches"]), max(1, counted["tokens"])
    return Rate(
        tokens_per_second=counted["tokens"] / took,
        vectors_per_second=counted["texts"] / took,
        texts_per_batch=counted["texts"] / batches,
        tokens_per_batch=counted["tokens"] / batches,
        padding=counted["padded_tokens"] / tokens,
        server_cores=server_seconds / took,
        client_cores=client_seconds / took,
    )


def work_of(server: Server, shape: Shape, chunks: int, at_once: int, tokens: int | None = None) -> Work:
    """Return a client's work at this endpoint."""
    return Work(f"{server.url}/v1", server.key, MODEL, shape.width, at_once, chunks, shape.vocabulary, tokens)


def over_http(server: Server, shape: Shape, seconds: float, tokens: int | None = None) -> Rate:
    """Return what the endpoint gives whoever asks as fast as it answers and reads nothing."""
    texts = LOAD_TEXTS if tokens is None else max(LOAD_TEXTS, 16_384 // tokens)
    return observed(server, "load", [work_of(server, shape, texts, LOAD_CONNECTIONS, tokens)], seconds)


def shared(
    server: Server,
    shape: Shape,
    documents: int,
    chunks: int,
    seconds: float,
    *,
    processes: int = 1,
    tokens: int | None = None,
    settings: Mapping[str, str] | None = None,
) -> Shared:
    """Return what our client takes with so many documents in flight, spread over at most so many processes."""
    processes = min(processes, documents)
    works = [
        replace(
            work_of(server, shape, chunks, documents // processes + (number < documents % processes), tokens),
            seed=number,
            settings=dict(settings or {}),
        )
        for number in range(processes)
    ]
    return Shared(documents, chunks, tokens, dict(settings or {}), observed(server, "client", works, seconds))


def as_json(row: Shared) -> dict[str, Any]:
    """Return a row as JSON has it."""
    return asdict(row)
