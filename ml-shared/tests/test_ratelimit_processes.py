"""One limit over several processes that serve HTTP."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from ml_shared.clients.tls import shared_tls
from ml_shared.testing import guard
from ml_shared.testing.membership import FakeMembership
from ml_shared.testing.servers import free_port, wait_until

FOLDER = Path(__file__).parent
KEY = "user-key-0123456789"
PROCESSES, CLIENTS, LIMIT = 4, 50, 100


@pytest.fixture
def urls(redis_url: str, membership: FakeMembership, tmp_path: Path) -> Iterator[list[str]]:
    """Where the processes answer."""
    membership.add(KEY)
    ports = [free_port() for _ in range(PROCESSES)]
    found = [f"http://127.0.0.1:{port}" for port in ports]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "limited_processes.py", *map(str, ports)],
            cwd=FOLDER,
            env={**os.environ, "REDIS_URL": redis_url, "MEMBERSHIP_URL": membership.url, "LIMIT": str(LIMIT)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    guard.watch_process(process.pid)
    try:
        assert wait_until(lambda: process.poll() is not None or all(map(_answers, found)), 60), log.read_text()
        assert process.poll() is None, log.read_text()
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(15)
        guard.forget_process(process.pid)


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{url}/health", verify=shared_tls()).status_code == 200
    return False


async def _ask(url: str) -> list[tuple[int, bool]]:
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": KEY}, timeout=60) as client:
        answers = [await client.get("/whoami") for _ in range(6)]
    return [(answer.status_code, "ratelimit" in answer.headers) for answer in answers]


async def test_fifty_clients_of_one_key_on_four_processes_get_exactly_the_limit(urls: list[str]) -> None:
    rounds = await asyncio.gather(*(_ask(urls[number % PROCESSES]) for number in range(CLIENTS)))
    answers = Counter(answer for one_client in rounds for answer in one_client)
    assert answers == {(200, True): LIMIT, (429, True): CLIENTS * 6 - LIMIT}
