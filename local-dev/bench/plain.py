"""The same work without a fleet: pages fetched, extracted, cut and embedded by plain calls in one process.

    echo '["http://127.0.0.1:8001/pages/1"]' | python -m bench.plain      # with the embedding service's environment

The calls are the services' own functions, without HTTP between them, queues, databases, limits or spans. What they take
is what all figures of the fleet are set against: this machine's processor time for what a page needs.
"""

import asyncio
import importlib
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any, Final
from urllib.parse import urlsplit

from fleet.layout import REPOSITORY
from fleet.ports import HOST
from standins.weights import MODEL_NAME, TOKENIZER_SHA256, model_folder

from ml_shared.contracts.chunking import ChunkRequest
from ml_shared.names import Operation
from ml_shared.testing.pace import fixed_work_seconds
from ml_shared.web.addresses import AddressGuard, SystemResolver

WARM_PAGES: Final = 10
MACHINE_ROUNDS: Final = 1_000
PAGE_BYTES: Final = 10 * 2**20
PAGE_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Plain:
    """What pages took: seconds of the wall clock, and of this process' processor time.

    Attributes
    ----------
    machine_ms
        Processor time of a fixed piece of work, which no change of ours makes shorter.
    """

    pages: int
    seconds: float
    cpu_seconds: float
    machine_ms: float

    @property
    def cpu_ms(self) -> float:
        """Processor time of a page, in milliseconds."""
        return self.cpu_seconds / self.pages * 1000

    @property
    def pages_a_second(self) -> float:
        """How many pages a second one process gets done, one after the other."""
        return self.pages / self.seconds


def machine_ms() -> float:
    """Return the processor time of the fixed piece of work, in milliseconds."""
    return fixed_work_seconds(MACHINE_ROUNDS) * 1000


def _of_service(service: str, *names: str) -> list[Any]:
    """Import modules of a service. All call their package `app`, so an earlier service's is forgotten first."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
    sys.path.insert(0, str(REPOSITORY / service))
    try:
        return [importlib.import_module(f"app.{name}") for name in names]
    finally:
        del sys.path[0]


@asynccontextmanager
async def _scraper(ports: Collection[int]) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    extracting, requests, kinds = _of_service(
        "scraper",
        "core.extraction.extract",
        "core.fetching.requests",
        "core.extraction.kinds",
    )
    # kept from now on: its module can't be imported once another service's `app` is in place
    kinds.reader_of("text/html")
    resolver = SystemResolver()
    guard = AddressGuard(resolver, private_networks=[ip_network(f"{HOST}/32")], ports=ports)
    fetcher = requests.Fetcher(
        guard,
        user_agent="ml-bench/1",
        connect_timeout_seconds=PAGE_SECONDS,
        ssl_context=ssl.create_default_context(),
    )
    rule = requests.BodyRule(PAGE_BYTES, kinds.READABLE)

    async def scrape(url: str) -> str:
        page = await fetcher.get(url, requests.Budget(PAGE_SECONDS), rule)
        extract = extracting.extract(page.body, url=page.url, media_type=page.media_type, charset=page.charset)
        return str(extract.content)

    yield scrape
    resolver.close()


def _splitter() -> Callable[[str], Any]:
    (logic,) = _of_service("chunking", "core.logic")
    tokenizer = logic.Tokenizer.load(model_folder() / "tokenizer.json", TOKENIZER_SHA256, MODEL_NAME)
    return lambda text: logic.chunk_text(ChunkRequest(text=text), tokenizer, logic.Cancellation()).result


@asynccontextmanager
async def _embedder() -> AsyncIterator[Callable[[Sequence[str], Sequence[int]], Awaitable[Any]]]:
    endpoints, config = _of_service("embedding", "core.endpoint", "config")
    async with endpoints.EmbeddingEndpoint.open(config.Settings()) as endpoint:
        yield lambda texts, counts: endpoint.embed(texts, operation=Operation.WRITE, token_counts=counts)


async def index(urls: Sequence[str]) -> Plain:
    """Index pages, one after the other, and return what all but the first few took."""
    began = cpu_began = 0.0
    async with AsyncExitStack() as stack:
        scrape = await stack.enter_async_context(_scraper({urlsplit(url).port or 80 for url in urls}))
        split = _splitter()
        embed = await stack.enter_async_context(_embedder())
        for number, url in enumerate(urls):
            if number == WARM_PAGES:
                began, cpu_began = time.perf_counter(), time.process_time()
            chunks = split(await scrape(url)).chunks
            vectors = await embed([chunk.text for chunk in chunks], [chunk.token_count for chunk in chunks])
            if not len(vectors.vectors):
                raise AssertionError(f"{url} has no text")
        seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
        return Plain(len(urls) - WARM_PAGES, seconds, cpu_seconds, machine_ms())


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(index(json.load(sys.stdin))))))
