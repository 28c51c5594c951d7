"""More hostile pages, behind `make -C local-dev test-rendering`: together they take a minute of a core."""

import asyncio
from typing import Any

from conftest import until
from rendering import Served, application, writes
from sites import Site
from test_core_rendering_hostile import _the_next_page_is_fine, failure, renderer, scrape, what_is_there

__all__ = ["_the_next_page_is_fine", "renderer", "scrape"]  # fixtures


async def test_a_heap_without_end_ends_the_page_alone(scrape: Any, site: Site) -> None:
    hoard = "const held = []; while (true) held.push({text: 'x'.repeat(1000) + held.length});"
    assert await failure(scrape(application(site, "/bomb", hoard))) == "render_failed"


async def test_dialogs_without_end_are_answered_by_nobody(scrape: Any, site: Site) -> None:
    script = "while (true) { alert(1); confirm(2); prompt(3); print(); }"
    found = await what_is_there(scrape, application(site, "/dialogs", writes() + script))
    assert "lit for" in found.content


async def test_bytes_without_end_are_taken_up_to_a_bound(scrape: Any, site: Site) -> None:
    site.page("/large", b"x" * 300_000, content_type="text/plain")
    script = writes() + "for (let n = 0; n < 50; n++) fetch('/large').catch(() => 0);"
    found = await scrape(application(site, "/flood", script), RENDER_MAX_BYTES=1_000_000)
    assert ("lit for" in found.content, found.extraction.warnings) == (True, ["incomplete"])
    assert len([path for path in site.paths if path == "/large"]) <= 6


async def test_a_page_that_grows_beyond_what_a_page_may_be_is_too_large(scrape: Any, site: Site) -> None:
    script = writes() + "document.body.append('word '.repeat(100_000))"
    assert await failure(scrape(application(site, "/grows", script), MAX_PAGE_BYTES=200_000)) == "too_large"


async def test_windows_and_workers_do_not_outlive_their_page(scrape: Any, renderer: Served, site: Site) -> None:
    script = """
      for (let n = 0; n < 4; n++) {
        open('about:blank', `w${n}`, 'width=100,height=100');
        new Worker(URL.createObjectURL(new Blob(['while (true) {}'])));
      }
    """
    assert "lit for" in (await scrape(application(site, "/many", writes() + script))).content
    await scrape(application(site, "/next", writes()))
    await until(lambda: len(renderer.of_kind("renderer")) <= 2)


async def test_a_browser_that_dies_takes_its_page_alone(scrape: Any, renderer: Served, site: Site) -> None:
    scraping = asyncio.create_task(scrape(application(site, "/loop", "while (true) {}")))
    await until(lambda: "/loop.js" in site.paths and bool(renderer.browsers))
    for browser in renderer.browsers:
        browser.kill()
    assert await failure(scraping) == "render_failed"
