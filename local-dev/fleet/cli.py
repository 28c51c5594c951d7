"""`up`, `down`, `status` and `logs`: what the Makefile's targets of these names run."""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import FrameType

from fleet.composition import PREFERRED_GATEWAY_PORT, programs_for
from fleet.errors import FleetError
from fleet.fleet import Fleet
from fleet.layout import DEFAULT_STATE, make
from fleet.memory import memory_of
from fleet.saying import say
from fleet.services import overrides_from_environment
from fleet.telemetry import keeps_traces, spans_go_to

MEGABYTE = 2**20


def up(fleet: Fleet) -> int:
    """Start the fleet and say where it is."""
    began = time.monotonic()
    if not fleet.is_up:
        say("Starting the fleet")
    started = fleet.start()
    say(f"The fleet is up ({time.monotonic() - began:.1f} s)." if started else "The fleet is up already.")
    key = fleet.keys.file("user")
    say(f"  console   {fleet.gateway}/")
    say(f"  gateway   {fleet.gateway}")
    say(f"  your key  {_relative(key)}")
    say(f"  logs      {_relative(fleet.layout.logs)}")
    if keeps_traces(fleet.layout):
        say(f"  traces    {make('trace')}")
    elif endpoint := spans_go_to(fleet.layout):
        say(f"  traces    at {endpoint}")
    say(f'  try       curl -H "X-API-Key: $(cat {_relative(key)})" {fleet.gateway}/api/orchestrator/jobs')
    say(f"  end it    {make('down')}")
    return 0


def down(fleet: Fleet) -> int:
    """End the fleet."""
    began = time.monotonic()
    if fleet.stop():
        say(f"The fleet is down ({time.monotonic() - began:.1f} s); its data stay in {_relative(fleet.layout.data)}.")
    else:
        say("The fleet was not running.")
    return 0


def status(fleet: Fleet) -> int:
    """Print a table of the fleet's processes; the exit status says whether all of them run."""
    if fleet.manager.process is None:
        say(f"The fleet is not running; `{make('up')}` starts it.")
        return 3  # what service managers answer for "not running"
    ports = fleet.ports
    say(f"{'PROCESS':<22}{'PID':>8}  {'STATE':<10}{'UPTIME':>10}{'MEMORY':>10}{'PORT':>8}")
    total, healthy = 0.0, True
    for state in fleet.states():
        if state.name.endswith("-migrate") and state.state == "EXITED":
            continue
        healthy = healthy and state.state == "RUNNING"
        memory = memory_of(state.pid)
        total += memory
        uptime = str(timedelta(seconds=int(time.time() - state.started))) if state.started else "-"
        say(
            f"{state.name:<22}{state.pid or '-':>8}  {state.state.lower():<10}{uptime:>10}"
            f"{memory / MEGABYTE:>7.0f} MB{ports.get(state.name, '-'):>8}"
        )
    say(f"{'all':<22}{'':>8}  {'':<10}{'':>10}{total / MEGABYTE:>7.0f} MB")
    return 0 if healthy else 1


def logs(fleet: Fleet, name: str | None) -> int:
    """Follow the log of one process, or of all, until Ctrl-C."""
    found = [fleet.log(name)] if name else sorted(fleet.layout.logs.glob("*.log"))
    found += sorted((fleet.layout.logs / "gateway").glob("access.log")) if name in (None, "gateway") else []
    existing = [path for path in found if path.exists()]
    if not existing:
        known = ", ".join(sorted(path.stem for path in fleet.layout.logs.glob("*.log")))
        raise FleetError(f"there is no log of {name!r}; there are: {known}" if name else "there is no log yet")
    try:
        return subprocess.run(["tail", "-n", "20", "-F", *map(str, existing)], check=False).returncode
    except KeyboardInterrupt:
        return 0


def _relative(path: Path) -> str:
    """Return a path as short as it can be typed from where the user is."""
    relative = os.path.relpath(path, os.environ.get("PWD", Path.cwd()))
    return shlex.quote(min(relative, str(path), key=len))


def fleet_of(state: Path, environment: Mapping[str, str]) -> Fleet:
    """Return the fleet that a developer with this environment starts."""
    return Fleet(
        state,
        overrides=overrides_from_environment(environment),
        gateway_port=PREFERRED_GATEWAY_PORT,
        say=say,
        programs=programs_for(environment),
    )


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fleet", description=__doc__)
    parser.add_argument("command", choices=["up", "down", "status", "logs"])
    parser.add_argument("name", nargs="?", help="logs: one process, as status names it")
    parser.add_argument("--state", type=Path, default=DEFAULT_STATE, help="folder of data, keys, logs and ports")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)  # so that a killed `up` cleans up like an interrupted one
    fleet = fleet_of(chosen.state, os.environ)
    commands = {"up": up, "down": down, "status": status}
    try:
        return logs(fleet, chosen.name) if chosen.command == "logs" else commands[chosen.command](fleet)
    except FleetError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; nothing was left running", file=sys.stderr)
        return 130
