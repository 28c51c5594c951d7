"""Jobs in every stage at once, and the question what became of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from compose_client import PatientCaller
from compose_fleet import ComposeFleet

from ml_shared.testing.servers import wait_until

MAX_ATTEMPTS = 3
# of a stage that was interrupted once: MAX_STAGE_ATTEMPTS is 4, and none of these tests comes near it
ENDED_SECONDS = 120.0
STAGE_SECONDS = 60.0


@contextmanager
def jobs_in_flight(fleet: ComposeFleet, caller: PatientCaller, corpus: str) -> Iterator[list[str]]:
    """Six jobs: two at the endpoint, which holds them, one in the queue behind; one at a page that does not answer, two
    waiting for that host. All is let go when the block ends."""
    web, proxy = fleet.outside.web, fleet.outside.proxy
    proxy.open.clear()
    before = proxy.waiting
    try:
        urls = [web.add(f"/{corpus}-{number}", f"{corpus} {number}") for number in range(3)]
        ids = [caller.submit(url, corpus).json()["job_id"] for url in urls]
        for job_id in ids:
            reached = wait_until(lambda job_id=job_id: caller.job(job_id)["status"] == "embedding", STAGE_SECONDS)
            assert reached, caller.job(job_id)
        assert wait_until(lambda: proxy.waiting >= before + 2, STAGE_SECONDS), "no two workers ask the endpoint"
        held = web.add(f"/{corpus}-held", f"{corpus} held", held=True)
        more = [held, *(web.add(f"/{corpus}-{number}", f"{corpus} {number}") for number in range(3, 5))]
        ids += [caller.submit(url, corpus).json()["job_id"] for url in more]
        web.wait_until_asked(f"/{corpus}-held", STAGE_SECONDS)
        yield ids
    finally:
        web.let_go()
        proxy.open.set()


def assert_none_lost(fleet: ComposeFleet, caller: PatientCaller, corpus: str, ids: list[str]) -> None:
    """Every job completed, after few attempts; every document is there once, and each of its chunks once."""
    jobs = [caller.wait(job_id, ENDED_SECONDS) for job_id in ids]
    assert [job["status"] for job in jobs] == ["completed"] * len(ids), jobs
    attempts = [stage["attempts"] for job in jobs for stage in job["stages"]]
    assert max(attempts) <= MAX_ATTEMPTS, attempts
    rows = fleet["embedding"].sql(
        "postgres-vectors",
        "SELECT count(*), count(DISTINCT chunk_index), min(chunk_index), max(chunk_index) FROM chunks "
        f"WHERE corpus = '{corpus}' GROUP BY document_id",
    )
    counts = [[int(value) for value in row] for row in rows]
    assert len(counts) == len(ids), counts
    assert all(rows == places == last + 1 > 0 and first == 0 for rows, places, first, last in counts), counts
    said = sum(job["counts"]["chunks"] for job in jobs)
    assert said == sum(row[0] for row in counts), "the jobs count other chunks than the database has"
