"""Asking a process whether it can be used yet. Each question is cheap and answers False for every kind of not yet."""

import http.client
import socket
from collections.abc import Callable
from pathlib import Path

from fleet.ports import HOST
from ml_shared.testing.redis_setup import ping, redis_reply

ANSWER_SECONDS = 3.0


def http_ok(port: int, path: str) -> Callable[[], bool]:
    """Ask for a 200."""

    def ask() -> bool:
        connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask


def accepts(port: int) -> Callable[[], bool]:
    """Ask for a connection."""

    def ask() -> bool:
        try:
            socket.create_connection((HOST, port), ANSWER_SECONDS).close()
        except OSError:
            return False
        return True

    return ask


def redis_answers(port: int, password: str) -> Callable[[], bool]:
    """Ask a Redis for its PONG."""
    return lambda: ping(port, password)


def worker_listens(port: int, password: str) -> Callable[[], bool]:
    """Ask a broker whether a Celery worker waits at a queue of it: it does so with BRPOP, and nobody else does."""

    def ask() -> bool:
        try:
            return b"cmd=brpop" in redis_reply(port, password, "CLIENT", "LIST")
        except OSError:
            return False

    return ask


def postgres_accepts(data: Path, port: int) -> Callable[[], bool]:
    """Ask a PostgreSQL's own note of its state, and whether it really listens."""

    def ask() -> bool:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[7].strip() == "ready" and accepts(port)()

    return ask
