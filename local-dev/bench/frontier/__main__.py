"""Simulates a crawl of very many pages on very many hosts, whose pages are answered at once: what it takes of the orchestrator.

Its own code on a PostgreSQL of its own that does not wait for its disk. Stand-ins speak the contracts of the scraper's,
chunking's and embedding's workers. Another owner's job comes three times meanwhile. Times are by the clock on the wall: on a
machine with other work only the ratios say something.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

from bench.frontier.run import listed_at_once, rows_of, simulated
from bench.frontier.web import Web
from bench.orchestrator.service import Databases
from ml_shared.testing.servers import PostgresServer

FORMAT = 1
AIMS = {
    "another owner's wait, in durations of a job, worst": "< 2",
    "a pass of the run, the last tenth ÷ the first": "≤ 2",
    "a page's result, the last tenth ÷ the first": "≤ 2",
}


def _say(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def measure(web: Web, listed: int) -> dict[str, float]:
    """Measure all of it, on one server."""
    found: dict[str, float] = {"load average before": os.getloadavg()[0]}
    with PostgresServer() as postgres:
        databases = Databases(postgres)
        await databases.prepare()
        _say(f"a sitemap of {listed:,} pages")
        found |= await listed_at_once(databases, listed)
        _say(f"a run of {web.pages * web.hosts:,} pages of {web.hosts:,} hosts")
        found |= await simulated(databases, web, _say)
    return found | {"load average after": os.getloadavg()[0]}


def lines(figures: dict[str, float]) -> list[str]:
    """Return the table."""
    width = max(map(len, figures)) + 2
    return [f"{name:{width}}{value:>14,.2f}{AIMS.get(name, ''):>8}".rstrip() for name, value in rows_of(figures)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.frontier", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=1_000)
    parser.add_argument("--pages", type=int, default=100, help="of each host")
    parser.add_argument("--listed", type=int, default=50_000, help="pages of the sitemap")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    return parser.parse_args()


def main() -> int:
    """Measure, print and return the exit status."""
    chosen = _arguments()
    try:
        found = asyncio.run(measure(Web(chosen.hosts, chosen.pages), chosen.listed))
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        kept = {"format": FORMAT, "hosts": chosen.hosts, "pages": chosen.pages, "figures": found}
        chosen.json.write_text(json.dumps(kept, indent=1) + "\n")
    print("\n".join(lines(found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
