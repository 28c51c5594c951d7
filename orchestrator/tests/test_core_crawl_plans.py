"""What runs read of their tables grows with what there is to do, in the very first run of an empty database too."""

from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import pytest
from conftest import Core
from crawl_driver import OWNER, Driver, Page, Site

from app.core.crawls.passing import Passed
from ml_shared.contracts.crawls import RunState
from ml_shared.names import Stage

LISTED = 4_000
DOCUMENTS = 1_500
CONNECTIONS = 8
# of the core's pool
_READ = """
SELECT coalesce(sum(idx_tup_read), 0) + (SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE relname = ANY($1))
FROM pg_stat_user_indexes WHERE relname = ANY($1)
"""
_END_ALL = """
WITH ended AS (
    UPDATE run_pages SET state = 'ended', outcome = 'new', job_id = NULL, ended_at = now() WHERE crawl_id = $1 RETURNING *)
INSERT INTO crawl_documents (crawl_id, url_hash, url, last_run) SELECT crawl_id, url_hash, url, 1 FROM ended
"""


@pytest.fixture
def databases(own_databases: tuple[str, str]) -> tuple[str, str]:
    """Whose server has never seen a row."""
    return own_databases


async def rows_read(core: Core) -> int:
    """What all connections have read of a run's tables so far: each is asked to tell it."""
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(core.pool.acquire()) for _ in range(CONNECTIONS)]
        for connection in connections:
            await connection.execute("SELECT pg_stat_force_next_flush()")
            await connection.execute("SELECT 1")
        read: Any = await connections[0].fetchval(
            _READ, ["run_pages", "crawl_documents", "run_contents", "crawl_links"]
        )
    return int(read)


def listing(pages: int) -> Site:
    links = [{"url": f"http://site.test/{number}"} for number in range(pages)]
    return Site({"http://site.test/sitemap.xml": Page(lists={"links": links, "sitemaps": []})})


async def test_a_long_sitemap_is_compared_by_keys_with_what_is_there(
    core: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.core.crawls.taking.LISTED_AT_ONCE", LISTED // 10)
    driver = Driver(core, listing(LISTED))
    crawl_id = await driver.submit(source="sitemap", url="http://site.test/sitemap.xml", max_pages=10_000)
    (job,) = await core.claim(Stage.SCRAPING)
    await driver.scraped(job)
    run = await driver.crawling.run(OWNER, crawl_id, 1)
    assert run.waiting == LISTED
    assert await rows_read(core) < 10 * LISTED


async def test_a_pass_that_ends_a_run_reads_each_of_its_pages_a_few_times(core: Core) -> None:
    driver = Driver(core, listing(DOCUMENTS))
    crawl_id = await driver.submit(source="sitemap", url="http://site.test/sitemap.xml", max_pages=10_000)
    (job,) = await core.claim(Stage.SCRAPING)
    await driver.scraped(job)
    await core.pool.execute(_END_ALL, UUID(crawl_id))
    before = await rows_read(core)
    passed = Passed()
    await driver.crawling._passes.of_run(UUID(crawl_id), 1, passed)
    assert passed.ended == {RunState.COMPLETED: 1}
    assert await rows_read(core) - before < 20 * DOCUMENTS
