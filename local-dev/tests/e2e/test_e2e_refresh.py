"""A corpus that is looked at again: what has not changed costs a conditional request, and nothing behind it."""

import re
import uuid
from collections import Counter
from typing import Any

import httpx
import pytest
from conftest import Stage
from e2e_caller import Caller
from test_e2e_steering import JOBS, ended

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

PAGES = 60
TAGGED = 50
# the others' site gives nothing to recognise a page's state by: they are fetched, and known by their text
CHANGED = (3, 20, 55)
DELETED = 7
HOSTS = 20
PATIENCE_SECONDS = 240
COUNTED_SECONDS = 60
_CHUNKED = re.compile(r'^ml_http_requests_total\{(?=[^}]*route="/chunk")[^}]*\} (\S+)$', re.MULTILINE)


class Site:
    """Pages of one corpus, and what was asked of each service since a look began."""

    def __init__(self, stage: Stage, caller: Caller) -> None:
        self.stage, self.caller = stage, caller
        self.corpus = f"refresh-{uuid.uuid4().hex[:8]}"
        self.paths = [f"/{self.corpus}/{number}" for number in range(PAGES)]
        self.urls = [self.write(number, f"curlew{number}") for number in range(PAGES)]
        stage.web.tagged.update(self.paths[:TAGGED])
        self.chunked_before = self.chunked()

    def write(self, number: int, words: str) -> str:
        """Put up a page of a chunk: there are many of them, and a real model reads each."""
        told = " ".join(f"The {words} is counted at the {place}." for place in ("estuary", "marsh", "shore", "lagoon"))
        page = f"<html lang=en><head><title>{words}</title></head><body><main><p>{told}</p></main></body></html>"
        self.stage.web.pages[self.paths[number]] = page
        return self.stage.web.url(self.paths[number], host=1 + number % HOSTS)

    def chunked(self) -> float:
        """Return how often chunking was asked for chunks."""
        metrics = httpx.get(f"{self.stage.fleet.addresses.url('chunking')}/metrics", timeout=60).text
        return sum(float(value) for value in _CHUNKED.findall(metrics))

    def look(self, *, cut: int, **asked: Any) -> dict[str, Any]:
        """Have all pages indexed, and return what that took; `cut` of them are to be chunked."""
        answered, passages = len(self.stage.web.answered), len(self.stage.proxy.passages)
        body = {"urls": self.urls, "corpus_name": self.corpus, **asked}
        answer = self.caller.request("POST", f"{JOBS}/batch", json=body)
        assert answer.status_code == 202, answer.text
        batch = ended(self.caller, answer.json()["batch_id"], timeout_seconds=PATIENCE_SECONDS)
        assert batch["counts"]["completed"] == PAGES, batch
        page = self.caller.request("GET", f"{JOBS}?batch_id={batch['batch_id']}&limit=100").json()
        jobs = {job["url"]: job for job in page["items"]}
        # a request is counted after its answer was sent
        wait_until(lambda: self.chunked() >= self.chunked_before + cut, COUNTED_SECONDS, 0.1)
        chunked_before, self.chunked_before = self.chunked_before, self.chunked()
        asked_of_site = Counter(answer for answer in self.stage.web.answered[answered:] if answer[0] in self.paths)
        return {
            "jobs": [jobs[url] for url in self.urls],
            "outcomes": Counter(job["outcome"] for job in jobs.values()),
            "site": asked_of_site,
            "chunked": self.chunked_before - chunked_before,
            "passages": [text for text in self.stage.proxy.passages[passages:] if self.is_ours(text)],
        }

    @staticmethod
    def is_ours(text: str) -> bool:
        """Whether a passage is of this test: others may be of what another one left."""
        return "curlew" in text or "whimbrel" in text

    def document(self, number: int) -> str:
        rows = self.stage.vectors_sql(
            "SELECT id FROM documents WHERE corpus = $1 AND url = $2", self.corpus, self.urls[number]
        )
        return str(rows[0]["id"])


def test_a_second_look_costs_what_has_changed_and_what_was_deleted_comes_back(stage: Stage, caller: Caller) -> None:
    site = Site(stage, caller)
    first = site.look(cut=PAGES)
    assert first["outcomes"] == {"new": PAGES}
    assert (first["chunked"], set(first["site"].values())) == (PAGES, {1})
    whole = caller.corpus(site.corpus)

    for number in CHANGED:
        site.write(number, f"whimbrel{number}")
    path = f"/api/embedding/corpora/{site.corpus}/documents/{site.document(DELETED)}"
    assert caller.request("DELETE", path).status_code in (200, 204)
    second = site.look(cut=len(CHANGED) + 1)
    assert second["outcomes"] == {"unchanged": PAGES - len(CHANGED) - 1, "changed": len(CHANGED), "new": 1}
    assert [second["jobs"][number]["outcome"] for number in (*CHANGED, DELETED)] == [*["changed"] * len(CHANGED), "new"]
    # every page that has a tag is asked for with it; the deleted one's is as it was, and so it is fetched once more
    expected = Counter(
        (path, 200 if number in CHANGED or number >= TAGGED else 304) for number, path in enumerate(site.paths)
    )
    expected[site.paths[DELETED], 200] += 1
    assert second["site"] == expected
    assert second["chunked"] == len(CHANGED) + 1
    assert second["passages"], "what has changed is embedded"
    assert all("whimbrel" in text or f"curlew{DELETED}" in text for text in second["passages"])
    saved = second["jobs"][0]["counts"]
    assert saved["saved_bytes"] == first["jobs"][0]["counts"]["bytes"] > 0 == saved["bytes"]
    assert saved["saved_chunks"] == saved["chunks"] == first["jobs"][0]["counts"]["chunks"]
    assert second["jobs"][TAGGED]["counts"]["saved_bytes"] is None
    assert caller.corpus(site.corpus)["documents"] == whole["documents"] == PAGES

    answered = len(stage.web.answered)
    other = {"max_tokens": 24, "overlap_tokens": 0}
    job = caller.wait(caller.submit(site.urls[0], site.corpus, chunking=other).json()["job_id"])
    assert job["outcome"] == "changed", "it is cut otherwise"
    assert (site.paths[0], 200) in stage.web.answered[answered:]
    assert job["counts"]["chunks"] > saved["chunks"]


def test_force_fetches_and_cuts_what_has_not_changed(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/forced", "godwit", 9)
    stage.web.tagged.add("/forced")
    caller.index(url, "forced")
    answered, passages = len(stage.web.answered), len(stage.proxy.passages)
    job = caller.wait(caller.submit(url, "forced", force=True).json()["job_id"])
    assert [answer for answer in stage.web.answered[answered:] if answer[0] == "/forced"] == [("/forced", 200)]
    assert [view["stage"] for view in job["stages"]] == ["scraping", "chunking", "embedding"]
    assert job["outcome"] == "unchanged"
    assert [text for text in stage.proxy.passages[passages:] if "godwit" in text] == []
