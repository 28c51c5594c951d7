"""What opens with an application, and is as it was when the application has ended."""

import gc

from fastapi import FastAPI
from guarded_app import settings_for

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
