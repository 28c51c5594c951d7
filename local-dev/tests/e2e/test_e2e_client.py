"""The Python client, the command line and the MCP server, at a fleet as it runs."""

import asyncio
import json
import os
import re
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cloudcix_ml import AsyncClient, Client, JobFailedError, JobStatus
from cloudcix_ml.agents.results import Found
from cloudcix_ml.agents.tools import server_of
from conftest import Stage
from mcp import Client as Agent

pytestmark = pytest.mark.xdist_group("fleet")

README = Path(__file__).parents[3] / "gateway-vm" / "client" / "README.md"
FRONT_PAGE = Path(__file__).parents[3] / "README.md"
PAGE_OF_THE_README = "https://example.com/"
SECONDS = 240.0


def place(stage: Stage) -> dict[str, str]:
    return {"CLOUDCIX_ML_URL": stage.fleet.gateway, "CLOUDCIX_ML_KEY": stage.fleet.keys["user"]}


def run(stage: Stage, home: Path, *command: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **place(stage), "XDG_CONFIG_HOME": str(home)},
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert stage.fleet.keys["user"] not in done.stdout + done.stderr
    return done


def test_the_readmes_lines_to_a_first_search_find_something(stage: Stage, tmp_path: Path) -> None:
    block = re.search(r"^```python\n(.*?)^```$", README.read_text(), re.DOTALL | re.M)
    assert block is not None
    lines = block[1]
    assert sum(bool(line.strip()) for line in lines.splitlines()) <= 10
    assert PAGE_OF_THE_README in lines
    url = stage.web.add(f"/readme-{uuid.uuid4().hex[:8]}", "domain", 5)
    program = lines.replace(PAGE_OF_THE_README, url).replace('"mine"', f'"readme-{uuid.uuid4().hex[:8]}"')
    done = run(stage, tmp_path, "-c", program)
    assert done.returncode == 0, done.stderr
    first, *found = done.stdout.splitlines()
    assert re.match(rf"\d+ chunks of {re.escape(url)}", first)
    assert any(url in line for line in found)


def test_the_front_pages_lines_find_what_is_there(stage: Stage, tmp_path: Path) -> None:
    block = re.search(r"^```python\n(from cloudcix_ml .*?)^```$", FRONT_PAGE.read_text(), re.DOTALL | re.M)
    assert block is not None
    corpus = f"front-{uuid.uuid4().hex[:8]}"
    url = stage.web.add(f"/{corpus}", "drawbridge", 5)
    with Client(stage.fleet.gateway, stage.fleet.keys["user"]) as client:
        client.index(url, corpus_name=corpus)
    done = run(stage, tmp_path, "-c", block[1].replace('"demo"', f'"{corpus}"'))
    assert (done.returncode, "About drawbridge: " in done.stdout) == (0, True), done.stderr


def test_both_clients_see_a_page_through_and_what_is_refused(stage: Stage) -> None:
    corpus = f"client-{uuid.uuid4().hex[:8]}"
    url = stage.web.add(f"/{corpus}", "kingfisher", 5)
    asked: list[tuple[str, int]] = []

    def note(answer: httpx.Response) -> None:
        asked.append((answer.request.url.path, answer.status_code))

    http = httpx.Client(trust_env=False, event_hooks={"response": [note]})
    with http, Client(stage.fleet.gateway, stage.fleet.keys["user"], http=http) as client:
        job_id = client.jobs.submit(url, corpus_name=corpus).job_id
        seen = [one.status for one in client.jobs.follow(job_id)]
        assert seen[-1] == JobStatus.COMPLETED
        assert (f"/api/orchestrator/jobs/{job_id}/events", 200) in asked
        with pytest.raises(JobFailedError, match="http_status"):
            client.index(f"{url}/not-there", corpus_name=corpus)
        hits = client.search("Where is the kingfisher kept?", corpus_name=corpus, highlights=True, context=1).results
        assert (hits[0].url, bool(hits[0].highlights)) == (url, True)
        document = next(iter(client.documents.list(corpus)))
        text = client.documents.content(corpus, document.document_id).text
        assert all(chunk.text in text for chunk in client.documents.chunks(corpus, document.document_id, page_size=1))

    async def awaited() -> None:
        async with AsyncClient(stage.fleet.gateway, stage.fleet.keys["user"]) as client:
            batch = await client.batches.submit([url, f"{url}?again"], corpus_name=corpus)
            assert (await client.batches.wait(batch.batch_id, timeout_seconds=SECONDS)).ended
            async with Agent(server_of(client, write=False)) as agent:
                answer = await agent.call_tool("search", {"query": "kingfisher", "corpora": [corpus]})
            assert url in Found.model_validate(answer.structured_content).passages[0].url
            await client.corpora.delete(corpus)

    with ThreadPoolExecutor(1) as thread:  # a browser's driver may have a loop in this one
        thread.submit(asyncio.run, awaited()).result()


def test_a_file_and_a_site_are_indexed_and_found(stage: Stage, tmp_path: Path) -> None:
    corpus = f"kinds-{uuid.uuid4().hex[:8]}"
    file = tmp_path / "notes.md"
    file.write_text("# Lighthouse\n\nThe lamp of the lighthouse is lit at dusk by its keeper.\n")
    url = stage.web.add(f"/{corpus}/a", "breakwater", 6)
    with Client(stage.fleet.gateway, stage.fleet.keys["user"]) as client:
        assert client.index(file, corpus_name=corpus).url == "upload:notes.md"
        hit = client.search("When is the lamp lit?", corpus_name=corpus).results[0]
        assert (hit.url, hit.heading_path) == ("upload:notes.md", ["Lighthouse"])
        begun = client.crawl(urls=[url], corpus_name=corpus)
        run = client.runs.wait(begun.crawl_id, begun.run, timeout_seconds=SECONDS)
        assert (run.state, run.outcomes.new, run.ended) == ("completed", 1, True)
        assert [(page.url, page.outcome) for page in client.runs.pages(begun.crawl_id, 1)] == [(url, "new")]
        assert client.search("breakwater", corpus_name=corpus).results[0].url == url
        assert client.crawls.delete(begun.crawl_id, documents="delete").crawl_id == begun.crawl_id


def test_the_doctor_indexes_a_page_finds_it_and_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    url = stage.web.add(f"/doctor-{uuid.uuid4().hex[:8]}", "stethoscope", 5)
    done = run(stage, tmp_path, "-m", "cloudcix_ml.cli", "doctor", "--page", url, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    steps = {step["name"]: step for step in json.loads(done.stdout)["steps"]}
    assert all(step["good"] for step in steps.values())
    assert url in steps["a page"]["found"]
    with Client(stage.fleet.gateway, stage.fleet.keys["user"]) as client:
        assert not [one.name for one in client.corpora.list() if one.name.startswith("doctor-")]


def test_the_doctor_says_how_to_mend_what_is_wrong(stage: Stage, tmp_path: Path) -> None:
    done = run(stage, tmp_path, "-m", "cloudcix_ml.cli", "doctor", "--page", "http://169.254.169.254/")
    assert done.returncode == 1
    assert "blocked_address" in done.stdout
    assert "mend: choose a page that the platform may fetch" in done.stdout
