"""What people use the fleet for, beside single pages, through the gateway's container: the console, webhooks, crawls, uploads."""

import time
from uuid import uuid4

import httpx
import pytest
from compose_client import PatientCaller
from compose_fleet import ComposeFleet
from standins.brochure import TITLE, brochure

from ml_shared.testing.servers import wait_until

ENDED_SECONDS = 120.0


@pytest.fixture
def corpus() -> str:
    return f"used-{uuid4().hex[:8]}"


def test_the_gateways_container_serves_the_console_that_lies_beside_its_compose_file(fleet: ComposeFleet) -> None:
    console = fleet["gateway-vm"].folder / "console"
    page = httpx.get(f"{fleet.gateway}/", trust_env=False)
    assert (page.status_code, page.text) == (200, (console / "index.html").read_text())
    assert "default-src 'self'" in page.headers["content-security-policy"]
    files = [path for path in console.rglob("*") if path.suffix in (".js", ".css", ".svg")]
    assert len(files) > 20
    for path in files:
        for _ in range(20):  # all come from one address, which may ask for so many a second
            answer = httpx.get(f"{fleet.gateway}/console/{path.relative_to(console).as_posix()}", trust_env=False)
            if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
                break
            time.sleep(0.3)
        assert answer.content == path.read_bytes(), (path, answer.status_code)


def test_a_webhook_is_told_of_a_jobs_end_whatever_becomes_of_the_courier(
    fleet: ComposeFleet, caller: PatientCaller, corpus: str
) -> None:
    hook = fleet.outside.web.url(f"/{corpus}/hook")
    made = caller.request("POST", "/api/orchestrator/webhooks", json={"url": hook, "events": ["job.completed"]})
    assert made.status_code == 201, made.text
    ids = []
    try:
        for number in range(3):
            url = fleet.outside.web.add(f"/{corpus}/{number}", f"{corpus} {number}")
            ids.append(caller.submit(url, corpus).json()["job_id"])
        fleet["orchestrator"].compose("restart", "orchestrator-worker")
        jobs = [caller.wait(job_id, ENDED_SECONDS) for job_id in ids]
        assert [job["status"] for job in jobs] == ["completed"] * len(ids), jobs

        def all_told() -> bool:
            told = {event["data"]["job_id"] for path, event in fleet.outside.web.told if path == f"/{corpus}/hook"}
            return told == set(ids)

        assert wait_until(all_told, ENDED_SECONDS), fleet.outside.web.told
    finally:
        caller.request("DELETE", f"/api/orchestrator/webhooks/{made.json()['webhook_id']}")


def test_a_site_is_crawled(fleet: ComposeFleet, caller: PatientCaller, corpus: str) -> None:
    web, link = fleet.outside.web, '<p>See also <a href="{}">another page</a>.</p>'
    begin = web.add(f"/{corpus}/begin", f"{corpus} lapwing", link.format("next"))
    web.add(f"/{corpus}/next", f"{corpus} godwit", link.format("missing"))
    body = {"url": begin, "corpus_name": corpus, "include": [f"/{corpus}/*"]}
    accepted = caller.request("POST", "/api/orchestrator/crawls", json=body)
    assert accepted.status_code == 202, accepted.text
    path = f"/api/orchestrator/crawls/{accepted.json()['crawl_id']}/runs/1"
    assert wait_until(lambda: caller.request("GET", path).json()["ended_at"] is not None, ENDED_SECONDS)
    run = caller.request("GET", path).json()
    assert (run["outcomes"]["new"], run["outcomes"]["failed"]) == (2, 1), run
    assert caller.search("godwit", corpus)[0]["url"].endswith("/next")


def test_a_document_is_uploaded_and_found(caller: PatientCaller, corpus: str) -> None:
    answer = caller.request(
        "POST",
        "/api/orchestrator/documents",
        files={"file": ("brochure.pdf", brochure(), "application/pdf")},
        data={"corpus_name": corpus},
    )
    assert answer.status_code == 202, answer.text
    job = caller.wait(answer.json()["job_id"], ENDED_SECONDS)
    assert job["status"] == "completed", job
    assert caller.search(TITLE, corpus)[0]["url"] == "upload:brochure.pdf"
