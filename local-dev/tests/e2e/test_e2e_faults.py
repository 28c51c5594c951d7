"""Crashes and wiped queues in the middle of jobs: none is lost, no chunk is doubled."""

import contextlib
from collections.abc import Callable, Iterator

import psutil
import pytest
from conftest import Stage
from e2e_caller import PATIENCE_SECONDS, Caller

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

REACHED_SECONDS = 60.0
OF_THE_ORCHESTRATOR = "phase = 'dispatch' OR stage = 'chunking'"
"""Leases of what the orchestrator's worker itself does, which die with it."""


def one_version(stage: Stage, caller: Caller, corpus: str, documents: int = 1) -> None:
    """Each document is there once, each of its chunks once."""
    assert caller.corpus(corpus)["documents"] == documents
    rows = stage.vectors_sql(
        "SELECT document_id, count(*) AS n, count(DISTINCT chunk_index) AS places FROM chunks WHERE corpus = $1 "
        "GROUP BY document_id",
        corpus,
    )
    assert len(rows) == documents
    assert all(row["n"] == row["places"] > 0 for row in rows)


@contextlib.contextmanager
def held_page(stage: Stage, name: str, host: int) -> Iterator[str]:
    """A page that does not answer until the block ends."""
    path = f"/{name}"
    url = stage.web.add(path, name, host, held=True)
    try:
        yield url
    finally:
        stage.web.held[path].set()


@pytest.fixture
def endpoint_held(stage: Stage) -> Iterator[Callable[[str], None]]:
    """Hold the embedding endpoint; the fixture's value waits until a worker is waiting for it with a passage of these words."""
    stage.proxy.open.clear()

    def wait(words: str) -> None:
        assert wait_until(lambda: stage.proxy.has_waiting(words), REACHED_SECONDS), "no worker has called the endpoint"

    yield wait
    stage.proxy.open.set()


def test_killing_the_scraping_worker_in_the_middle_of_a_job_loses_nothing(stage: Stage, caller: Caller) -> None:
    with held_page(stage, "lynx", 7) as url:
        job_id = caller.submit(url, "lynx").json()["job_id"]
        stage.web.wait_until_asked("/lynx")
        stage.fleet.kill("scraper-worker")
    stage.let_leases_end([job_id], "phase = 'run'")
    job = caller.wait(job_id)
    assert job["status"] == "completed", job
    one_version(stage, caller, "lynx")


def test_killing_the_embedding_worker_in_the_middle_of_a_job_loses_nothing(
    stage: Stage, caller: Caller, endpoint_held: Callable[[str], None]
) -> None:
    url = stage.web.add("/otter", "otter", 8)
    job_id = caller.submit(url, "otter").json()["job_id"]
    endpoint_held("otter")
    stage.fleet.kill("embedding-worker")
    stage.proxy.open.set()
    stage.let_leases_end([job_id], "phase = 'run'")
    job = caller.wait(job_id)
    assert job["status"] == "completed", job
    one_version(stage, caller, "otter")


def test_killing_the_orchestrators_worker_again_and_again_loses_nothing(stage: Stage, caller: Caller) -> None:
    ids = [
        caller.submit(stage.web.add(f"/elk-{number}", f"elk {number}", number), "elk").json()["job_id"]
        for number in range(1, 7)
    ]
    for _ in range(3):
        with contextlib.suppress(psutil.NoSuchProcess):
            stage.fleet.kill("orchestrator-worker")
        stage.let_leases_end(ids, OF_THE_ORCHESTRATOR)
        stage.fleet.wait_ready("orchestrator-worker")
    assert {caller.wait(job_id)["status"] for job_id in ids} == {"completed"}
    one_version(stage, caller, "elk", documents=6)


@pytest.mark.parametrize("redis", ["redis-orch", "redis-scrape", "redis-embed"])
def test_wiping_a_redis_in_the_middle_of_jobs_loses_nothing(stage: Stage, caller: Caller, redis: str) -> None:
    corpus = f"wiped-{redis}"
    with held_page(stage, f"{redis}-held", 9) as url:
        ids = [caller.submit(url, corpus).json()["job_id"]]
        for number in range(10, 14):
            page = stage.web.add(f"/{redis}-{number}", f"{redis} {number}", number)
            ids.append(caller.submit(page, corpus).json()["job_id"])
        stage.web.wait_until_asked(f"/{redis}-held")
        stage.flush(redis)
        stage.let_leases_end(ids, "phase = 'queue'")
    jobs = [caller.wait(job_id) for job_id in ids]
    assert {job["status"] for job in jobs} == {"completed"}, jobs
    one_version(stage, caller, corpus, documents=5)


def test_five_wipes_of_a_queue_fail_no_job(stage: Stage, caller: Caller) -> None:
    stage.fleet.stop_program("scraper-worker")
    try:
        job_id = caller.submit(stage.web.add("/beaver", "beaver", 14), "beaver").json()["job_id"]
        for _ in range(5):
            assert wait_until(lambda: waits_in_queue(stage, job_id), REACHED_SECONDS, 0.1), caller.job(job_id)
            stage.flush("redis-scrape")
            lease = stage.jobs_sql("SELECT attempt_id FROM leases WHERE job_id = $1", job_id)
            taken = [row["attempt_id"] for row in lease]
            stage.let_leases_end([job_id], "phase = 'queue'")
            was_taken_back = wait_until(lambda taken=taken: gone(stage, taken), REACHED_SECONDS, 0.1)
            assert was_taken_back, "the lost hand-out was not taken back"
    finally:
        stage.fleet.start_program("scraper-worker")
    job = caller.wait(job_id)
    assert job["status"] == "completed", job
    assert job["stages"][0]["attempts"] == 1, "what was lost before a start counts nothing"


def waits_in_queue(stage: Stage, job_id: str) -> bool:
    return bool(stage.jobs_sql("SELECT 1 FROM leases WHERE job_id = $1 AND phase = 'queue'", job_id))


def gone(stage: Stage, attempts: list[object]) -> bool:
    return not stage.jobs_sql("SELECT 1 FROM leases WHERE attempt_id = ANY($1)", attempts)


def test_a_page_that_kills_its_worker_each_time_fails_after_the_last_attempt(stage: Stage, caller: Caller) -> None:
    """Every fetch of the page is answered by killing the children of the worker that fetches it.

    Celery has the same attempt begin again, until that has begun too often; then its lease runs out.
    """

    def kill_children() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in stage.fleet.process("scraper-worker").children():
                child.kill()

    url = stage.web.add("/killer", "killer", 15)
    stage.web.hooks["/killer"] = kill_children
    job_id = caller.submit(url, "killer").json()["job_id"]
    try:
        stage.web.wait_until_asked("/killer", 4, PATIENCE_SECONDS)

        def is_given_up() -> bool:
            stage.let_leases_end([job_id], "phase = 'run'")
            return bool(caller.job(job_id)["status"] == "failed")

        wait_until(is_given_up, PATIENCE_SECONDS, 0.5)
        job = caller.job(job_id)
    finally:
        del stage.web.hooks["/killer"]
    assert (job["status"], job["error"]["code"]) == ("failed", "stage_timeout"), job
    assert job["error"]["failed_stage"] == "scraping"
    assert 4 <= job["stages"][0]["attempts"] <= 5, job
    stage.fleet.wait_ready("scraper-worker")
    caller.index(stage.web.add("/after", "after", 16), "after")


def test_a_stage_that_is_away_holds_jobs_back_and_loses_none(stage: Stage, caller: Caller) -> None:
    stage.fleet.stop_program("chunking")
    try:
        job_id = caller.submit(stage.web.add("/puffin", "puffin", 17), "puffin").json()["job_id"]
        assert wait_until(lambda: waits_for_upstream(caller, job_id), REACHED_SECONDS, 0.1), caller.job(job_id)
    finally:
        stage.fleet.start_program("chunking")
    job = caller.wait(job_id)
    assert job["status"] == "completed", job


def waits_for_upstream(caller: Caller, job_id: str) -> bool:
    job = caller.job(job_id)
    return job["status"] == "chunking" and (job["waiting"] or {}).get("reason") == "upstream"
