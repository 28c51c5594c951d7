"""A refresh of a thousand pages, of which two in a hundred have changed, costs what these cost: `make test-crawls` runs it.

It prints what it came to, as README.md has it.
"""

import uuid
from typing import Any

import pytest
from conftest import Stage
from e2e_caller import Caller
from standins.sites.plan import Options
from test_e2e_crawls import CRAWLS, ended, made_up

pytestmark = pytest.mark.xdist_group("fleet")

PAGES, PERCENT = 1_000, 2.0
PATIENCE_SECONDS = 3_600.0
_CHUNKED = """
SELECT count(*) FROM jobs JOIN job_stages ON job_stages.owner = jobs.owner AND job_stages.job_id = jobs.id
WHERE crawl_id = $1::uuid AND run = $2 AND job_stages.stage = 'chunking'
"""


def texts_sent(stage: Stage) -> int:
    """How many texts the model was sent so far."""
    import httpx

    answer = httpx.get(f"{stage.fleet.addresses.url('endpoint')}/stats", timeout=10)
    return int(answer.json()["texts"])


def looked_again(stage: Stage, caller: Caller, crawl_id: str, run: int) -> dict[str, Any]:
    """Run a crawl once more; the run, with how often text was cut and how many texts the model was sent."""
    sent = texts_sent(stage)
    answer = caller.request("POST", f"{CRAWLS}/{crawl_id}/runs", json={})
    assert answer.json()["run"] == run, answer.text
    told = ended(caller, crawl_id, run, PATIENCE_SECONDS)
    told["chunked"] = stage.jobs_sql(_CHUNKED, crawl_id, run)[0][0]
    told["sent"] = texts_sent(stage) - sent
    took = (f"{name} {told[name]}" for name in ("outcomes", "saved", "bytes", "chunked", "sent"))
    print(f"\nrun {run} of {PAGES} pages: {'; '.join(took)}")
    return told


def test_a_refresh_costs_what_has_changed(stage: Stage, caller: Caller) -> None:
    corpus = f"refresh-{uuid.uuid4().hex[:8]}"
    options = Options.plain(pages=PAGES, words=60, branching=20, sitemap=False)
    with made_up(stage, options) as site:
        body = {"url": site.url(), "corpus_name": corpus, "max_pages": PAGES + 10, "max_depth": 20}
        crawl_id = caller.request("POST", CRAWLS, json=body).json()["crawl_id"]
        sent = texts_sent(stage)
        first = ended(caller, crawl_id, 1, PATIENCE_SECONDS)
        assert (first["outcomes"]["new"], first["pages"]) == (PAGES, PAGES)
        sent_first = texts_sent(stage) - sent
        # two in a hundred change, one document is deleted by hand, and one would be made with another prefix now
        changed = {site.url(path) for path in site.change(PERCENT)}
        others = [url for url in map(site.url, site.counts.requests) if url not in changed and "robots" not in url]
        deleted, remade = others[1], others[2]
        documents = f"/api/embedding/corpora/{corpus}/documents"
        found = stage.vectors_sql("SELECT id FROM documents WHERE corpus = $1 AND url = $2", corpus, deleted)
        assert caller.request("DELETE", f"{documents}/{found[0]['id']}").is_success
        stage.vectors_sql(
            "UPDATE documents SET passage_prefix = 'other: ' WHERE corpus = $1 AND url = $2", corpus, remade
        )
        site.counts.clear()
        again = looked_again(stage, caller, crawl_id, 2)
        touched = PAGES - len(changed)
        outcomes = again["outcomes"]
        assert len(changed) == PAGES * PERCENT / 100
        # what was deleted is new; what would be made with another prefix is made anew, and comes to the same vectors
        assert (outcomes["changed"], outcomes["new"]) == (len(changed), 1), outcomes
        assert (outcomes["failed"], outcomes["removed"]) == (0, 0)
        assert again["chunked"] == len(changed) + 2, "nothing else was cut"
        assert again["sent"] <= sent_first * PERCENT / 100 * 1.5 + 2, "nothing else was embedded"
        asked = {path: times for path, times in site.counts.requests.items() if path != "/robots.txt"}
        assert sum(site.counts.conditional.values()) == PAGES, "each page was asked for by its validator"
        assert sum(site.counts.not_modified.values()) == touched
        assert sum(asked.values()) == PAGES + 2, "only what had to be made anew was asked for once more"
        assert again["saved"]["bodies"] == touched - 2
        assert again["saved"]["chunks"] > 0
        assert caller.corpus(corpus)["documents"] == PAGES
        # the next one finds everything as it is; and other settings of chunking know nothing of it
        site.counts.clear()
        calm = looked_again(stage, caller, crawl_id, 3)
        assert (calm["outcomes"]["unchanged"], calm["chunked"], calm["sent"]) == (PAGES, 0, 0)
        few = {
            "source": "list",
            "urls": sorted(others)[:20],
            "corpus_name": corpus,
            "chunking": {"max_tokens": 96, "overlap_tokens": 8},
        }
        otherwise = caller.request("POST", CRAWLS, json=few).json()["crawl_id"]
        run = ended(caller, otherwise, 1, PATIENCE_SECONDS)
        assert stage.jobs_sql(_CHUNKED, otherwise, 1)[0][0] == 20, run
        assert run["saved"]["bodies"] == 0
