"""A site crawled through the gateway: every URL has an outcome, and a second run embeds nothing."""

import time
import uuid
from typing import Any

import pytest
from conftest import Stage
from e2e_caller import POLL_SECONDS, Caller

pytestmark = pytest.mark.xdist_group("fleet")

CRAWLS = "/api/orchestrator/crawls"


def ended(caller: Caller, crawl_id: str, run: int, timeout_seconds: float = 120) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_seconds
    while True:
        view: dict[str, Any] = caller.request("GET", f"{CRAWLS}/{crawl_id}/runs/{run}").json()
        if view["ended_at"] is not None:
            return view
        assert time.monotonic() < deadline, view
        time.sleep(POLL_SECONDS)


def outcomes(caller: Caller, crawl_id: str, run: int) -> dict[str, tuple[str, str | None]]:
    """What became of each path, and why."""
    pages = caller.request("GET", f"{CRAWLS}/{crawl_id}/runs/{run}/pages").json()["items"]
    return {page["url"].rpartition("/")[2]: (page["outcome"], page["reason"]) for page in pages}


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
    embedded = len(stage.proxy.passages)
    assert caller.request("POST", f"{CRAWLS}/{crawl_id}/runs", json={}).json()["run"] == 2
    run = ended(caller, crawl_id, 2)
    assert (run["outcomes"]["unchanged"], run["outcomes"]["new"], run["saved"]["embeddings"]) == (3, 0, 3)
    assert len(stage.proxy.passages) == embedded
    jobs = caller.request("GET", "/api/orchestrator/jobs", params={"corpus_name": name, "limit": 200}).json()["items"]
    assert {job["status"] for job in jobs} <= {"completed", "failed"}
