"""GET /health, /health/live and /metrics."""

from fastapi import Request

from app.config import settings
from ml_shared.http.health import build_health_router


async def _redis(request: Request) -> None:
    await request.app.state.redis.ping()


router = build_health_router(settings, {"redis": _redis})
