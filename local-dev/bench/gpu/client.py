"""Embeds documents by the embedding service's own client, one after the other, as many at once as it is told.

`python -m bench.gpu.client` is a process of its own, as a worker's child is. It reads one JSON object from standard input
(`Work`), prints a line when everything is ready, embeds from then on until its input ends, and prints what it did.
"""

import asyncio
import importlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop

from bench.gpu.words import Text, documents

EMBEDDING: Final = Path(__file__).resolve().parents[3] / "embedding"
NOWHERE: Final = "http://127.0.0.1:9"
KINDS_OF_DOCUMENT: Final = 8
# of each client; its documents come round again


@dataclass(frozen=True, slots=True)
class Work:
    """What one client is to do. `settings` are the embedding service's, by name."""

    url: str
    key: str
    model: str
    dimensions: int
    at_once: int
    chunks: int
    vocabulary: int
    tokens: int | None = None
    seed: int = 0
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Did:
    """What one client did."""

    documents: int = 0
    vectors: int = 0
    tokens: int = 0
    cpu_seconds: float = 0.0
    seconds: float = 0.0


def service(work: Work) -> tuple[Any, Any, Any]:
    """Return the service's client, made from these settings: its class, the settings and the operation of a write."""
    os.environ |= {
        "SERVICE_NAME": "embedding",
        "MEMBERSHIP_URL": NOWHERE,
        "REDIS_URL": "redis://127.0.0.1:9/0",
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none",
        "EMBEDDING_API_BASE_URL": work.url,
        "EMBEDDING_API_KEY": work.key,
        "EMBEDDING_MODEL": work.model,
        "EMBEDDING_DIMENSIONS": str(work.dimensions),
        **work.settings,
    }
    sys.path.insert(0, str(EMBEDDING))  # imported there, it needs no installation
    config = importlib.import_module("app.config")
    endpoint = importlib.import_module("app.core.endpoint")
    return endpoint.EmbeddingEndpoint, config.settings, importlib.import_module("ml_shared.names").Operation.WRITE


def read_work() -> Work:
    """Return what the first line of the input describes; what comes after it is left there."""
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(sys.stdin.fileno(), 1)
    return Work(**json.loads(line))


async def input_ends() -> None:
    """Wait for the end of the input."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, lambda: None if os.read(sys.stdin.fileno(), 4096) else ended.set())
    await ended.wait()
    loop.remove_reader(sys.stdin)


async def embed(work: Work, made: list[list[Text]]) -> Did:
    """Embed until the input ends; what is not done by then is left."""
    client_class, settings, write = service(work)
    did = Did()
    async with client_class.open(settings, requests_at_once=work.at_once) as client:

        async def one_after_the_other(first: int) -> None:
            number = first
            while True:
                document = made[number % len(made)]
                embedded = await client.embed(
                    [text.text for text in document],
                    operation=write,
                    token_counts=[text.tokens for text in document],
                )
                did.documents += 1
                did.vectors += len(embedded.vectors)
                did.tokens += embedded.tokens
                number += work.at_once

        print("ready", flush=True)
        began, spent = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            embedding = [group.create_task(one_after_the_other(number)) for number in range(work.at_once)]
            await input_ends()
            for task in embedding:
                task.cancel()
        did.seconds, did.cpu_seconds = time.perf_counter() - began, time.process_time() - spent
    return did


def main() -> int:
    """Do the work that standard input describes."""
    work = read_work()
    made = documents(KINDS_OF_DOCUMENT, work.chunks, work.vocabulary, work.tokens, work.seed)
    print(json.dumps(asdict(uvloop.run(embed(work, made)))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
