"""`GET /health`, `GET /health/live`, `GET /metrics`."""

from fastapi import Request

from app.config import settings
from ml_shared.http.health import build_health_router


async def _redis(request: Request) -> None:
    await request.app.state.redis.ping()


async def _postgres(request: Request) -> None:
    await request.app.state.orchestrator.pool.fetchval("SELECT 1")


router = build_health_router(settings, {"redis": _redis, "postgres": _postgres})
