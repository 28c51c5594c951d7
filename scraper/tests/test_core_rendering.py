"""Pages that a browser has to build: a real Chromium runs their scripts."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import WAIT_SECONDS, Surroundings, scraper_with
from redis.asyncio import Redis
from rendering import (
    SCRAPER,
    TEXT,
    WAIT_FOR_A_TURN,
    WITHIN_SECONDS,
    Served,
    application,
    require_browser,
    served,
    writes,
)
from sites import Site

from app.core.errors import EmptyContentError, RendererUnavailableError
from app.core.fetching.visiting import Visit
from app.core.logic import execute_scrape
from app.core.telemetry import RENDER_REQUESTS, RENDERS
from ml_shared.contracts.scraping import Render, ScrapeResult
from ml_shared.errors import ServiceError
from ml_shared.testing.orchestrator import FakeOrchestrator


@pytest.fixture(scope="module")
def renderer(surroundings: Surroundings) -> Iterator[Served]:
    require_browser()
    socket = Path(surroundings.environment["RENDERER_URL"].removeprefix("unix://"))
    with served(socket, "--pages-at-once", "1", *WAIT_FOR_A_TURN) as running:
        yield running


@pytest.fixture
def scrape(settings: Any, redis: Redis, renderer: Served) -> Any:
    async def scrape(url: str, render: Render = Render.AUTO, **changes: Any) -> ScrapeResult:
        async with scraper_with(settings, redis, **changes) as scraper:
            return await execute_scrape(scraper, Visit(url, render=render))

    return scrape


async def refused(scraping: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await scraping
    return caught.value


async def test_a_page_that_is_empty_without_its_script_is_rendered(scrape: Any, site: Site) -> None:
    before = (
        RENDERS.labels("success", "sync", "write")._value.get(),
        RENDER_REQUESTS.labels("fetched", "sync", "write")._value.get(),
    )
    url = application(site, "/app", writes())
    site.page("/app.html", "")
    found = await scrape(url)
    assert (found.rendered, found.title, found.status_code, found.final_url) == (True, "Harbour", 200, url)
    assert "lit for the first time" in found.content
    assert "enable JavaScript" not in found.content
    assert found.extraction.warnings == []
    assert sorted(site.paths) == ["/app", "/app.js", "/robots.txt"]
    after = (
        RENDERS.labels("success", "sync", "write")._value.get(),
        RENDER_REQUESTS.labels("fetched", "sync", "write")._value.get(),
    )
    assert (after[0] - before[0], after[1] - before[1]) == (1, 1)


async def test_a_script_that_two_pages_of_a_site_have_is_fetched_once(
    settings: Any, redis: Redis, renderer: Served, site: Site
) -> None:
    kept = RENDER_REQUESTS.labels("kept", "sync", "write")
    before = kept._value.get()
    site.page("/app.js", writes(), content_type="text/javascript", headers={"cache-control": "max-age=60"})
    frame = "<!doctype html><html lang=en><body><div id=root></div><script src='/app.js'></script></body></html>"
    async with scraper_with(settings, redis) as scraper:
        for path in ("/app", "/second"):
            url = site.page(path, frame)
            found = await execute_scrape(scraper, Visit(url, owner="ours", render=Render.AUTO))
            assert "lit for the first time" in found.content
    assert sorted(site.paths) == ["/app", "/app.js", "/robots.txt", "/second"]
    assert kept._value.get() - before == 1


async def test_never_is_the_default_and_says_that_the_page_is_empty(scrape: Any, site: Site) -> None:
    assert (await refused(scrape(application(site, "/app", writes()), Render.NEVER))).code == "empty_content"
    assert site.paths == ["/robots.txt", "/app"]


async def test_auto_leaves_a_page_with_text_as_it_is_and_always_does_not(scrape: Any, site: Site) -> None:
    url = site.page(
        "/page", f"<main><p>{TEXT * 3}</p></main><script>document.title = 'Made'</script>", headers={"etag": '"1"'}
    )
    left, made = await scrape(url), await scrape(url, Render.ALWAYS)
    assert (left.rendered, left.title, left.etag) == (False, None, '"1"')
    # the validator is the frame's, not that of what scripts put into it
    assert (made.rendered, made.title, made.etag) == (True, "Made", None)


async def test_a_page_that_is_always_rendered_is_not_asked_for_by_its_validators(
    settings: Any, redis: Redis, renderer: Served, site: Site
) -> None:
    url = application(site, "/app", writes())
    async with scraper_with(settings, redis) as scraper:
        await execute_scrape(scraper, Visit(url, validators={"If-None-Match": '"1"'}, render=Render.ALWAYS))
    assert {hit.path: hit.headers.get("if-none-match") for hit in site.hits} == dict.fromkeys(site.paths)


async def test_a_document_is_read_as_it_came_whatever_is_asked(scrape: Any, site: Site) -> None:
    url = site.page("/notes.md", f"# Notes\n\n{TEXT}", content_type="text/markdown")
    assert (await scrape(url, Render.ALWAYS)).rendered is False


async def test_what_a_page_reads_is_fetched_as_pages_are(scrape: Any, site: Site, other: Site) -> None:
    site.page(
        "/data.json", json.dumps({"text": TEXT * 2}), content_type="application/json", headers={"set-cookie": "a=b"}
    )
    other.page(
        "/more.json", json.dumps([TEXT]), content_type="application/json", headers={"access-control-allow-origin": "*"}
    )
    site.redirect("/moved.json", "/data.json")
    script = f"""
      document.cookie = 'c=1';
      const a = await (await fetch('/moved.json', {{headers: {{'Authorization': 'Bearer x'}}}})).json();
      const b = await (await fetch('{other.url("/more.json")}', {{headers: {{'x-odd': '1'}}}})).json();
      document.getElementById('root').innerHTML = `<main><p>${{a.text}}</p><p>And also: ${{b[0]}}</p></main>`;
    """
    found = await scrape(application(site, "/app", f"(async () => {{{script}}})()"))
    assert "And also: The lighthouse" in found.content
    (asked,) = [hit for hit in other.hits if hit.path == "/more.json"]
    assert asked.headers["origin"] == site.origin
    for hit in [*site.hits, *other.hits]:
        assert hit.headers["user-agent"].startswith("CloudCIXBot/")
        assert not {"cookie", "authorization", "referer", "x-odd"} & set(hit.headers)


async def test_pictures_fonts_styles_and_frames_are_not_fetched_and_nothing_is_sent(scrape: Any, site: Site) -> None:
    head = (
        "<link rel=stylesheet href=/style.css><link rel=preload as=font href=/font.woff2><link rel=prefetch href=/next>"
    )
    script = f"""
      document.body.insertAdjacentHTML('beforeend', '<img src=/a.png><iframe src=/frame></iframe><video src=/a.mp4></video>');
      navigator.sendBeacon('/beacon', 'x');
      fetch('/post', {{method: 'POST', body: 'x'}}).catch(() => 0);
      new EventSource('/events');
      const style = document.createElement('link');
      style.rel = 'stylesheet'; style.href = '/late.css';
      style.onload = () => {{ {writes()} }};
      document.head.append(style);
    """
    assert "lit for" in (await scrape(application(site, "/app", script, head))).content
    assert sorted(site.paths) == ["/app", "/app.js", "/robots.txt"]


async def test_what_a_component_draws_in_a_tree_of_its_own_is_text_where_it_is_shown(scrape: Any, site: Site) -> None:
    script = f"""
      document.getElementById('root').innerHTML = '<main><x-card><p>From outside: the ferry.</p></x-card></main>';
      document.querySelector('x-card').attachShadow({{mode: 'open'}}).innerHTML =
        `<style>p {{}}</style><h2>Timetable</h2><slot></slot><p>{TEXT * 2}</p>`;
    """
    content = (await scrape(application(site, "/app", script))).content
    assert content.index("Timetable") < content.index("From outside") < content.index("lit for")


async def test_text_that_comes_late_is_waited_for(scrape: Any, site: Site) -> None:
    assert "lit for" in (await scrape(application(site, "/app", f"setTimeout(() => {{{writes()}}}, 1200)"))).content


async def test_a_script_that_robots_txt_keeps_us_from_is_not_fetched(scrape: Any, site: Site) -> None:
    site.robots("User-agent: *\nDisallow: /app.js\n")
    error = await refused(scrape(application(site, "/app", writes())))
    assert error.code == "empty_content"
    assert site.paths == ["/robots.txt", "/app"]


async def test_a_noindex_that_a_script_sets_holds(scrape: Any, site: Site) -> None:
    script = writes() + "document.head.insertAdjacentHTML('beforeend', '<meta name=robots content=noindex>')"
    assert (await refused(scrape(application(site, "/app", script)))).code == "noindex"


async def test_hosts_keep_their_pace_and_what_does_not_come_in_time_is_told(
    scrape: Any, redis: Redis, site: Site, other: Site
) -> None:
    other.robots(f"User-agent: *\nCrawl-delay: {10 * WAIT_SECONDS:.0f}\n")
    for number in range(2):
        other.page(f"/{number}.js", f"window.told = {number}", content_type="text/javascript")
    tags = "".join(
        f"document.write('<script async src={other.url(f'/{number}.js')}><\\/script>');" for number in range(2)
    )
    url = application(site, "/app", writes() + tags)
    for seconds in WITHIN_SECONDS:
        other.hits.clear()
        await redis.flushall()
        found = await scrape(url, RENDER_TIMEOUT_SECONDS=seconds, MAX_CRAWL_DELAY_SECONDS=10 * WAIT_SECONDS)
        came = [path for path in other.paths if path.endswith(".js")]
        if found.rendered and came:
            break
    assert (found.rendered, found.extraction.warnings) == (True, ["incomplete"])
    assert len(came) == 1
    assert (await refused(scrape(application(site, "/none", tags), RENDER_TIMEOUT_SECONDS=1))).code == "render_timeout"


async def test_where_scripts_go_on_to_is_the_page_that_is_read(scrape: Any, site: Site) -> None:
    site.html("/end", TEXT * 3)
    site.redirect("/moved", "/end")
    found = await scrape(application(site, "/app", "location.href = '/moved'"))
    assert (found.final_url, found.rendered) == (site.url("/end"), True)
    site.page("/notes.md", f"# Notes\n\n{TEXT}", content_type="text/markdown")
    found = await scrape(application(site, "/docs", "location.replace('/notes.md')"))
    assert (found.final_url, found.rendered, found.content_type) == (site.url("/notes.md"), False, "text/markdown")


async def test_where_scripts_may_not_go_on_to_is_told(scrape: Any, site: Site) -> None:
    for target, code in (("http://127.0.0.3/", "blocked_address"), ("http://localhost:1/", "blocked_port")):
        assert (await refused(scrape(application(site, "/app", f"location.href = '{target}'")))).code == code
    # but a page that has its text keeps it
    assert (await scrape(application(site, "/app", writes() + "location.href = 'http://127.0.0.3/'"))).rendered


async def test_without_a_renderer_always_is_refused_at_once_and_auto_says_why_it_is_in_vain(
    settings: Any, redis: Redis, site: Site
) -> None:
    url = application(site, "/app", writes())
    async with scraper_with(settings, redis, RENDERER_URL="") as scraper:
        error = await refused(execute_scrape(scraper, Visit(url, render=Render.ALWAYS)))
        assert (error.code, error.retryable, site.paths) == ("renderer_not_configured", False, [])
        with pytest.raises(EmptyContentError, match="no renderer here"):
            await execute_scrape(scraper, Visit(url, render=Render.AUTO))


async def test_a_renderer_that_is_away_is_asked_again_later(
    settings: Any, redis: Redis, site: Site, tmp_path: Path
) -> None:
    url = application(site, "/app", writes())
    async with scraper_with(settings, redis, RENDERER_URL=f"unix://{tmp_path}/none") as scraper:
        for render in (Render.AUTO, Render.ALWAYS):
            error = await refused(execute_scrape(scraper, Visit(url, render=render)))
            assert isinstance(error, RendererUnavailableError)
            assert (error.retryable, error.retry_after_seconds) == (True, 15.0)


async def test_rendering_is_asked_for_by_request_and_by_task(
    client: httpx.AsyncClient, renderer: Served, scrape_task: Any, orchestrator: FakeOrchestrator, site: Site
) -> None:
    url = application(site, "/app", writes())
    found = (await client.post("/scrape", json={"url": url, "render": "auto"})).json()
    odd = await client.post("/scrape", json={"url": url, "render": "sometimes"})
    assert found["rendered"] is True
    assert (odd.status_code, [each["field"] for each in odd.json()["errors"]]) == (422, ["body.render"])
    scrape_task.apply(kwargs={"url": url, "job_id": "job-1", "attempt_id": "attempt-1", "render": "always"})
    (callback,) = orchestrator.callbacks_for("job-1")
    assert callback.stats["rendered"] is True


def test_a_process_that_renders_nothing_keeps_nothing_for_it(surroundings: Surroundings) -> None:
    script = "import sys, app.core.logic; print([name for name in sys.modules if 'rendering.' in name])"
    environment = {**os.environ, **surroundings.environment}
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=SCRAPER, env=environment, capture_output=True, text=True, check=True
    )
    kept = ("bounds", "markup", "renderer")
    assert sorted(ast.literal_eval(found.stdout)) == [f"app.core.rendering.{name}" for name in kept]


async def test_a_pages_and_its_scripts_several_robots_headers_are_read_one_by_one(
    settings: Any, redis: Redis, renderer: Served, site: Site
) -> None:
    robots = {"x-robots-tag": "googlebot: nofollow\nnoindex", "cache-control": "max-age=60"}
    site.page("/app.js", writes(), content_type="text/javascript", headers=robots)
    frame = "<!doctype html><html lang=en><body><div id=root></div><script src='/app.js'></script></body></html>"
    async with scraper_with(settings, redis) as scraper:
        for path in ("/app", "/second"):  # the second time the script is what was kept
            found = await execute_scrape(scraper, Visit(site.page(path, frame), owner="ours", render=Render.AUTO))
            assert (found.rendered, found.nofollow) == (True, False)
            assert "lit for the first time" in found.content
        assert site.paths.count("/app.js") == 1
        asks = site.page("/asks", frame, headers=robots)
        for render in (Render.AUTO, Render.ALWAYS):
            assert (await refused(execute_scrape(scraper, Visit(asks, render=render)))).code == "noindex"
