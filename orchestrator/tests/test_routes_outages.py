"""PostgreSQL away under a running service: callers are told so and when to come again, and it all goes on afterwards."""

import asyncio

import httpx
from conftest import ALICE

from ml_shared.testing.servers import PostgresServer

USER = {"X-API-Key": ALICE}
JOB = {"url": "http://site.test/"}


async def test_while_postgres_restarts_callers_are_answered_503_and_afterwards_served(
    api: httpx.AsyncClient, postgres_server: PostgresServer
) -> None:
    assert (await api.post("/jobs", json=JOB, headers=USER)).status_code == 202
    postgres_server.stop()
    try:
        for method, path, body in (
            ("POST", "/jobs", JOB),
            ("GET", "/jobs", None),
            ("GET", "/webhooks", None),
            ("POST", "/jobs/batch", {"urls": ["http://site.test/"]}),
        ):
            async with asyncio.timeout(30):
                answer = await api.request(method, path, json=body, headers=USER)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable"), path
            assert 1 <= int(answer.headers["Retry-After"]) <= 60
            assert "postgres" not in answer.json()["detail"].lower()
        assert (await api.get("/health")).status_code == 503
    finally:
        postgres_server.start()
    async with asyncio.timeout(30):
        while (await api.post("/jobs", json=JOB, headers=USER)).status_code != 202:
            await asyncio.sleep(0.1)
    jobs = (await api.get("/jobs", headers=USER)).json()["items"]
    assert len(jobs) == 2, "what was taken in before is there, and what was answered 503 is not"
