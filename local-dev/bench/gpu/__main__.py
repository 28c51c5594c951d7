"""Measures an encoder of bge-large-en-v1.5's shape, a server over it, and our client's share of both, within a time.

    make bench-gpu                                                            # on the first card
    make bench-gpu ARGS="--encoder simulated --batch-ms 40 --token-us 16"     # only a card's time, ten times as long
    make bench-gpu ARGS="--encoder numpy --shape tiny --minutes 2"            # a rehearsal

The first needs torch. Nothing is fetched. It prints one table and writes all figures as JSON.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from bench.gpu.capacity import BUDGETS, LENGTHS
from bench.gpu.choices import add_arguments, chosen_shape, passed_on
from bench.gpu.client import NOWHERE, Work, service
from bench.gpu.encoder import GET_TORCH, torch_is_there
from bench.gpu.report import capacity_at, capacity_of, chosen_budget, show
from bench.gpu.share import LOAD_TEXTS, LOCAL_DEV, BenchError, Case, Rate, Server, over_http, served, shared

OUT: Final = LOCAL_DEV / ".cache" / "bench-gpu.json"
CAPACITY_SHARE: Final = 0.35
# of the time; the rest is the rows'
ROW_START_SECONDS: Final = 4.0
# of a row that are spent before it measures: its clients start, and make their texts
LEAST_ROW_SECONDS: Final = 2.0
AIMED, PAGES, SMALL_PAGES = 1024, 24, 4
# chunks a document: enough to fill a card alone; a long page; the median page
AT_ONCE: Final = (1, 4, 16)


@dataclass(frozen=True, slots=True)
class Row:
    """A case, and whether the aim is about it, or it tries settings."""

    case: Case
    aimed: bool = False
    tried: bool = False


def rows(aimed: int = AIMED) -> Iterator[Row]:
    """Return what is measured of our client, the most wanted first; `aimed` chunks make a document a long one."""
    yield from (Row(Case(documents, aimed), aimed=True) for documents in AT_ONCE)
    for budget in ("8192", "16384", "32768", "65536"):
        yield Row(
            Case(1, aimed, settings={"EMBEDDING_BATCH_TOKENS": budget, "EMBEDDING_BATCH_SIZE": "512"}, query=True),
            tried=True,
        )
    yield Row(Case(1, aimed, settings={"EMBEDDING_BATCH_TOKENS": "1000000"}, query=True), tried=True)  # texts alone
    for calls in ("2", "8"):
        yield Row(Case(1, aimed, settings={"EMBEDDING_CONCURRENCY": calls}, query=True), tried=True)
    yield from (Row(Case(documents, chunks)) for chunks in (PAGES, SMALL_PAGES) for documents in AT_ONCE)
    for tokens in LENGTHS:
        yield Row(Case(4, aimed, tokens))
    for texts in ("256", "512"):
        yield Row(Case(4, aimed, min(LENGTHS), {"EMBEDDING_BATCH_SIZE": texts}))


def measured_capacity(arguments: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """Measure the encoder in a process of its own, so that a card is empty again afterwards."""
    command = [sys.executable, "-m", "bench.gpu.capacity", "--tied", *passed_on(arguments), "--seconds", str(seconds)]
    with subprocess.Popen(command, cwd=LOCAL_DEV, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise BenchError("the encoder could not be measured")
    found: dict[str, Any] = json.loads(said)
    return found


def told(row: Row, rate: Rate, capacity: float, http: float) -> dict[str, Any]:
    """Return a row with its shares; a share of what was not measured is none."""
    shares = {
        "of_encoder": rate.tokens_per_second / capacity if capacity else None,
        "of_http": rate.tokens_per_second / http if http else None,
    }
    return {**asdict(row), "rate": asdict(rate), **shares}


def measure_rows(server: Server, arguments: argparse.Namespace, found: dict[str, Any], until: float) -> Iterator[None]:
    """Measure the rows, as many as fit into the time, and put each into what was found. Yields after each."""
    wanted, shape, capacity = list(rows(arguments.chunks)), chosen_shape(arguments), found["capacity"]
    lengths = {row.case.tokens for row in wanted}
    each = (until - time.monotonic()) / (len(wanted) + len(lengths)) - ROW_START_SECONDS
    seconds = max(LEAST_ROW_SECONDS, each)
    http: dict[int | None, float] = {}
    for row in wanted:
        tokens = row.case.tokens
        if found["rows"] and time.monotonic() + seconds + ROW_START_SECONDS > until:
            found["left_out"].append(asdict(row.case))
            continue
        if tokens not in http:
            rate = over_http(server, shape, seconds, tokens, min(LOAD_TEXTS, arguments.chunks))
            http[tokens] = rate.tokens_per_second
            found["http"][str(tokens)] = asdict(rate)
        try:
            rate = shared(server, shape, row.case, seconds, processes=arguments.processes)
        except BenchError as error:  # the others may do better, if the server is still there
            found["failed"] = f"{row.case}: {error}"
            continue
        found["rows"].append(told(row, rate, _alone(found, tokens), http[tokens]))
        print(f"  {row.case} {rate.tokens_per_second:,.0f} tokens/s", file=sys.stderr, flush=True)
        if tokens is None:
            found["of_encoder_over_http"] = http[None] / capacity_of(capacity["mixed"], found["batch_tokens"])
        yield


def _alone(found: dict[str, Any], tokens: int | None) -> float:
    """Return what the encoder does by itself on such texts, in the server's batches."""
    capacity, budget = found["capacity"], found["batch_tokens"]
    if tokens is None:
        return capacity_of(capacity["mixed"], budget)
    return capacity_at(capacity["cells"], tokens, budget)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure everything. What fails on the way ends it, and takes nothing of what was found; it is written all along."""
    until = time.monotonic() + arguments.minutes * 60
    capacity = measured_capacity(arguments, arguments.minutes * 60 * CAPACITY_SHARE)
    found: dict[str, Any] = {
        "command": sys.argv[1:],
        "capacity": capacity,
        "batch_tokens": arguments.batch_tokens or chosen_budget(capacity["mixed"]),
        "http": {},
        "of_encoder_over_http": None,
        "rows": [],
        "left_out": [],
        "failed": None,
    }
    _write(arguments.out, found)
    try:
        with served([*passed_on(arguments), "--batch-tokens", str(found["batch_tokens"])]) as server:
            for _ in measure_rows(server, arguments, found, until):
                _write(arguments.out, found)
    except (BenchError, httpx.HTTPError) as error:
        found["failed"] = str(error)
    _write(arguments.out, found)
    return found


def _write(out: Path, found: dict[str, Any]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1))


def check_imports() -> None:
    """Import what the client's processes will, before a card's time is spent.

    Raises
    ------
    ImportError
        Says what is missing.
    """
    for name in ("bench.gpu.load", "bench.gpu.server"):
        importlib.import_module(name)
    service(Work(NOWHERE, "key", "model", 1, 1, 1, 1))


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, write, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--minutes", type=float, default=8.0, help="about how long all of it takes")
    parser.add_argument("--chunks", type=int, default=AIMED, help="of a long document; fewer for a rehearsal on a CPU")
    parser.add_argument(
        "--batch-tokens",
        type=int,
        choices=BUDGETS,
        help="of the server's batches; the fewest that are nearly as fast as any",
    )
    parser.add_argument(
        "--processes", type=int, default=max(1, min(16, (os.cpu_count() or 2) // 2)), help="our client's, at most"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="where the figures go as JSON")
    arguments = parser.parse_args(given)
    if arguments.encoder == "torch" and not torch_is_there():
        print(GET_TORCH, file=sys.stderr)
        return 1
    try:
        check_imports()
        found = measure(arguments)
    except (ImportError, BenchError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(show(found))
    return 0 if found["failed"] is None else 1


if __name__ == "__main__":
    sys.exit(main())
