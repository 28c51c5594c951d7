"""What opens with an application, and is as it was when the application has ended."""

import gc

import pytest
from fastapi import APIRouter, FastAPI
from guarded_app import settings_for
from prometheus_client import REGISTRY

from ml_shared.http.health import build_health_router
from ml_shared.service import GC_THRESHOLD, shared_lifespan


async def test_the_garbage_collector_is_spared_as_long_as_the_application_lives() -> None:
    before = gc.get_threshold()
    lifespan = shared_lifespan(settings_for("http://127.0.0.1:9"))
    async with lifespan(FastAPI()):
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] == GC_THRESHOLD
        async with lifespan(FastAPI()):  # a second application of the process
            assert gc.get_threshold()[0] == GC_THRESHOLD
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before


async def test_what_a_process_started_with_is_gone_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lifespan = shared_lifespan(settings_for("http://127.0.0.1:9"))
    async with lifespan(FastAPI()):
        pass
    monkeypatch.setattr(gc, "collect", lambda: pytest.fail("a later application has it done again"))
    async with lifespan(FastAPI()):
        assert gc.get_freeze_count() > 0


async def test_failures_of_each_route_are_counted_from_zero_on() -> None:
    settings = settings_for("http://127.0.0.1:9")
    app = FastAPI(lifespan=shared_lifespan(settings))
    router = APIRouter()
    router.post("/not-yet-failed/{name}", tags=["sync", "read"])(lambda name: name)
    app.include_router(router)
    app.include_router(build_health_router(settings, {}))

    def failures() -> dict[str, float]:
        samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
        return {
            f"{one.labels['method']} {one.labels['route']} {one.labels['operation']}": one.value
            for one in samples
            if one.name == "ml_http_requests_total" and one.labels["status"] == "5xx"
        }

    before = set(failures())
    async with app.router.lifespan_context(app):
        assert {name: count for name, count in failures().items() if name not in before} == {
            "POST /not-yet-failed/{name} read": 0.0
        }
