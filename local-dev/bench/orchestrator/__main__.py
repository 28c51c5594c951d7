"""How fast the orchestrator takes in, hands out and takes back jobs, and whether that stays so with a million queued.

Its own code on a PostgreSQL of its own that does not wait for its disk; submissions and callbacks over HTTP to its API in
a process of its own. Rates are by the clock on the wall: on a machine with other work only the ratios say something.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.orchestrator.passes import OPENING, STAGES, newcomer, pass_times
from bench.orchestrator.report import lines
from bench.orchestrator.service import Databases
from bench.orchestrator.streams import open_streams
from bench.orchestrator.traffic import BATCH, hand_outs, over_http
from ml_shared.testing.servers import PostgresServer

FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """How much is measured."""

    sizes: tuple[int, ...] = (1_000, 100_000, 1_000_000)
    owners: int = 1_000
    hosts: int = 10_000
    passes: int = 20
    behind: int = 100_000
    slots: int = 8
    singles: int = 1_000
    batches: int = 99
    callbacks: int = 500
    handed_passes: int = 20
    handed_slots: int = 32
    streams: int = 1_000
    quiet_seconds: float = 10.0


QUICK = Plan((200, 1_000), 50, 100, 2, 1_000, 8, 20, 1, 20, 2, 8, 20, 0.5)


def _say(text: str) -> None:
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def measure(plan: Plan) -> dict[str, float]:
    """Measure all of it, on one server."""
    found: dict[str, float] = {"load average before": os.getloadavg()[0]}
    with PostgresServer() as postgres:
        databases = Databases(postgres)
        await databases.prepare()
        by_size = {}
        for size in plan.sizes:
            _say(f"passes over {size:,} queued jobs")
            by_size[size] = await pass_times(databases, size, owners=plan.owners, hosts=plan.hosts, passes=plan.passes)
            _say(", ".join(f"{name} {took:.1f} ms" for name, took in by_size[size].items()))
        found |= _of_passes(by_size)
        _say(f"a newcomer behind {plan.behind:,} jobs of one owner")
        waited = await newcomer(databases, plan.behind, hosts=plan.hosts, slots=plan.slots)
        found["a newcomer's wait, in durations of a job"] = waited.durations
        found["hand-outs before a newcomer's first"] = waited.hand_outs
        _say("hand-outs")
        found["hand-outs a second"] = await hand_outs(databases, passes=plan.handed_passes, slots=plan.handed_slots)
        _say(f"{plan.singles + plan.batches * BATCH:,} submissions")
        told = await over_http(databases, singles=plan.singles, batches=plan.batches, callbacks=plan.callbacks)
        _say(f"{plan.streams:,} open streams")
        streams = await open_streams(databases, plan.streams, quiet_seconds=plan.quiet_seconds)
    found |= {
        "open streams": float(plan.streams),
        "the API's memory for them, MB": streams.megabytes,
        "connections to PostgreSQL beside them": float(streams.connections),
        "a processor's share for them at rest, %": streams.cpu * 100,
        "until all of them are told of an end, s": streams.last_told_seconds,
    }
    found["a batch of 1,000 ÷ one job, time"] = BATCH / told["jobs in batches"] / told["one job, s"]
    found |= {
        "submissions a second, single": told["single jobs"],
        "submissions a second, in batches of 1,000": told["jobs in batches"],
        "callbacks a second": told["callbacks"],
        "API's memory before the batches, MB": told["memory before, MB"],
        "API's memory after them, MB": told["memory after, MB"],
        "tables and indexes, bytes a job": told["bytes a job"],
    }
    return found | {"load average after": os.getloadavg()[0]}


def _of_passes(by_size: dict[int, dict[str, float]]) -> dict[str, float]:
    fewest, most = by_size[min(by_size)], by_size[max(by_size)]
    ratios = {name: most[name] / fewest[name] for name in most}
    found = {"a pass at most jobs ÷ at fewest, worst": max(ratios.values())}
    found |= {f"a pass at most jobs ÷ at fewest, {name}": ratio for name, ratio in ratios.items()}
    for size, times in by_size.items():
        found |= {f"a pass, {name}, {size:,} queued, ms": times[name] for name in (OPENING, *STAGES)}
    return found


def _load(path: Path) -> dict[str, float]:
    stored = json.loads(path.read_text())
    if stored.get("format") != FORMAT:
        raise ValueError(f"{path} is of format {stored.get('format')}, and this reads {FORMAT}")
    figures: dict[str, float] = stored["figures"]
    return figures


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.orchestrator", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few of everything: that it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="print an earlier run's figures beside")
    return parser.parse_args()


def main() -> int:
    """Measure, print and return the exit status."""
    chosen = _arguments()
    try:
        earlier = _load(chosen.compare) if chosen.compare else None
        found = asyncio.run(measure(QUICK if chosen.quick else Plan()))
    except (OSError, ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if chosen.json:
        chosen.json.write_text(json.dumps({"format": FORMAT, "figures": found}, indent=1, ensure_ascii=False) + "\n")
    print("\n".join(lines(found, earlier)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
