"""A container's health check, for images without curl: `python -m ml_shared.probe [api [PORT] | worker | beat]`.

It exits with 0 or 1 and one line that says why. It runs every few seconds in each container, so that it imports
nothing but what it needs of the standard library.
"""

import os
import sys
import time
from typing import Final

API_PORT: Final = 8000
PATH: Final = "/health/live"
TIMEOUT_SECONDS: Final = 3.0
# in all; a check's own timeout in Compose has to be longer, or the line is lost
MAX_STATUS_LINE_BYTES: Final = 1024

HEARTBEAT_FILE: Final = "HEARTBEAT_FILE"
"""The variable that names the file which a worker's main process, or beat, keeps fresh."""
HEARTBEAT_SECONDS: Final = 5.0
# how often it is touched
MAX_HEARTBEAT_AGE_SECONDS: Final = 30.0
# several beats, so that a busy machine is not taken for a dead worker; one check's interval times Docker's three
# retries is of the same size, so that a worker without its Redis shows within a minute

USAGE: Final = "usage: python -m ml_shared.probe [api [PORT] | worker | beat]"


def probe_api(port: int) -> tuple[bool, str]:
    """Ask the API of this container whether it lives."""
    import socket  # a worker's probe has no use for it

    request = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + TIMEOUT_SECONDS
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as connection:
            connection.sendall(request)
            while b"\n" not in answer and len(answer) < MAX_STATUS_LINE_BYTES:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                part = connection.recv(MAX_STATUS_LINE_BYTES)
                if not part:
                    break
                answer += part
    except TimeoutError:
        return False, f"no answer from port {port} within {TIMEOUT_SECONDS:g} s"
    except OSError as error:
        return False, f"no answer from port {port}: {error.strerror or error}"
    protocol, _, rest = answer.partition(b"\n")[0].strip().decode("latin-1").partition(" ")
    if not protocol.startswith("HTTP/"):
        return False, f"what listens on port {port} does not speak HTTP"
    return rest[:3] == "200", f"port {port} answers {rest or 'nothing'} to GET {PATH}"


def probe_heartbeat(what: str) -> tuple[bool, str]:
    """Look how old the heartbeat of a worker or of beat is."""
    path = os.environ.get(HEARTBEAT_FILE)
    if not path:
        return False, f"{HEARTBEAT_FILE} is not set, for this check and for the {what}"
    try:
        age = time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return False, f"no heartbeat of the {what} yet: {path} is not there"
    except OSError as error:
        return False, f"{path} can't be read: {error.strerror}"
    # of the future, when the clock was set back: it says nothing
    fresh = abs(age) <= MAX_HEARTBEAT_AGE_SECONDS
    return fresh, f"last heartbeat of the {what} {age:.0f} s ago, {MAX_HEARTBEAT_AGE_SECONDS:g} s are allowed"


def main(words: list[str]) -> int:
    """Run the check that the command's words name, say what it found, and return the exit status."""
    match words:
        case [] | ["api"]:
            healthy, line = probe_api(API_PORT)
        case ["api", port] if port.isdecimal() and 0 < int(port) < 65_536:
            healthy, line = probe_api(int(port))
        case ["worker" | "beat" as what]:
            healthy, line = probe_heartbeat(what)
        case _:
            healthy, line = False, USAGE
    print(f"{'healthy' if healthy else 'unhealthy'}: {line}")
    return 0 if healthy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
