"""Which port each part of the fleet listens on, found when the fleet starts."""

import contextlib
import json
import random
import socket
import sys
from collections.abc import Iterable
from pathlib import Path

from fleet.errors import FleetError
from fleet.layout import read_json, write_private

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 32_000
# below the ports that systems give to outgoing connections (from 32768 on): one of those would take the port of a
# process while that is being restarted
ATTEMPTS = 1_000

_random = random.SystemRandom()  # several fleets that start at once must not all look at the same ports


def is_free(port: int, *, reuse: bool = True) -> bool:
    """Tell whether a server could listen on this port of loopback now.

    Parameters
    ----------
    reuse
        Whether it may be one of which something is left: connections of a server that has ended, or who holds it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def hold(ports: Iterable[int]) -> contextlib.ExitStack:
    """Keep searches for free ports off these, until the stack is closed, while nothing listens there.

    On Linux a port that is bound, and not listened on, is refused to whoever looks without SO_REUSEADDR, and granted to a
    server, which sets it. Other systems grant it to nobody, so that there it is not held.
    """
    with contextlib.ExitStack() as held:
        for port in ports if sys.platform == "linux" else ():
            one = held.enter_context(socket.socket())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):  # somebody was faster, which the program that wants it will say
                one.bind((HOST, port))
        return held.pop_all()


def choose_ports(path: Path, names: Iterable[str], *, preferred: dict[str, int] | None = None) -> dict[str, int]:
    """Return a free port for each name and keep them in a file.

    A port of an earlier start is used again when it is still free, so that addresses stay what they were.
    """
    wishes = {name: port for name, port in read_ports(path).items() if isinstance(port, int)}
    wishes.update({name: port for name, port in (preferred or {}).items() if is_free(port)})
    chosen: dict[str, int] = {}
    for name in names:
        wish = wishes.get(name)
        if wish is not None and wish not in chosen.values() and is_free(wish):
            chosen[name] = wish
        else:
            chosen[name] = _any_port(set(chosen.values()))
    write_private(path, json.dumps(chosen, indent=2) + "\n")
    return chosen


def _any_port(taken: set[int]) -> int:
    for _ in range(ATTEMPTS):
        port = _random.randint(LOWEST, HIGHEST)
        if port not in taken and is_free(port, reuse=False):
            return port
    raise FleetError(f"no free port between {LOWEST} and {HIGHEST} on {HOST}")


def read_ports(path: Path) -> dict[str, int]:
    """Return the ports of the running fleet."""
    ports = read_json(path)
    return ports if isinstance(ports, dict) else {}
