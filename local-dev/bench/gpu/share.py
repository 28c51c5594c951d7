"""How much of the endpoint's capacity our client takes: the endpoint's own counts, over some seconds of steady work."""

import json
import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Final, Protocol

import httpx
import psutil

from bench.gpu.client import Work
from bench.gpu.encoder import Shape
from bench.gpu.server import MODEL

LOCAL_DEV: Final = Path(__file__).resolve().parents[2]
START_SECONDS: Final = 180.0
# of a server: a large model's weights are drawn, and the card is woken
END_SECONDS: Final = 60.0
SETTLE_SECONDS: Final = 0.3
FIRST_BATCHES: Final = 3
LOAD_CONNECTIONS: Final = 16
LOAD_TEXTS: Final = 32
# a call, and more where they are short: as many tokens as a batch
QUERY: Final = "what does a query wait for while documents are embedded"
QUERY_PAUSE_SECONDS: Final = 0.1


class BenchError(Exception):
    """A process of the bench did not do what it should."""


@dataclass(frozen=True, slots=True)
class Server:
    """An endpoint that is being served."""

    url: str
    key: str
    process: psutil.Process

    def stats(self) -> dict[str, float]:
        """Return its counts."""
        answer: dict[str, float] = httpx.get(f"{self.url}/stats", trust_env=False, timeout=30).json()
        return answer


class Counts(Protocol):
    """Who tells a server's counts."""

    def stats(self) -> Mapping[str, float]:
        """Return them as they are now."""
        ...


@dataclass(frozen=True, slots=True)
class Case:
    """What one row measures: so many documents of so many chunks in flight; all of them `tokens` long, or as ours are.

    `settings` are the embedding service's.
    """

    documents: int
    chunks: int
    tokens: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    query: bool = False


@dataclass(frozen=True, slots=True)
class Rate:
    """What the endpoint did for some clients; `query_ms` is a query's wait meanwhile, p50."""

    tokens_per_second: float
    vectors_per_second: float
    texts_per_batch: float
    tokens_per_batch: float
    padding: float
    server_cores: float
    client_cores: float
    query_ms: float | None = None


@contextmanager
def served(arguments: Sequence[str]) -> Iterator[Server]:
    """Serve the endpoint from a process of its own.

    Raises
    ------
    BenchError
        If it does not start; it has said why.
    """
    key = secrets.token_urlsafe(24)
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.gpu.server", "--port", "0", "--tied", *arguments],
        cwd=LOCAL_DEV,
        env={**os.environ, "ENDPOINT_API_KEY": key},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            said = _line(process.stdout, START_SECONDS)
            if " ready on " not in said:
                raise BenchError("the server did not start")
            yield Server(said.strip().rpartition(" ")[2], key, psutil.Process(process.pid))
        finally:
            process.terminate()
            _end(process)


@contextmanager
def working(module: str, work: Work) -> Iterator["subprocess.Popen[str]"]:
    """Have a process do some work within the block."""
    command = [sys.executable, "-m", f"bench.gpu.{module}"]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        given = _there(process.stdin)
        try:
            given.write(json.dumps(asdict(work)) + "\n")
            given.flush()
            if _line(process.stdout, START_SECONDS) != "ready\n":
                raise BenchError(f"{module} did not start")
            yield process
            given.close()
            if not _line(process.stdout, START_SECONDS):
                raise BenchError(f"{module} failed")
        finally:
            process.kill()


def _line(stream: IO[str] | None, seconds: float) -> str:
    """Return a line, an empty one if none comes in time or at all."""
    found: list[str] = []
    reader = threading.Thread(target=lambda: found.append(_there(stream).readline()), daemon=True)
    reader.start()
    reader.join(seconds)
    return found[0] if found else ""


def _there(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise BenchError("a process has no pipe")
    return stream


def _end(process: "subprocess.Popen[str]") -> None:
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def observed(server: Server, module: str, works: Sequence[Work], seconds: float, *, query: bool = False) -> Rate:
    """Return what the endpoint does for some processes in steady work.

    Raises
    ------
    BenchError
        If they do none.
    """
    with ExitStack() as stack:
        while server.stats()["waiting"]:  # for nobody any more
            time.sleep(0.01)
        clients = [psutil.Process(stack.enter_context(working(module, work)).pid) for work in works]
        first = server.stats()[
            "batches"
        ]  # now, when what was begun for others is long done: the time counts from a batch on
        counts_after(server, module, first + FIRST_BATCHES - 1)
        time.sleep(SETTLE_SECONDS)
        cpu, began, before = (_cpu([server.process]), _cpu(clients)), time.perf_counter(), server.stats()
        waited = _queries(server, seconds) if query else None
        time.sleep(max(0.0, began + seconds - time.perf_counter()))
        # a batch may take longer than all of the time, and a machine may hold the server up for as long
        after = counts_after(server, module, before["batches"])
        took = time.perf_counter() - began
        spent = _cpu([server.process]) - cpu[0], _cpu(clients) - cpu[1]
    counted = {name: after[name] - before[name] for name in before}
    return _rate(counted, spent[0] / took, spent[1] / took, waited)


def counts_after(server: Counts, module: str, batches: float) -> Mapping[str, float]:
    """Return the server's counts once it has done more batches than that."""
    deadline = time.monotonic() + START_SECONDS
    while (stats := server.stats())["batches"] <= batches:
        if time.monotonic() > deadline:
            raise BenchError(f"{module}: nothing was embedded in {START_SECONDS:.0f} s")
        time.sleep(0.01)
    return stats


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return float(sum(times.user + times.system for times in (process.cpu_times() for process in processes)))


def _queries(server: Server, seconds: float) -> float:
    """Ask for one short text's vector now and then, and return how long that took, in milliseconds at p50."""
    took: list[float] = []
    body = {"model": MODEL, "input": QUERY, "encoding_format": "base64"}
    until = time.perf_counter() + seconds
    with httpx.Client(headers={"Authorization": f"Bearer {server.key}"}, trust_env=False, timeout=60) as client:
        while (began := time.perf_counter()) < until or not took:
            client.post(f"{server.url}/v1/embeddings", json=body).raise_for_status()
            took.append((time.perf_counter() - began) * 1e3)
            time.sleep(QUERY_PAUSE_SECONDS)
    return statistics.median(took)


def _rate(counted: Mapping[str, float], server_cores: float, client_cores: float, query_ms: float | None) -> Rate:
    return Rate(
        tokens_per_second=counted["tokens"] / counted["until"],
        vectors_per_second=counted["texts"] / counted["until"],
        texts_per_batch=counted["texts"] / counted["batches"],
        tokens_per_batch=counted["tokens"] / counted["batches"],
        padding=counted["padded_tokens"] / counted["tokens"],
        server_cores=server_cores,
        client_cores=client_cores,
        query_ms=query_ms,
    )


def _work(server: Server, shape: Shape, case: Case) -> Work:
    at_once, chunks, settings = case.documents, case.chunks, dict(case.settings)
    where = (f"{server.url}/v1", server.key, MODEL, shape.width)
    return Work(*where, at_once, chunks, shape.vocabulary, case.tokens, settings=settings)


def over_http(server: Server, shape: Shape, seconds: float, tokens: int | None = None, texts: int = LOAD_TEXTS) -> Rate:
    """Return what the endpoint gives whoever asks as fast as it answers, with calls of like lengths, and reads nothing."""
    if tokens is not None:
        texts = texts * shape.positions // tokens
    return observed(server, "load", [_work(server, shape, Case(LOAD_CONNECTIONS, texts, tokens))], seconds)


def shared(server: Server, shape: Shape, case: Case, seconds: float, *, processes: int = 1) -> Rate:
    """Return what our client takes, its documents spread over at most so many processes."""
    processes = min(processes, case.documents)
    works = [
        replace(
            _work(server, shape, case),
            at_once=case.documents // processes + (number < case.documents % processes),
            seed=number,
        )
        for number in range(processes)
    ]
    return observed(server, "client", works, seconds, query=case.query)
