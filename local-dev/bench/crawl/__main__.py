"""Measures a crawl beside Scrapy's: the same made-up sites, one request a host at a time, the same gap, in one run.

Without text Scrapy follows links and nothing more, and our crawl is a dry run: a frontier that survives everything, a
receipt of robots.txt for each page, an outcome and a reason for each URL, the text extracted all the same. With text
Scrapy has trafilatura's extraction in its process and throws the text away; ours is cut, embedded (by an endpoint that
answers at once) and searchable at the end. Rates are by the clock on the wall; on a machine with other work only their
ratio says something, and where the gap between requests is what both wait for, it is near one.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import httpx
from fleet import Fleet, FleetError

from bench.crawl.sides import Took, by_scrapy, by_us, made_up_sites
from bench.phases import NO_GATEWAY_LIMIT, NO_LIMIT, instant

AIM = 0.8
"""Of Scrapy's pages a second."""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crawl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--pages", type=int, default=20, help="of each host")
    parser.add_argument("--host-delay", type=float, default=1.0, help="seconds between two requests to a host")
    parser.add_argument("--concurrency", type=int, default=100, help="Scrapy's requests at once, over all hosts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result")
    return parser.parse_args()


def measure(chosen: argparse.Namespace) -> dict[str, dict[str, Took]]:
    """Have both crawl twice, without text and with it; a run of ours that finds other pages than Scrapy is an error."""
    measured: dict[str, dict[str, Took]] = {}
    with (
        made_up_sites(chosen.hosts, chosen.pages) as origins,
        tempfile.TemporaryDirectory(prefix="ml-bench-") as folder,
    ):
        ports = ",".join(origin.rpartition(":")[2] for origin in origins)
        overrides = {
            "scraper": {"ALLOWED_PORTS": ports, "HOST_DELAY_SECONDS": str(chosen.host_delay)},
            "orchestrator": NO_LIMIT,
            "gateway": NO_GATEWAY_LIMIT,
        }
        with Fleet(Path(folder), overrides=overrides, programs=instant, tied=True) as fleet:
            for name, index in (("without text", False), ("with text", True)):
                print(f"crawling {name}", file=sys.stderr, flush=True)
                scrapy = by_scrapy(origins, host_delay=chosen.host_delay, concurrency=chosen.concurrency, extract=index)
                ours = by_us(fleet, origins, corpus_name=name.replace(" ", "-"), index=index)
                if ours.pages != scrapy.pages:
                    raise FleetError(f"{name}: Scrapy found {scrapy.pages} pages, we found {ours.pages}")
                measured[name] = {"ours": ours, "scrapy": scrapy}
    return measured


def lines(measured: dict[str, dict[str, Took]]) -> list[str]:
    """Return the table, ratios first."""
    rows = [f"{'':14}{'ours / Scrapy':>16}{'aim':>6}{'pages/s':>18}{'CPU ms a page':>20}"]
    for name, both in measured.items():
        ours, scrapy = both["ours"], both["scrapy"]
        rates = f"{ours.pages_a_second:.1f} / {scrapy.pages_a_second:.1f}"
        cpu = f"{ours.cpu_ms:.0f} / {scrapy.cpu_ms:.0f}"
        rows.append(f"{name:14}{ours.pages_a_second / scrapy.pages_a_second:>16.2f}{AIM:>6}{rates:>18}{cpu:>20}")
    return rows


def main() -> int:
    """Measure, print and return the exit status."""
    chosen = _arguments()
    try:
        measured = measure(chosen)
    except (FleetError, httpx.HTTPError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        told = {name: {side: asdict(took) for side, took in both.items()} for name, both in measured.items()}
        chosen.json.write_text(json.dumps(told, indent=1) + "\n")
    print("\n".join(lines(measured)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
