"""Pages whose scripts want more than they may have: each is bounded, and the next page is fine.

Those that take long, or differ little from one that is here, are in `prove_rendering.py`.
"""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Surroundings, scraper_with, until
from redis.asyncio import Redis
from rendering import WAIT_FOR_A_TURN, WITHIN_SECONDS, Served, application, require_browser, served, writes
from sites import Site

from app.core.errors import RenderTimeoutError
from app.core.fetching.visiting import Visit
from app.core.logic import execute_scrape
from ml_shared.contracts.scraping import Render, ScrapeResult
from ml_shared.errors import ServiceError

EACH = 3
# pages of a browser before it is ended
PAGES = int(os.environ.get("RENDERED_PAGES", EACH + 1))
# `make test-rendering` has a hundred


@pytest.fixture(scope="module")
def renderer(surroundings: Surroundings) -> Iterator[Served]:
    require_browser()
    path = Path(surroundings.environment["RENDERER_URL"].removeprefix("unix://"))
    with served(path, "--pages-at-once", "1", "--pages-each", str(EACH), *WAIT_FOR_A_TURN) as running:
        yield running


@pytest.fixture
def scrape(settings: Any, redis: Redis, renderer: Served) -> Any:
    async def scrape(url: str, render: Render = Render.ALWAYS, **changes: Any) -> ScrapeResult:
        async with scraper_with(settings, redis, **changes) as scraper:
            return await execute_scrape(scraper, Visit(url, render=render))

    return scrape


@pytest.fixture(autouse=True)
async def _the_next_page_is_fine(scrape: Any, renderer: Served, site: Site) -> Any:
    yield
    site.reset()
    assert "lit for" in (await scrape(application(site, "/next", writes()))).content
    await until(lambda: len(renderer.browsers) <= 1)


class Trap:
    """An address that nothing may come to, by TCP or by UDP."""

    def __init__(self) -> None:
        self.came: list[str] = []
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self._tcp.getsockname()[1]
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", self.port))
        self._threads = [threading.Thread(target=wait) for wait in (self._wait_for_tcp, self._wait_for_udp)]
        self._ending = False

    def __enter__(self) -> "Trap":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._udp.sendto(b"", ("127.0.0.1", self.port))
        for thread in self._threads:
            thread.join(60)
        self._tcp.close()
        self._udp.close()

    def _wait_for_tcp(self) -> None:
        while True:
            self._tcp.accept()[0].close()
            if self._ending:
                return
            self.came.append("tcp")

    def _wait_for_udp(self) -> None:
        while True:
            self._udp.recvfrom(2_000)
            if self._ending:
                return
            self.came.append("udp")


async def what_is_there(scrape: Any, url: str) -> ScrapeResult:
    """Return what a page that never ends has come to when its time is up: the least time in which it has come to something."""
    for seconds in WITHIN_SECONDS:
        try:
            found: ScrapeResult = await scrape(url, RENDER_TIMEOUT_SECONDS=seconds)
        except RenderTimeoutError:
            if seconds == WITHIN_SECONDS[-1]:
                raise
        else:
            break
    return found


async def failure(scraping: Any) -> str:
    with pytest.raises(ServiceError) as caught:
        await scraping
    return caught.value.code


async def test_a_script_without_end_leaves_what_was_there_before(scrape: Any, site: Site) -> None:
    found = await what_is_there(scrape, application(site, "/loop", writes() + "while (true) {}"))
    assert ("lit for" in found.content, found.extraction.warnings) == (True, ["incomplete"])
    nothing = application(site, "/nothing", "while (true) {}")
    assert await failure(scrape(nothing, RENDER_TIMEOUT_SECONDS=1)) == "render_timeout"


async def test_redirects_by_script_end_like_others(scrape: Any, site: Site) -> None:
    for number in range(4):
        application(site, f"/{number}", f"location.href = '/{number + 1}'")
    assert await failure(scrape(site.url("/0"), MAX_REDIRECTS=2)) == "too_many_redirects"
    assert len([path for path in site.paths if not path.endswith((".js", ".txt"))]) == 3
    again = application(site, "/again", "location.reload()")
    assert await failure(scrape(again, MAX_REDIRECTS=1)) == "too_many_redirects"


async def test_memory_without_end_ends_the_page_alone(scrape: Any, site: Site) -> None:
    hoard = "const held = []; while (true) held.push(new Uint8Array(16 << 20).fill(7));"
    assert await failure(scrape(application(site, "/bomb", hoard))) == "render_failed"


async def test_requests_without_end_are_answered_up_to_a_bound(scrape: Any, site: Site) -> None:
    for number in range(20):
        site.page(f"/{number}.json", "1", content_type="application/json")
    script = """
      const ask = async (n) => {
        if (n < 10000) { await Promise.allSettled([...Array(50).keys()].map(m => fetch(`/${n + m}.json`))); ask(n + 50); }
      };
      ask(0);
    """
    url = application(site, "/flood", writes() + script)
    found = await scrape(url, RENDER_MAX_REQUESTS=10)
    assert ("lit for" in found.content, found.extraction.warnings) == (True, ["incomplete"])
    assert len([path for path in site.paths if path.endswith(".json")]) <= 10


async def test_nothing_leaves_the_browser_but_what_is_fetched_for_it(scrape: Any, site: Site) -> None:
    with Trap() as trap:
        at = f"127.0.0.1:{trap.port}"
        script = f"""
          const quiet = (work) => {{ try {{ const p = work(); if (p && p.catch) p.catch(() => 0); }} catch (e) {{}} }};
          const add = (html) => document.body.insertAdjacentHTML('beforeend', html);
          for (const host of ['{at}', 'localhost:{trap.port}', '[::1]:{trap.port}', '169.254.169.254', 'redis-scrape:6379']) {{
            quiet(() => fetch(`http://${{host}}/latest/meta-data/`, {{mode: 'no-cors'}}));
            quiet(() => new WebSocket(`ws://${{host}}/`));
            quiet(() => new WebTransport(`https://${{host}}/`));
            quiet(() => navigator.sendBeacon(`http://${{host}}/`, 'x'));
            quiet(() => window.open(`http://${{host}}/`));
            quiet(() => new EventSource(`http://${{host}}/`));
            add(`<link rel=preconnect href=http://${{host}}><link rel=dns-prefetch href=//${{host}}>`);
            add(`<link rel=prefetch href=http://${{host}}><iframe src=http://${{host}}></iframe><img src=http://${{host}}/a.png>`);
            add(`<object data=http://${{host}}/x></object><embed src=http://${{host}}/x><video src=http://${{host}}/v>`);
            add(`<script type=speculationrules>{{"prerender": [{{"urls": ["http://${{host}}/"]}}]}}<\\/script>`);
            add(`<a href=http://${{host}}/ ping=http://${{host}}/ id=out target=_blank>out</a><a id=down download href=http://${{host}}/f>f</a>`);
            document.getElementById('out').click(); document.getElementById('down').click();
            quiet(() => new Worker(URL.createObjectURL(new Blob([
              `fetch('http://${{host}}/worker').catch(() => 0); new WebSocket('ws://${{host}}/worker'); importScripts('http://${{host}}/w.js')`]))));
            quiet(() => new SharedWorker(URL.createObjectURL(new Blob([`fetch('http://${{host}}/shared')`]))));
          }}
          quiet(() => navigator.serviceWorker.register('/worker.js'));
          quiet(async () => {{
            const peer = new RTCPeerConnection({{iceServers: [{{urls: ['stun:{at}', 'stun:{at}?transport=tcp']}},
              {{urls: ['turn:{at}?transport=udp', 'turn:{at}?transport=tcp'], username: 'a', credential: 'b'}}]}});
            peer.createDataChannel('x');
            await peer.setLocalDescription();
          }});
          quiet(() => fetch('file:///etc/passwd').then(r => r.text()).then(t => add(t)));
          add('<iframe src=file:///etc/passwd></iframe><a id=blob download=f>f</a>');
          const blob = document.getElementById('blob'); blob.href = URL.createObjectURL(new Blob(['x'])); blob.click();
          {writes()}
        """
        found = await what_is_there(scrape, application(site, "/out", script))
        await asyncio.sleep(0.5)  # what was on its way by then has come
        assert trap.came == []
    assert "lit for" in found.content
    assert "root:" not in found.content
    assert sorted(set(site.paths)) == ["/out", "/out.js", "/robots.txt"]


async def test_a_page_that_its_reader_leaves_is_ended(scrape: Any, renderer: Served, site: Site) -> None:
    scraping = asyncio.create_task(scrape(application(site, "/loop", "while (true) {}")))
    await until(lambda: "/loop.js" in site.paths and bool(renderer.of_kind("renderer")))
    busy = renderer.of_kind("renderer")
    scraping.cancel()
    await asyncio.gather(scraping, return_exceptions=True)
    await until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in busy))


async def test_browsers_are_used_a_few_times_and_none_is_left(scrape: Any, renderer: Served, site: Site) -> None:
    url = application(site, "/app", writes())
    first = {browser.pid for browser in renderer.browsers}
    await scrape(url)
    once = len(renderer.processes)
    for _ in range(PAGES - 1):
        await scrape(url)
    assert first.isdisjoint(browser.pid for browser in renderer.browsers)
    # of all these pages no more is left than of one
    await until(lambda: len(renderer.browsers) <= 1 and len(renderer.processes) <= once)
    assert renderer.files <= 30
