"""The worker's process that sends webhooks: apart from the watch, so that no receiver of anybody's holds up a pass.

It needs nothing but PostgreSQL. Without a key to seal secrets with there is nothing to send, and no process.
"""

from typing import Any

from app.config import settings
from app.core.database import open_jobs
from app.core.notifying import open_courier
from app.worker.beside import BesideStep
from app.worker.watching import beside
from ml_shared.storage.pools import sample_pools_regularly

CONNECTIONS = 4
# claims come one after the other, and how deliveries went is one statement each


async def carry() -> None:
    """Send webhooks until cancelled, or until PostgreSQL can't be reached any more."""
    async with open_jobs(settings.DATABASE_URL, max_size=CONNECTIONS) as pool:
        with open_courier(pool, settings) as courier, beside(sample_pools_regularly()):
            await courier.work()


class CourierStep(BesideStep):
    """Has a worker send webhooks."""

    process_name = "courier"
    work = staticmethod(carry)

    def include_if(self, worker: Any) -> bool:
        """Celery's hook: whether there is anything to be sent."""
        return bool(settings.webhook_keys)
