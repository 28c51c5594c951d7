"""How fast a search is, and how much it finds, at a size: `python -m bench.search`, `make bench-search`.

Made-up chunks of 60 words and clustered vectors of 1,024 dimensions, in 50 corpora of 20 owners, go through the service's own
`execute_index` and `execute_search` into a PostgreSQL of its own that has the compose file's memory and does not wait for its
disk; the endpoint is left out, its vectors are known beforehand. `×` is a time as a multiple of the median of comparing every row
of the same scope in the same run: it says more than milliseconds of a machine that does other things too.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from chores.folders import LOCAL_DEV

from bench.search.asking import CLIENTS, asked, exact_ms, rows, scopes
from bench.search.data import DOCUMENT_CHUNKS, MadeDocument, Maker, Part, owner_of, parts
from bench.search.report import show
from bench.search.service import Bench, opened
from ml_shared.contracts.embedding import SearchMode
from ml_shared.testing.servers import PostgresServer

CHANGED_CHUNKS = 13
# of a document that changes: with a tenth of the documents that is 2 % of all chunks
CHANGED_DOCUMENTS = 0.1


def _say(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def _load(bench: Bench, maker: Maker, chunks: int, writers: int) -> dict[str, Any]:
    """Write all corpora, several documents at a time, and then build what is due."""
    written, seconds = 0, 0.0
    for part in parts(chunks):
        documents = maker.documents(part)
        while group := [made for _, made in zip(range(writers), documents, strict=False)]:
            began = time.perf_counter()
            await asyncio.gather(*(bench.index(part, made) for made in group))
            seconds += time.perf_counter() - began
            written += sum(len(made.texts) for made in group)
    _say(f"{written} chunks written in {seconds:.0f} s")
    began = time.perf_counter()
    moved = await bench.move() + await bench.move()  # one sees how long the tails are, the other that they do not grow
    _say(f"indexes built in {time.perf_counter() - began:.0f} s")
    await bench.fetch("VACUUM ANALYZE")
    built = await bench.fetch("SELECT coalesce(sum(built), 0)::bigint AS rows, count(*) AS n FROM vector_segments")
    return {
        "chunks": written,
        "rows_per_second": round(written / seconds),
        "writers": writers,
        "chunks_in_indexes": built[0]["rows"],
        "indexes": built[0]["n"],
        "build_seconds": round(moved, 1),
        "build_rows_per_second": round(built[0]["rows"] / moved) if built[0]["rows"] else None,
        "bytes": await bench.sizes(),
    }


async def _churn(bench: Bench, maker: Maker, part: Part, refreshes: int, queries: int) -> dict[str, Any]:
    """Load a corpus, change 2 % of it many times, and look before and after."""
    documents: list[MadeDocument] = []
    for made in maker.documents(part):
        await bench.index(part, made)
        documents.append(made)
    await bench.move()
    await bench.move()
    await bench.fetch("VACUUM ANALYZE")
    [scope] = [one for one in await scopes(bench, part.owner, part.owner) if one.name == "the 60 % owner"]
    before = await asked(bench, maker, scope, SearchMode.VECTOR, 1, queries)
    sizes = await bench.sizes()
    changed = max(1, round(len(documents) * CHANGED_DOCUMENTS))
    writing = moving = 0.0
    for refresh in range(refreshes):
        for place in range(refresh * changed, (refresh + 1) * changed):
            made = maker.changed(documents[place % len(documents)], CHANGED_CHUNKS)
            documents[place % len(documents)] = made
            writing += await bench.index(part, made)
        moving += await bench.move()
        if refresh % 5 == 4:
            await bench.fetch("VACUUM ANALYZE")  # as autovacuum does once a fifth has changed, and here at fixed times
    after = await asked(bench, maker, scope, SearchMode.VECTOR, 1, queries)
    return {
        "chunks": scope.chunks,
        "refreshes": refreshes,
        "changed_chunks": refreshes * changed * CHANGED_CHUNKS,
        "write_seconds": round(writing, 1),
        "build_seconds": round(moving, 1),
        "before": rows([before])[0] | {"bytes": sizes},
        "after": rows([after])[0] | {"bytes": await bench.sizes()},
    }


async def _measure(chosen: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"cores": os.cpu_count(), "load_average": os.getloadavg()[0], "asked": []}
    maker = Maker(chosen.seed)
    with PostgresServer() as postgres:
        if chosen.chunks:
            async with opened(postgres) as bench:
                found["load"] = await _load(bench, maker, chosen.chunks, chosen.writers)
                for scope in await scopes(bench, owner_of(0), owner_of(1)):
                    exact = await exact_ms(bench, maker, scope, chosen.queries)
                    modes = [SearchMode(mode) for mode in chosen.modes]
                    cells = [(mode, clients, False) for mode in modes for clients in CLIENTS]
                    cells += [(SearchMode.TEXT, clients, True) for clients in CLIENTS if SearchMode.TEXT in modes]
                    for mode, clients, common in cells:
                        one = await asked(bench, maker, scope, mode, clients, chosen.queries, common=common)
                        found["asked"] += [row | {"exact_ms": exact} for row in rows([one])]
                        _say(f"{one.scope}, {one.mode}, {one.clients}: {one.p50_ms} {one.p95_ms} {one.recall}")
        if chosen.churn_chunks:
            async with opened(postgres) as bench:
                part = Part(owner_of(0), "churned", max(1, chosen.churn_chunks // DOCUMENT_CHUNKS))
                found["churn"] = await _churn(bench, maker, part, chosen.refreshes, chosen.queries)
    return found | {"load_average_after": os.getloadavg()[0]}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.search", description=__doc__)
    parser.add_argument("--chunks", type=int, default=200_000, help="of all owners; 0 leaves this part out")
    parser.add_argument("--churn-chunks", type=int, default=100_000, help="of the corpus that changes; 0 leaves it out")
    parser.add_argument("--refreshes", type=int, default=30)
    parser.add_argument("--modes", nargs="+", choices=[*SearchMode], default=[*SearchMode])
    parser.add_argument("--queries", type=int, default=100, help="a row of the table")
    parser.add_argument("--writers", type=int, default=4, help="documents that are written at once")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=LOCAL_DEV / ".cache" / "bench-search.json")
    return parser.parse_args()


def main() -> int:
    """Measure, print, keep the figures as JSON, and return the exit status."""
    chosen = _arguments()
    found = asyncio.run(_measure(chosen))
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(found, indent=1) + "\n")
    print(show(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
