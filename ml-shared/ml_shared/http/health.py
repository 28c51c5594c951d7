"""The three routes that need no key: `/health`, `/health/live` and `/metrics`."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from ml_shared.deadlines import within
from ml_shared.settings import ServiceSettings
from ml_shared.telemetry.metrics import CONTENT_TYPE, render_metrics
from ml_shared.telemetry.readings import Readings

logger = logging.getLogger(__name__)

Check = Callable[[Request], Coroutine[Any, Any, None]]
"""Raises when what it checks can't be worked with."""

CHECK_TIMEOUT_SECONDS: Final = 2.0
# below the interval and the timeout of every prober of ours


class CheckAnswer(BaseModel):
    """What one check said."""

    status: str
    latency_ms: float


class HealthAnswer(BaseModel):
    """`GET /health`."""

    status: str
    service: str
    version: str
    checks: dict[str, CheckAnswer]


class LiveAnswer(BaseModel):
    """`GET /health/live`."""

    status: str = "ok"


async def _run(name: str, check: Check, request: Request) -> CheckAnswer:
    began = time.perf_counter()
    try:
        await within(CHECK_TIMEOUT_SECONDS, check(request))
        status = "ok"
    except Exception as error:  # noqa: BLE001 - whatever a driver raises, the answer is that it does not work
        logger.warning("health check failed", extra={"check": name, "error": f"{type(error).__name__}: {error}"})
        status = "error"
    return CheckAnswer(status=status, latency_ms=round((time.perf_counter() - began) * 1000, 1))


def build_health_router(settings: ServiceSettings, checks: Mapping[str, Check]) -> APIRouter:
    """Return the routes; each check is of something that the service can't work without."""
    router = APIRouter(tags=["health"])

    @router.get(
        "/health",
        response_model=HealthAnswer,
        summary="Whether the service can work",
        responses={503: {"model": HealthAnswer, "description": "Something that it needs does not work"}},
    )
    async def health(request: Request) -> JSONResponse:
        answers = await asyncio.gather(*(_run(name, check, request) for name, check in checks.items()))
        healthy = all(answer.status == "ok" for answer in answers)
        body = HealthAnswer(
            status="ok" if healthy else "error",
            service=settings.SERVICE_NAME,
            version=settings.SERVICE_VERSION,
            checks=dict(zip(checks, answers, strict=True)),
        )
        return JSONResponse(body.model_dump(), status_code=200 if healthy else 503)

    @router.get("/health/live", response_model=LiveAnswer, summary="Whether the process runs")
    async def live() -> LiveAnswer:
        return LiveAnswer()

    @router.get("/metrics", summary="Prometheus metrics of all this container's processes", response_class=Response)
    async def metrics(request: Request) -> Response:
        readings = getattr(request.app.state, "readings", None) or Readings()  # there is none without `open_shared`
        kept, read = await asyncio.gather(asyncio.to_thread(render_metrics), readings.render())
        return Response(kept + read, media_type=CONTENT_TYPE)

    return router
