"""The pages of a run, as their owner sees them."""

from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import asyncpg

from app.core.crawls.runs import check_mine
from app.core.errors import RunNotFoundError
from app.core.jobs.filters import INDEXED_URL_CHARACTERS, after_prefix
from ml_shared.contracts.crawls import PagesPage, PageView, RunOutcome
from ml_shared.contracts.cursors import Cursors
from ml_shared.contracts.values import BigCount

_CURSORS: Final[Cursors[int]] = Cursors("pages", BigCount)
_IS_THERE: Final = "SELECT 1 FROM runs WHERE crawl_id = $1 AND run = $2"
_INDEXED_URL: Final = f'left(page.url, {INDEXED_URL_CHARACTERS}) COLLATE "C"'
_COLUMNS: Final = """
SELECT page.*, (SELECT url FROM run_pages by WHERE by.crawl_id = page.crawl_id AND by.url_hash = page.found_on
    AND by.run = page.run) AS found_on_url
FROM run_pages page WHERE page.crawl_id = $1 AND page.run = $2 AND page.kind = 'page'
"""


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Which pages of a run to list; `None` means any."""

    outcome: RunOutcome | None = None
    reason: str | None = None
    url_prefix: str | None = None

    def given(self, crawl_id: UUID, run: int) -> dict[str, Any]:
        """Return what is asked for, by name."""
        return {
            "crawl_id": crawl_id,
            "run": run,
            "outcome": self.outcome,
            "reason": self.reason,
            "url_prefix": self.url_prefix,
        }


async def find_page(
    pool: asyncpg.Pool, owner: str, crawl_id: UUID, run: int, wanted: PageFilter, *, limit: int, cursor: str | None
) -> PagesPage:
    """Return a page of a run's pages, in the order in which they were met.

    Raises
    ------
    CrawlNotFoundError, RunNotFoundError
        If there is no such run, or it is another owner's.
    InvalidCursorError
        If the cursor is not one that a page before, with these filters, gave.
    """
    await check_mine(pool, owner, crawl_id)
    if await pool.fetchval(_IS_THERE, crawl_id, run) is None:
        raise RunNotFoundError
    given = wanted.given(crawl_id, run)
    last = _CURSORS.read(cursor, given)
    statement, arguments = page_statement(crawl_id, run, wanted, last, limit + 1)
    rows = await pool.fetch(statement, *arguments)
    shown = rows[:limit]
    more = _CURSORS.write(shown[-1]["n"], given) if len(rows) > limit else None
    return PagesPage(items=[_view(row) for row in shown], next_cursor=more)


def page_statement(crawl_id: UUID, run: int, wanted: PageFilter, last: int | None, limit: int) -> tuple[str, list[Any]]:
    """Return the statement that reads a page, and its arguments; each set of filters has a text of its own."""
    arguments: list[Any] = [crawl_id, run, limit]
    texts = [_COLUMNS]

    def add(text: str, value: Any) -> None:
        arguments.append(value)
        texts.append(text.format(f"${len(arguments)}"))

    if wanted.outcome is not None:
        add("AND page.outcome = {}", wanted.outcome)
    if wanted.reason is not None:
        add("AND page.reason = {} AND page.outcome IS NOT NULL", wanted.reason)
    if wanted.url_prefix is not None:
        begun = wanted.url_prefix[:INDEXED_URL_CHARACTERS]
        add(f"AND {_INDEXED_URL} >= {{}}", begun)
        if (after := after_prefix(begun)) is not None:
            add(f"AND {_INDEXED_URL} < {{}}", after)
        add("AND starts_with(page.url, {})", wanted.url_prefix)
    if last is not None:
        add("AND page.n > {}", last)
    return " ".join([*texts, "ORDER BY page.n LIMIT $3"]), arguments


def _view(row: Any) -> PageView:
    return PageView(
        url=row["url"],
        state=row["state"],
        outcome=RunOutcome(row["outcome"]) if row["outcome"] else None,
        reason=row["reason"],
        detail=row["detail"],
        depth=row["depth"],
        found_on=row["found_on_url"],
        job_id=str(row["job_id"]) if row["job_id"] else None,
        ended_at=row["ended_at"],
    )
