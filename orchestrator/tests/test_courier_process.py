"""The courier as a worker's own process: there when there is a key, replaced when it dies, gone with its worker."""

import asyncio
import signal
from pathlib import Path

import psutil
import pytest
from conftest import ORCHESTRATOR_KEY, WEBHOOK_KEY, Core, Fleet
from pydantic import SecretStr
from receiver import answers, receiving

from app.core.notices import webhooks
from app.core.notices.sealing import Sealer
from ml_shared.contracts.webhooks import WebhookEvent, WebhookRequest
from ml_shared.testing.servers import RedisServer, wait_until
from ml_shared.testing.worker import WorkerProcess

PATIENCE_SECONDS = 30.0


async def until(core: Core, statement: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await core.pool.fetchval(statement):
            await asyncio.sleep(0.05)


def begun(worker: WorkerProcess) -> list[int]:
    return [line["pid"] for line in worker.lines if line.get("event") == "courier_began"]


@pytest.fixture
def databases(own_databases: tuple[str, str]) -> tuple[str, str]:
    """A worker that is killed may be at them for a moment longer."""
    return own_databases


@pytest.fixture
def environment(databases: tuple[str, str], redis_server: RedisServer, fleet: Fleet) -> dict[str, str]:
    return {
        "DATABASE_URL": databases[0],
        "CONTENT_STORE_URL": databases[1],
        "REDIS_URL": redis_server.url,
        "SERVICE_API_KEY": ORCHESTRATOR_KEY,
        "DISPATCH_INTERVAL_SECONDS": "3600",
        "OTEL_TRACES_EXPORTER": "none",
        "WEBHOOK_SECRET_KEY": WEBHOOK_KEY,
        "WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
        **{f"{service.upper()}_URL": url for service, url in fleet.addresses.items()},
    }


def started(environment: dict[str, str]) -> WorkerProcess:
    return WorkerProcess(
        "app.worker.celery_app", queue="orchestration", folder=Path(__file__).parents[1], env=environment
    )


async def test_a_courier_that_is_killed_in_the_middle_delivers_again(core: Core, environment: dict[str, str]) -> None:
    async with receiving() as receiver:

        async def hang_once(writer: object) -> None:
            receiver.answer = answers(200)
            await asyncio.sleep(3600)

        receiver.answer = hang_once  # type: ignore[assignment]
        request = WebhookRequest(url=receiver.url(), events=[WebhookEvent.RUN_ENDED])
        sealer = Sealer([SecretStr(WEBHOOK_KEY)])
        made = await webhooks.create(core.pool, "key:a", request, sealer, max_webhooks=20)
        with started({**environment, "WEBHOOK_PORTS": str(receiver.port)}) as worker:
            await core.pool.execute("SELECT announce_event('key:a', 'run.ended', '{}')")
            await until(core, "SELECT status = 'sending' FROM webhook_deliveries")
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not receiver.received:
                    await asyncio.sleep(0.05)
            psutil.Process(begun(worker)[-1]).send_signal(signal.SIGKILL)
            await core.pool.execute("UPDATE webhook_deliveries SET leased_until = now()")
            await until(core, "SELECT status = 'delivered' FROM webhook_deliveries")
            assert len(begun(worker)) == 2, "another one was started"
            children = worker.children()
            worker.stop()
            assert wait_until(lambda: not any(child.is_running() for child in children), PATIENCE_SECONDS)
            assert made.secret not in worker.output
            assert WEBHOOK_KEY not in worker.output
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    second.verified(made.secret)


async def test_without_a_key_there_is_no_courier(core: Core, environment: dict[str, str]) -> None:
    with started({name: value for name, value in environment.items() if name != "WEBHOOK_SECRET_KEY"}) as worker:
        assert wait_until(lambda: any(line.get("event") == "watch_began" for line in worker.lines), PATIENCE_SECONDS), (
            worker.output
        )
        assert begun(worker) == []
