"""`GET /health`, `GET /health/live`, `GET /metrics`."""

from fastapi import Request

from app.config import settings
from ml_shared.http.health import build_health_router


async def _tokenizer(request: Request) -> None:
    request.app.state.chunker.tokenizer.probe()


router = build_health_router(settings, {"tokenizer": _tokenizer})
