"""Health, and metrics."""

from fastapi import Request

from app.config import settings
from ml_shared.http.health import build_health_router


async def _redis(request: Request) -> None:
    await request.app.state.redis.ping()


async def _postgres(request: Request) -> None:
    await request.app.state.embedding.pool.fetchval("SELECT 1")


# not the endpoint: without it words are still found, lists still read, and documents wait in their jobs
router = build_health_router(settings, {"redis": _redis, "postgres": _postgres})
