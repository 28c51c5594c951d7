"""A site crawled through the gateway: every URL has an outcome, and a second run embeds nothing."""

import os
import re
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import Stage
from e2e_caller import POLL_SECONDS, Caller
from standins.sites.expected import expect
from standins.sites.graph import Kind
from standins.sites.plan import Options
from standins.sites.server import MadeUpSite, application

from ml_shared.testing.http_server import ThreadedServer

pytestmark = pytest.mark.xdist_group("fleet")

CRAWLS = "/api/orchestrator/crawls"
DOCS: Final = Path(__file__).parents[2] / "docs" / "crawling.md"
FULL: Final = bool(os.environ.get("FULL_CRAWLS"))
# also what has no end, as `make test-crawls` asks for: some hundred pages


def ended(caller: Caller, crawl_id: str, run: int, timeout_seconds: float = 240) -> dict[str, Any]:
    """The run once it has ended; a service that is away for a moment is asked again."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        answer = caller.request("GET", f"{CRAWLS}/{crawl_id}/runs/{run}")
        assert answer.status_code in (200, 502, 503, 504), answer.text
        if answer.status_code == 200 and answer.json()["ended_at"] is not None:
            view: dict[str, Any] = answer.json()
            return view
        assert time.monotonic() < deadline, answer.text
        time.sleep(POLL_SECONDS)


def outcomes(caller: Caller, crawl_id: str, run: int) -> dict[str, tuple[str, str | None]]:
    """What became of each path, and why."""
    pages = caller.request("GET", f"{CRAWLS}/{crawl_id}/runs/{run}/pages").json()["items"]
    return {page["url"].rpartition("/")[2]: (page["outcome"], page["reason"]) for page in pages}


def test_the_commands_of_the_documentation_do_what_it_says(stage: Stage, caller: Caller, tmp_path: Path) -> None:
    host, links = 7, {"": ["one", "../news"], "one": []}
    for page, leads in links.items():
        stage.web.add(f"/guide/{page}", f"avocet {page}", host)
        anchors = "".join(f'<p>See <a href="{to}">more</a>.</p>' for to in leads)
        stage.web.pages[f"/guide/{page}"] = stage.web.pages[f"/guide/{page}"].replace("<main>", f"<main>{anchors}")
    commands = "".join(re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL))
    done = subprocess.run(
        ["/bin/sh", "-eu"],
        input=commands.replace("https://www.example.com/", stage.web.url("/", host)),
        cwd=tmp_path,
        env={**os.environ, "GATEWAY": stage.fleet.gateway, "API_KEY": stage.fleet.keys["user"], "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("event: ended") == 2, done.stdout
    assert '"new":2' in done.stdout
    assert '"reason":"excluded"' in done.stdout or '"reason":"out_of_scope"' in done.stdout
    assert '"unchanged":2' in done.stdout
    assert '"timezone":"Europe/Dublin"' in done.stdout
    assert "problem" not in done.stdout
    assert caller.corpus("guide")["documents"] == 2


def test_a_site_is_crawled_and_a_second_run_of_it_embeds_nothing(stage: Stage, caller: Caller) -> None:
    name = f"crawl-{uuid.uuid4().hex[:8]}"
    links = {"begin": ["one", "two", "missing"], "one": ["begin", "copy"], "two": [], "copy": []}
    for page, leads in links.items():
        stage.web.add(f"/{name}/{page}", "lapwing" if page in ("one", "copy") else f"lapwing {page}", 5)
        anchors = "".join(f'<p>See also <a href="{to}">this page</a>.</p>' for to in leads)
        stage.web.pages[f"/{name}/{page}"] = stage.web.pages[f"/{name}/{page}"].replace("<main>", f"<main>{anchors}")
    stage.web.pages[f"/{name}/copy"] = stage.web.pages[f"/{name}/one"]
    body = {"url": stage.web.url(f"/{name}/begin", 5), "corpus_name": name, "include": [f"/{name}/*"]}
    accepted = caller.request("POST", CRAWLS, json=body)
    assert accepted.status_code == 202, accepted.text
    crawl_id = accepted.json()["crawl_id"]
    run = ended(caller, crawl_id, 1)
    told = outcomes(caller, crawl_id, 1)
    assert (told["begin"], told["two"], told["missing"]) == (("new", None), ("new", None), ("failed", "gone"))
    assert {told["one"], told["copy"]} == {("new", None), ("skipped", "duplicate_content")}
    assert (run["state"], run["outcomes"]["new"], run["outcomes"]["skipped"]) == ("completed_with_errors", 3, 1)
    assert caller.search("lapwing", name)
    embedded = passages_about(stage, "lapwing")
    assert embedded > 0
    assert caller.request("POST", f"{CRAWLS}/{crawl_id}/runs", json={}).json()["run"] == 2
    run = ended(caller, crawl_id, 2)
    assert (run["outcomes"]["unchanged"], run["outcomes"]["new"], run["saved"]["embeddings"]) == (3, 0, 3)
    assert passages_about(stage, "lapwing") == embedded
    jobs = caller.request("GET", "/api/orchestrator/jobs", params={"corpus_name": name, "limit": 200}).json()["items"]
    assert {job["status"] for job in jobs} <= {"completed", "failed"}


def passages_about(stage: Stage, words: str) -> int:
    """How many passages with these words the endpoint was sent: others may be of what another test left."""
    return sum(words in passage for passage in stage.proxy.passages)


def found(caller: Caller, crawl_id: str, run: int) -> dict[str, tuple[str, str | None]]:
    """Every page of a run with what became of it, page by page of the list."""
    told: dict[str, tuple[str, str | None]] = {}
    cursor = None
    while True:
        params = {"limit": 200, **({"cursor": cursor} if cursor else {})}
        page = caller.request("GET", f"{CRAWLS}/{crawl_id}/runs/{run}/pages", params=params).json()
        told |= {one["url"]: (one["outcome"], one["reason"]) for one in page["items"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return told


@contextmanager
def made_up(stage: Stage, options: Options) -> Iterator[MadeUpSite]:
    """Serve a site at an address of its own, on the one port that the scraper may ask."""
    site = MadeUpSite(options)
    with ThreadedServer(application(lambda _: site), host="127.77.0.99", port=stage.web.port) as server:
        site.origin = server.url
        yield site


def asked_again(site: MadeUpSite) -> list[str]:
    """Paths that were asked for twice, and not because they were busy, or a redirect led there as well."""
    redirects = [node for node in map(site.graph.node, site.counts.requests) if node and node.target]
    excused = {"/robots.txt", *(node.path for node in redirects), *(node.target for node in redirects)}
    again = [path for path, times in site.counts.requests.items() if times > 1 and path not in excused]
    return [path for path in again if (node := site.graph.node(path)) is None or node.kind is not Kind.BUSY]


def test_a_made_up_site_comes_to_what_it_says_a_right_crawl_of_it_does(stage: Stage, caller: Caller) -> None:
    """And a second run of it, of which a few pages have changed, asks for the rest by their validators."""
    areas = dict.fromkeys(("calendar", "sessions", "facets", "nested"), FULL)
    options = Options(pages=40 if FULL else 12, words=40, slow_seconds=0.1, **areas)
    corpus = f"site-{uuid.uuid4().hex[:8]}"
    seconds = 900.0 if FULL else 240.0
    with made_up(stage, options) as site:
        body = {"url": site.url(), "source": "site", "corpus_name": corpus}
        crawl_id = caller.request("POST", CRAWLS, json=body).json()["crawl_id"]
        run = ended(caller, crawl_id, 1, seconds)
        told = found(caller, crawl_id, 1)
        assert expect(site.graph).differences(told, site.origin, site.counts.requests) == [], run
        assert asked_again(site) == []
        site.counts.clear()
        changed = {site.url(path) for path in site.change(10)}
        caller.request("POST", f"{CRAWLS}/{crawl_id}/runs", json={})
        run = ended(caller, crawl_id, 2, seconds)
        told = found(caller, crawl_id, 2)
        assert {url for url, (outcome, _) in told.items() if outcome == "changed"} <= changed, told
        new = {url for url, (outcome, _) in told.items() if outcome == "new"}
        # of what has no end, other pages may be read this time
        assert {url for url in new if not site.graph.is_endless(url.removeprefix(site.origin))} == set(), run
        assert run["outcomes"]["removed"] == 0, run
        assert run["saved"]["bodies"] + run["saved"]["requests"] > 0, run
