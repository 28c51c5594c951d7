"""What ml_shared costs a request: `python -m bench.overhead [--rounds 5] [--seconds 3]`.

One uvicorn process a variant, all of them up at once and asked in turn, so that a noisy machine is noisy for all: a
bare FastAPI route, and the same with more and more of what a service has around it. Real Redis; Membership and the
collector are stand-ins that listen. Loaded: 16 connections. Idle: one.
"""

import argparse
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from starlette.applications import Starlette

from bench.overhead.variants import BARE, DISABLED, EVERYTHING, VARIANTS, Variant
from ml_shared.names import Header
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.otlp import OtlpReceiver
from ml_shared.testing.servers import RedisServer, free_port

CONNECTIONS = 16
START_SECONDS = 30.0
AIM = 0.25
AIM_IDLE_SECONDS = 0.001
FOLDER = Path(__file__).resolve().parents[2]


class Collector(OtlpReceiver):
    """Takes spans and keeps none."""

    def Export(self, request: object, context: object) -> ExportTraceServiceResponse:  # type: ignore[override] # noqa: N802
        return ExportTraceServiceResponse()


@dataclass(frozen=True)
class Server:
    """A variant that is being served."""

    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time that it has taken so far, its exporting included."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def served(variant: Variant, env: dict[str, str], metrics: Path, key: str) -> Iterator[Server]:
    """Serve a variant from a process of its own."""
    port = free_port()
    metrics.mkdir()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "bench.overhead.served:app"),
            *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log"),
        ],
        cwd=FOLDER,
        env={
            **os.environ,
            **env,
            **variant.env,
            "BENCH_VARIANT": variant.name,
            "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/item", headers={Header.API_KEY: key}, trust_env=False)
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{variant.name}: the server did not start") from None
                time.sleep(0.05)
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(10)


def ask(port: int, connections: int, seconds: float, key: str) -> dict[str, float]:
    """Ask a server for so long, from another process."""
    asked = subprocess.run(
        [sys.executable, "-m", "bench.overhead.load", str(port), str(connections), str(seconds)],
        cwd=FOLDER,
        input=key,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    )
    if asked.returncode:
        raise RuntimeError(asked.stderr)
    answer: dict[str, float] = json.loads(asked.stdout)
    return answer


def measure(servers: dict[str, Server], rounds: int, seconds: float, key: str) -> dict[str, dict[str, float]]:
    """Ask all in turn, round by round, and return each one's medians."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in servers}
    for number in range(rounds):
        for name, server in servers.items():
            before = server.cpu_seconds()
            loaded = ask(server.port, CONNECTIONS, seconds, key)
            spent = server.cpu_seconds() - before
            idle = ask(server.port, 1, seconds / 2, key)
            found[name].append(
                {
                    "rate": loaded["requests"] / loaded["seconds"],
                    "p50": loaded["p50"],
                    "p95": loaded["p95"],
                    "idle": idle["p50"],
                    "cpu": spent / loaded["requests"],
                }
            )
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    return {
        name: {what: statistics.median(each[what] for each in runs) for what in runs[0]} for name, runs in found.items()
    }


def show(figures: dict[str, dict[str, float]], variants: Sequence[Variant]) -> None:
    """Print the table: ratios to the bare route, and what each part adds."""
    bare = figures[BARE]
    columns = (
        "requests/s",
        "of bare",
        "p50 ×",
        "p95 ×",
        "idle p50 ×",
        "CPU ×",
        "adds µs",
        "adds CPU µs",
        "adds idle µs",
    )
    print(f"{'':25}" + "".join(f"{column:>{len(column) + 2}}" for column in columns))
    for variant in variants:
        one, base = figures[variant.name], figures.get(variant.base or BARE, bare)
        cells = [
            f"{one['rate']:.0f}",
            f"{one['rate'] / bare['rate']:.2f}",
            *(f"{one[what] / bare[what]:.1f}" for what in ("p50", "p95", "idle", "cpu")),
            f"{(1 / one['rate'] - 1 / base['rate']) * 1e6:+.0f}",
            f"{(one['cpu'] - base['cpu']) * 1e6:+.0f}",
            f"{(one['idle'] - base['idle']) * 1e6:+.0f}",
        ]
        print(
            f"{variant.name:25}"
            + "".join(f"{cell:>{len(column) + 2}}" for cell, column in zip(cells, columns, strict=True))
        )
    if EVERYTHING in figures:
        kept, added = figures[EVERYTHING]["rate"] / bare["rate"], figures[EVERYTHING]["idle"] - bare["idle"]
        print(f"\neverything keeps {kept:.2f} of bare (aim: {AIM}) and adds {added * 1e3:.2f} ms idle (aim: under 1)")
    if EVERYTHING in figures and DISABLED in figures:
        show_telemetry(figures[EVERYTHING], figures[DISABLED])


def show_telemetry(on: dict[str, float], off: dict[str, float]) -> None:
    """Print telemetry's share of a whole service's request: with it, and with `OTEL_SDK_DISABLED`."""
    print("\ntelemetry's share of a request")
    loaded = {"loaded": (1 / on["rate"], 1 / off["rate"])}
    for name, (with_it, without) in (loaded | {what: (on[what], off[what]) for what in ("idle", "cpu")}).items():
        spent = with_it - without
        print(
            f"{name:>8}: on {with_it * 1e6:.0f} µs, off {without * 1e6:.0f} µs: {spent * 1e6:.0f} µs, {spent / with_it:.0%}"
        )


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each variant in a round")
    parser.add_argument("--only", nargs="*", help="words of the variants' names; bare is always asked")
    chosen = parser.parse_args()
    wanted = [
        variant
        for variant in VARIANTS
        if not chosen.only or variant.name == BARE or any(word in variant.name for word in chosen.only)
    ]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ml-overhead-")))
        membership = stack.enter_context(FakeMembership())
        key = secrets.token_urlsafe(24)
        membership.add(key)
        env = {
            "SERVICE_NAME": "embedding",
            "MEMBERSHIP_URL": membership.url,
            "REDIS_URL": stack.enter_context(RedisServer()).url,
            "RATE_LIMIT_CAPACITY": "1000000000",
            "RATE_LIMIT_TIERS": "default=1000000000",
            "RATE_LIMIT_WINDOW_SECONDS": "1",
            "API_PROCESSES": "1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(Collector()).endpoint,
            "OTEL_TRACES_EXPORTER": "otlp",
            "PYROSCOPE_SERVER_ADDRESS": stack.enter_context(ThreadedServer(Starlette())).url,
        }
        servers = {
            one.name: stack.enter_context(served(one, env, folder / str(number), key))
            for number, one in enumerate(wanted)
        }
        show(measure(servers, chosen.rounds, chosen.seconds, key), wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
