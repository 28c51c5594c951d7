"""What the orchestrator counts when jobs move and end."""

import pytest
from conftest import Core
from prometheus_client import REGISTRY

from app.core.dispatch.placement import Ended
from app.core.metrics import FAILURE_CODES, OTHER, count_ended, count_transition
from ml_shared.contracts.jobs import CallbackStatus, JobStatus
from ml_shared.names import Stage

RETRY_SECONDS = 7.0


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_job_that_goes_through_is_counted_once_in_each_stage_and_at_its_end(core: Core) -> None:
    stages = [stage.value for stage in Stage]

    def counted() -> list[float]:
        ran = [value("ml_jobs_stage_duration_seconds_count", stage=stage, outcome="success") for stage in stages]
        attempts = [value("ml_jobs_stage_attempts_sum", stage=stage) for stage in stages]
        ended = value("ml_jobs_ended_total", status="completed")
        return [*ran, *attempts, ended, value("ml_jobs_searchable_seconds_count"), value("ml_jobs_submitted_total")]

    before = counted()
    await core.submit("http://one.test/")
    for stage in Stage:
        job = await core.claim_one(stage)
        await core.started(job)
        if stage is Stage.EMBEDDING:
            count_transition(await core.defer(job, "upstream_error", retry_after_seconds=RETRY_SECONDS))
            await core.time_has_come()
            job = await core.claim_one(stage)
            await core.started(job)
        count_transition(await core.complete(job, content_ref="ref"))
        count_transition(await core.complete(job, content_ref="ref"))  # a duplicate changes nothing
    change = [now - then for now, then in zip(counted(), before, strict=True)]
    assert change == [1, 1, 1, 1, 1, 2, 1, 1, 1]


async def test_how_long_it_took_counts_from_submission_and_from_the_attempts_start(core: Core) -> None:
    job_id = await core.submit("http://one.test/")
    job = await core.claim_one(Stage.SCRAPING)
    await core.started(job)
    await core.pool.execute("UPDATE jobs SET submitted_at = now() - interval '10 hours' WHERE id = $1", job_id)
    await core.pool.execute("UPDATE job_stages SET started_at = now() - interval '1 hour'")
    moved = await core.complete(job, status=CallbackStatus.FAILED, error_code="http_status")
    assert moved.ended is not None
    assert moved.stage_run is not None
    assert moved.ended.seconds == pytest.approx(36_000, abs=60)
    assert moved.stage_run.seconds == pytest.approx(3_600, abs=60)


def test_a_failure_is_counted_by_its_stage_and_a_code_that_nobody_knows_as_other() -> None:
    before = (
        value("ml_jobs_failed_total", stage="scraping", code="http_status"),
        value("ml_jobs_failed_total", stage="scraping", code=OTHER),
    )
    for code in ("http_status", "a_made_up_one", "another"):
        count_ended(Ended(JobStatus.FAILED, 1.0, code, Stage.SCRAPING))
    assert value("ml_jobs_failed_total", stage="scraping", code="http_status") == before[0] + 1
    assert value("ml_jobs_failed_total", stage="scraping", code=OTHER) == before[1] + 2
    assert value("ml_jobs_failed_total", stage="scraping", code="a_made_up_one") == 0


async def test_a_job_whose_attempts_were_all_lost_counts_as_a_failure(core: Core) -> None:
    tight = core.with_limits(max_attempts=1)
    await tight.submit("http://one.test/")
    await tight.started(await tight.claim_one(Stage.SCRAPING))
    await tight.expire_leases()
    _, failed = await tight.recover()
    ((_, ended),) = failed
    assert (ended.status, ended.code, ended.failed_stage) == (JobStatus.FAILED, "stage_timeout", Stage.SCRAPING)
    assert ended.code in FAILURE_CODES
