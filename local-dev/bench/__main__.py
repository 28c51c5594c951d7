"""Measures fleets of its own, in folders of their own, and prints one table, ratios first.

One fleet has the small real model behind its endpoint, the other an endpoint that answers at once: so a page's whole
cost is the fleet's. Its figures are set against the same fetching, extraction, chunking and embedding as plain calls in
one process, measured in the same run. Idle: one page at a time, from its submission until it can be found, on the
orchestrator's clock; site and endpoint take 0.05 s each. Loaded: all pages submitted at once by one client.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Final

import httpx
from fleet import FleetError

from bench.figures import Results
from bench.phases import Plan, measure
from bench.table import lines

WITHOUT, WITH = "without the model", "with the model"
MODES: Final = {"both": (WITHOUT, WITH), "instant": (WITHOUT,), "model": (WITH,)}


def _plan(fleet: str, chosen: argparse.Namespace) -> Plan:
    if fleet == WITH:
        return Plan(20, chosen.pages // 3, chosen.single, counted=0, host_delay=chosen.host_delay, model=True)
    return Plan(chosen.hosts, chosen.pages, chosen.single, chosen.counted, host_delay=0.0, model=False)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mode", choices=MODES, default="both", help="which fleets are measured")
    parser.add_argument("--hosts", type=int, default=50, help="under load, without the model (20 with it)")
    parser.add_argument("--pages", type=int, default=300, help="under load, without the model (a third with it)")
    parser.add_argument("--single", type=int, default=15, help="pages one at a time, of new hosts and of known ones")
    parser.add_argument("--counted", type=int, default=100, help="pages whose SQL statements are counted")
    parser.add_argument(
        "--host-delay", type=float, default=1.0, help="seconds between two requests to a host, with the model"
    )
    parser.add_argument("--detail", action="store_true", help="also each route, statement and command")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the result")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="an earlier result: what got worse is marked")
    return parser.parse_args()


def main() -> int:
    """Measure, print and return the exit status."""
    chosen = _arguments()
    try:
        earlier = Results.load(chosen.compare) if chosen.compare else None
        measured = {}
        with tempfile.TemporaryDirectory(prefix="ml-bench-") as folder:
            for fleet in MODES[chosen.mode]:
                print(f"measuring a fleet {fleet}", file=sys.stderr, flush=True)
                measured[fleet] = measure(Path(folder) / fleet.split()[0], _plan(fleet, chosen))
    except (FleetError, httpx.HTTPError, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    now = Results(measured)
    if chosen.json:
        now.store(chosen.json)
    print("\n".join(lines(now, earlier, detail=chosen.detail)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
