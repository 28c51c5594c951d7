"""Measures a crawl beside Scrapy's: the same made-up sites, one request a host at a time, the same gap, in one run.

Twice: of sites that ask for a gap between requests, as all do in real life, where that gap is what both wait for; and of sites
that ask for none, where both are bound by the processor, and what we do beside fetching shows.

Without text Scrapy follows links and nothing more, and our crawl is a dry run: a frontier that survives everything, a
receipt of robots.txt for each page, an outcome and a reason for each URL, the text extracted all the same. With text
Scrapy has trafilatura's extraction in its process and throws the text away; ours is cut, embedded (by an endpoint that
answers at once) and searchable at the end. Rates are by the clock on the wall; on a machine with other work only their
ratio says something, and as much of it as the gap is longer than what a page waits for the processor.
"""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import httpx
from fleet import Fleet, FleetError

from bench.crawl.sides import Took, by_scrapy, by_us, made_up_sites
from bench.phases import NO_GATEWAY_LIMIT, NO_LIMIT, instant

AIM = 0.8
"""Of Scrapy's pages a second, at a pace that sites ask for."""
START_SECONDS = 600.0
# of a fleet, on a machine with much other work
POLITE, HURRIED = "at a polite pace", "without a pace"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.crawl", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=10)
    parser.add_argument("--pages", type=int, default=20, help="of each host")
    parser.add_argument("--host-delay", type=float, default=2.0, help="seconds between two requests to a host")
    parser.add_argument("--only", choices=(POLITE, HURRIED), help="one of both")
    parser.add_argument("--concurrency", type=int, default=100, help="Scrapy's requests at once, over all hosts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result")
    return parser.parse_args()


def measure(chosen: argparse.Namespace) -> dict[str, dict[str, Took]]:
    """Have both crawl without text and with it, at both paces; a run of ours that finds other pages than Scrapy is an error."""
    measured: dict[str, dict[str, Took]] = {}
    paces = {POLITE: chosen.host_delay, HURRIED: 0.0}
    with ExitStack() as stack:
        sites = {
            name: stack.enter_context(made_up_sites(chosen.hosts, chosen.pages, crawl_delay=delay))
            for name, delay in paces.items()
            if chosen.only in (None, name)
        }
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ml-bench-"))
        ports = ",".join(origin.rpartition(":")[2] for origins in sites.values() for origin in origins)
        # the pace is what the sites' robots.txt asks for
        overrides = {
            "scraper": {"ALLOWED_PORTS": ports, "HOST_DELAY_SECONDS": "0"},
            "orchestrator": NO_LIMIT,
            "gateway": NO_GATEWAY_LIMIT,
        }
        fleet = Fleet(Path(folder), overrides=overrides, programs=instant, tied=True)
        fleet.start(START_SECONDS)
        stack.callback(fleet.stop)
        for pace, origins in sites.items():
            for text, index in (("without text", False), ("with text", True)):
                name = f"{pace}, {text}"
                print(f"crawling {name}", file=sys.stderr, flush=True)
                scrapy = by_scrapy(origins, host_delay=paces[pace], concurrency=chosen.concurrency, extract=index)
                ours = by_us(fleet, origins, corpus_name=name.replace(" ", "-").replace(",", ""), index=index)
                if ours.pages != scrapy.pages:
                    raise FleetError(f"{name}: Scrapy found {scrapy.pages} pages, we found {ours.pages}")
                measured[name] = {"ours": ours, "scrapy": scrapy}
    return measured


def lines(measured: dict[str, dict[str, Took]]) -> list[str]:
    """Return the table, ratios first."""
    width = max(map(len, measured)) + 2
    rows = [f"{'':{width}}{'ours / Scrapy':>16}{'aim':>6}{'pages/s':>18}{'CPU ms a page':>20}"]
    for name, both in measured.items():
        ours, scrapy = both["ours"], both["scrapy"]
        aim = AIM if name.startswith(POLITE) else ""
        rates = f"{ours.pages_a_second:.1f} / {scrapy.pages_a_second:.1f}"
        cpu = f"{ours.cpu_ms:.0f} / {scrapy.cpu_ms:.0f}"
        rows.append(f"{name:{width}}{ours.pages_a_second / scrapy.pages_a_second:>16.2f}{aim:>6}{rates:>18}{cpu:>20}")
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
