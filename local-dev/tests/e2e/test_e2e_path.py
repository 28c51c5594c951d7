"""The main job on the native fleet: a URL goes in at the gateway, a search result comes out."""

import re
from urllib.parse import urljoin

import httpx
import pytest
from conftest import Stage
from demo.run import run_demo
from e2e_caller import Caller

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

DEMO_SECONDS = 360.0


def test_the_demo_holds_and_a_second_run_changes_nothing_and_sends_no_passage_again(stage: Stage) -> None:
    target = {
        "gateway_url": stage.fleet.gateway,
        "api_key": stage.fleet.keys["user"],
        "site_url": stage.fleet.addresses.url("demo-site"),
        "endpoint_url": stage.fleet.addresses.url("endpoint"),
    }
    first = run_demo(**target, timeout_seconds=DEMO_SECONDS)
    assert first.ok, [check for check in first.checks if not check.ok]
    second = run_demo(**target, timeout_seconds=DEMO_SECONDS)
    assert second.ok, [check for check in second.checks if not check.ok]
    assert first.corpus_after is not None
    assert second.corpus_after is not None
    assert (first.corpus_after.documents, first.corpus_after.chunks) == (
        second.corpus_after.documents,
        second.corpus_after.chunks,
    )
    assert second.endpoint_before is not None
    assert second.endpoint_after is not None
    assert second.endpoint_before.texts == second.endpoint_after.texts


def test_a_page_that_is_not_there_fails_in_scraping_with_its_status(stage: Stage, caller: Caller) -> None:
    job = caller.wait(caller.submit(stage.web.url("/not-there")).json()["job_id"])
    assert job["status"] == "failed"
    assert job["error"]["code"] == "http_status"
    assert job["error"]["failed_stage"] == "scraping"
    assert "404" in job["error"]["message"]
    assert [one["stage"] for one in job["stages"]] == ["scraping"]


def test_a_page_that_changed_is_searchable_as_it_is_now(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/changing", "walrus", 2)
    caller.index(url, "changing")
    before = caller.corpus("changing")
    stage.web.add("/changing", "narwhal", 2)
    caller.index(url, "changing")
    after = caller.corpus("changing")
    assert (before["documents"], after["documents"]) == (1, 1)
    texts = [hit["text"] for hit in caller.search("narwhal", "changing", top_k=50)]
    assert any("narwhal" in text for text in texts)
    assert not any("walrus number" in text and "narwhal" not in text for text in texts)


def test_a_row_far_down_an_uploaded_table_is_found_with_what_its_columns_are(caller: Caller) -> None:
    rows = "".join(f"{number},bolt of series {number % 7},{number * 3}\n" for number in range(600))
    table = ("parts.csv", f"part number,kind of part,stock in Rotterdam\n{rows}600,gudgeon pin,1800\n", "text/csv")
    answer = caller.request("POST", "/api/orchestrator/documents", files={"file": table}, data={"corpus_name": "parts"})
    assert answer.status_code == 202, answer.text
    assert caller.wait(answer.json()["job_id"])["status"] == "completed"
    (found, *_) = caller.search("gudgeon pin", "parts", mode="text")
    assert "gudgeon pin" in found["text"]
    assert "stock in Rotterdam" not in found["text"]
    assert "stock in Rotterdam" in found["table_header"]


def test_two_jobs_for_one_url_at_once_leave_one_version_the_newer(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/race", "badger", 3)
    ids = []
    for words in ("badger", "weasel", "marten", "polecat"):
        stage.web.add("/race", words, 3)
        ids.append(caller.submit(url, "race").json()["job_id"])
    assert {caller.wait(job_id)["status"] for job_id in ids} == {"completed"}
    rows = stage.vectors_sql(
        "SELECT count(*) AS n, count(DISTINCT chunk_index) AS places FROM chunks WHERE corpus = 'race'"
    )
    assert rows[0]["n"] == rows[0]["places"] > 0
    assert caller.corpus("race")["documents"] == 1
    assert all("polecat" in hit["text"] for hit in caller.search("polecat", "race", top_k=50))


def test_only_the_addresses_and_ports_that_are_named_can_be_fetched(stage: Stage, caller: Caller) -> None:
    ports = stage.fleet.ports
    closed = [
        f"http://127.0.0.1:{ports['orchestrator']}/health",
        f"http://127.0.0.1:{ports['endpoint']}/v1/models",
        f"http://127.0.0.1:{ports['redis-orch']}/",
        f"http://127.0.0.2:{ports['demo-site']}/",
        f"http://localhost:{ports['postgres']}/",
        f"http://[::1]:{ports['demo-site']}/",
        f"http://[::ffff:127.0.0.2]:{ports['demo-site']}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
    ]
    for url in closed:
        answer = caller.request("POST", "/api/scraper/scrape", json={"url": url})
        assert answer.status_code in (403, 422), f"{url}: {answer.status_code} {answer.text}"
        assert answer.json()["code"] in ("blocked_address", "blocked_port"), f"{url}: {answer.text}"


def test_the_sync_routes_fit_together(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/sync", "heron", 4)
    page = caller.request("POST", "/api/scraper/scrape", json={"url": url}).json()
    assert "heron" in page["content"]
    cut = caller.request("POST", "/api/chunking/chunk", json={"text": page["content"], "max_tokens": 128}).json()
    assert cut["chunks"]
    assert all(page["content"][chunk["start"] : chunk["end"]] == chunk["text"] for chunk in cut["chunks"])
    texts = [chunk["text"] for chunk in cut["chunks"]]
    embedded = caller.request("POST", "/api/embedding/embed", json={"texts": texts}).json()
    assert len(embedded["embeddings"]) == len(texts)
    assert {len(vector) for vector in embedded["embeddings"]} == {embedded["dimensions"]}
    assert embedded["token_total"] == sum(chunk["token_count"] for chunk in cut["chunks"]), "both count alike"


def test_an_enqueued_page_is_told_to_who_asked_alone(stage: Stage, caller: Caller, other: Caller) -> None:
    url = stage.web.add("/queued", "stoat", 5)
    task = caller.request("POST", "/api/scraper/enqueue", json={"url": url})
    assert task.status_code == 202, task.text
    path = f"/api/scraper/results/{task.json()['task_id']}"
    assert other.request("GET", path).status_code == 404
    assert wait_until(lambda: caller.request("GET", path).status_code != 202, 60, 0.1), "the page was not fetched"
    answer = caller.request("GET", path)
    assert answer.status_code == 200, answer.text
    assert "stoat" in answer.json()["content"]
    assert other.request("GET", path).status_code == 404


def test_the_gateway_says_who_it_is_and_nothing_more(stage: Stage) -> None:
    answer = httpx.get(f"{stage.fleet.gateway}/health", timeout=60)
    assert answer.status_code == 200
    assert answer.headers["server"] == "nginx"


@pytest.mark.parametrize("service", ["orchestrator", "scraper", "chunking", "embedding"])
def test_each_services_documentation_works_through_the_gateway(caller: Caller, service: str) -> None:
    page = caller.request("GET", f"/api/{service}/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    parts = {urljoin(f"/api/{service}/docs", part) for part in named if not part.startswith("data:")}
    assert f"/api/{service}/openapi.json" in parts
    assert len(parts) > 2, "a script and a style sheet"
    assert {part: caller.request("GET", part).status_code for part in parts} == dict.fromkeys(parts, 200)
    document = caller.request("GET", f"/api/{service}/openapi.json").json()
    assert document["servers"] == [{"url": f"/api/{service}"}]
