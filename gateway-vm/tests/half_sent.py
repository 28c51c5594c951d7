"""A client that opens many connections and sends half a request on each: `half_sent.py ADDRESS PORT HOW_MANY SECONDS [SOURCE …]`.

It says as JSON how many were opened within these seconds, and at each line of its standard input, how many of those are
still open. By itself, so that a test can run it within a namespace.
"""

import json
import resource
import select
import selectors
import socket
import sys
import time

HALF = b"GET /api/scraper/x HTTP/1.1\r\nHost: x\r\nX-Slow: "


def opened(address: str, port: int, count: int, seconds: float, sources: list[str]) -> list[socket.socket]:
    """Return the connections that came about in time; the others are given up."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    waiting = selectors.DefaultSelector()
    for number in range(count):
        connection = socket.socket(family)
        if sources:
            connection.bind((sources[number % len(sources)], 0))
        connection.setblocking(False)
        connection.connect_ex((address, port))
        waiting.register(connection, selectors.EVENT_WRITE)
    found = []
    deadline = time.monotonic() + seconds
    while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            connection = key.fileobj
            waiting.unregister(connection)
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                connection.sendall(HALF)
                found.append(connection)
    for key in list(waiting.get_map().values()):
        key.fileobj.close()
    return found


def still_open(connections: list[socket.socket]) -> int:
    """Count those on which the other side has said nothing, neither an answer nor an end."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    return len(connections) - len(poll.poll(0))


def main() -> None:
    address, port, count, seconds, *sources = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = int(count) + 100
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
    connections = opened(address, int(port), int(count), float(seconds), sources)
    print(json.dumps({"opened": len(connections)}), flush=True)
    for _ in sys.stdin:
        print(json.dumps({"open": still_open(connections)}), flush=True)


if __name__ == "__main__":
    main()
