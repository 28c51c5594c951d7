"""The same site, crawled calmly and among crashes: the same outcomes and documents, and nothing is asked for twice.

Some minutes long, so it is no part of `make test`: `make test-crawls` runs it.
"""

import contextlib
import threading
import uuid

import psutil
import pytest
from conftest import Stage
from e2e_caller import Caller
from standins.sites.expected import expect
from standins.sites.plan import Options
from test_e2e_crawls import CRAWLS, asked_again, ended, found, made_up

pytestmark = pytest.mark.xdist_group("fleet")

PATIENCE_SECONDS = 900.0
REST_SECONDS = 1.0
# between two harms: something has to be under way again
KILLED = (
    *("scraper-worker", "embedding-worker", "orchestrator-worker", "orchestrator-beat"),
    *("orchestrator", "scraper", "chunking", "embedding", "postgres"),
)
WIPED = ("redis-orch", "redis-scrape", "redis-embed")
OPTIONS = Options(pages=60, words=40, slow_seconds=0.1, calendar=False, sessions=False, facets=False, nested=False)


def harm(stage: Stage, over: threading.Event) -> int:
    """Kill each process and wipe each Redis once, one after the other, while the crawl goes on; return how many that were."""
    harms = 0
    for name in (*KILLED, *WIPED):
        if over.wait(REST_SECONDS):
            break
        if name in WIPED:
            stage.flush(name)
        else:
            with contextlib.suppress(psutil.NoSuchProcess):
                stage.fleet.kill(name)
            stage.fleet.wait_ready(name)
        harms += 1
    return harms


def test_a_crawl_among_crashes_comes_to_what_a_calm_one_does(stage: Stage, caller: Caller) -> None:
    harms: list[int] = []
    for calm in (True, False):
        corpus = f"prove-{uuid.uuid4().hex[:8]}"
        with made_up(stage, OPTIONS) as site:
            body = {"url": site.url(), "source": "site", "corpus_name": corpus}
            crawl_id = caller.request("POST", CRAWLS, json=body).json()["crawl_id"]
            over = threading.Event()
            harming = threading.Thread(target=lambda: harms.append(harm(stage, over)))  # noqa: B023 - joined below
            if not calm:
                harming.start()
            try:
                run = ended(caller, crawl_id, 1, PATIENCE_SECONDS)
            finally:
                over.set()
                if not calm:
                    harming.join()
            told = found(caller, crawl_id, 1)
            expected = expect(site.graph)
            assert expected.differences(told, site.origin, site.counts.requests) == [], run
            assert caller.corpus(corpus)["documents"] == expected.documents
            again = asked_again(site)
            assert len(again) <= (0 if calm else harms[0] * 2), (harms, again)
            rows = stage.vectors_sql(
                "SELECT document_id, count(*) AS n, count(DISTINCT chunk_index) AS places FROM chunks WHERE corpus = $1 "
                "GROUP BY document_id",
                corpus,
            )
            assert all(row["n"] == row["places"] > 0 for row in rows)
    assert harms[0] >= 5, "the crawl was over before it was harmed"
