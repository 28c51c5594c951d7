"""How a Redis of ours is configured, started and asked, for tests and for the local fleet."""

import os
import socket
from pathlib import Path

from ml_shared.testing.binaries import find_redis

ANSWER_TIMEOUT_SECONDS = 20.0


def write_redis_config(
    folder: Path, *, port: int, password: str, maxmemory: str, data: Path | None = None, name: str = "redis.conf"
) -> Path:
    """Write a configuration that only its owner can read, and return its path.

    The password stands in a file because every user of a machine sees the command lines of all.

    Parameters
    ----------
    folder
        Where the file goes, and the server's working folder unless `data` is given.
    data
        Where the server keeps an append-only file; without it nothing outlives the process.
    """
    path = folder / name
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f"dir {_quoted(str(data or folder))}",
        f"requirepass {_quoted(password)}",
        f"maxmemory {maxmemory}",
        "maxmemory-policy noeviction",
        'save ""',
        f"appendonly {'yes' if data else 'no'}",
        "daemonize no",
    ]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def redis_command(config: Path) -> list[str]:
    """Return the command that runs a Redis in the foreground."""
    return [str(find_redis()), str(config)]


def redis_reply(port: int, password: str, *words: str) -> bytes:
    """Run one command over a connection of its own and return its answer as it came.

    Without a client library, so that no instrumentation and no pool of the process under test is touched.
    """
    with socket.create_connection(("127.0.0.1", port), ANSWER_TIMEOUT_SECONDS) as connection:
        connection.sendall(_encoded("AUTH", password) + _encoded(*words) + _encoded("QUIT"))
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    _, _, rest = answer.partition(b"\r\n")
    return rest.removesuffix(b"+OK\r\n")


def _encoded(*words: str) -> bytes:
    encoded = [word.encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


def ping(port: int, password: str) -> bool:
    """Tell whether a Redis answers there, and takes this password."""
    try:
        return redis_reply(port, password, "PING") == b"+PONG\r\n"
    except OSError:
        return False
