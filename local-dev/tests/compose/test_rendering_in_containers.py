"""Pages made by JavaScript, through the whole of the stacks; and that the browser's container can do nothing else."""

import json
import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from compose_client import PatientCaller
from compose_engine import run
from compose_fleet import ComposeFleet
from compose_memory import engine_events

from ml_shared.testing.servers import wait_until

RENDERER = "scraper-renderer"
ENDED_SECONDS = 120.0
PAGES_AT_ONCE = 4
APPLICATION = """<!doctype html><html lang=en><head><title>Harbour</title></head><body><div id=root></div>
<noscript>You need to enable JavaScript to run this app.</noscript><script>SCRIPT</script></body></html>"""
WRITES = "document.getElementById('root').innerHTML = '<main><h1>Harbour</h1><p>' + text.repeat(4) + '</p></main>';"
FETCHES = (
    "fetch('DATA').then(answer => answer.text()).then(html => { const text = html.match(/The .*? is kept in drawer [0-9]+[.]/)[0] + ' ';"
    + WRITES
    + "})"
)
GROWS = "const held = []; for (;;) { const piece = new Uint8Array(2**24); piece.fill(1); held.push(piece); }"
LOOKS_OUTSIDE = """
import os, socket
found = {"interfaces": sorted(os.listdir("/sys/class/net")), "sockets": os.listdir("/run/renderer")}
with socket.socket() as probe:
    probe.settimeout(5)
    found["reached"] = probe.connect_ex(("HOST", PORT))
print(__import__("json").dumps(found))
"""


@pytest.fixture
def corpus() -> str:
    return f"rendered-{uuid4().hex[:8]}"


def application(fleet: ComposeFleet, corpus: str, words: str) -> str:
    """Put up a page that has its text from another one, by its script; return its URL."""
    data = fleet.outside.web.add(f"/{corpus}/data", words)
    script = FETCHES.replace("DATA", data.rpartition("/")[2])
    return fleet.outside.web.put(f"/{corpus}/app", APPLICATION.replace("SCRIPT", script))


def test_a_page_that_its_script_makes_is_found_by_a_search(
    fleet: ComposeFleet, caller: PatientCaller, corpus: str
) -> None:
    url = application(fleet, corpus, "lighthouse keys")
    job = caller.wait(caller.submit(url, corpus, render="auto").json()["job_id"], ENDED_SECONDS)
    assert job["status"] == "completed", job
    (hit,) = caller.search("Where are the lighthouse keys kept?", corpus)[:1]
    assert (hit["url"], hit["title"]) == (url, "Harbour")
    assert "lighthouse keys number 1.0 is kept in drawer 100" in hit["text"]
    unrendered = caller.wait(caller.submit(url, corpus, force=True).json()["job_id"], ENDED_SECONDS)
    assert (unrendered["status"], unrendered["error"]["code"]) == ("failed", "empty_content"), unrendered


def test_the_api_renders_for_a_caller_who_waits(fleet: ComposeFleet, caller: PatientCaller, corpus: str) -> None:
    url = application(fleet, corpus, "harbour bell")
    answer = caller.request("POST", "/api/scraper/scrape", json={"url": url, "render": "always"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["rendered"] is True
    assert "harbour bell number 1.0" in answer.json()["content"]


def test_the_browsers_container_reaches_nothing_and_its_sandbox_is_on(fleet: ComposeFleet) -> None:
    stack = fleet["scraper"]
    one = stack.containers()[RENDERER]
    script = LOOKS_OUTSIDE.replace("HOST", fleet.host).replace("PORT", str(fleet.outside.web_port))
    found = json.loads(stack.compose("exec", "-T", RENDERER, "python", "-c", script).stdout)
    assert found["interfaces"] == ["lo"]
    assert found["sockets"] == ["renderer.sock"]
    assert found["reached"] != 0
    assert one["HostConfig"]["NetworkMode"] == "none"
    assert [(mount["Type"], mount["Destination"]) for mount in one["Mounts"]] == [("volume", "/run/renderer")]
    assert not [secret for secret in fleet.secrets if secret in json.dumps(one["Config"]["Env"])]
    said = run("docker", "logs", one["Id"]).stderr.splitlines()
    assert json.loads(said[0])["event"].endswith("Chromium's sandbox on"), said
    # nobody but the two who ask it can open the socket: user 1000 of their containers
    assert (
        stack.compose("exec", "-T", RENDERER, "stat", "-c", "%u %a", "/run/renderer/renderer.sock").stdout.split()[0]
        == "1000"
    )


def test_a_page_that_takes_all_memory_fails_alone_and_the_next_is_rendered(
    fleet: ComposeFleet, caller: PatientCaller, corpus: str
) -> None:
    stack, began = fleet["scraper"], datetime.now(UTC)
    before = stack.containers()[RENDERER]
    grows = [
        fleet.outside.web.put(f"/{corpus}/grows-{number}", APPLICATION.replace("SCRIPT", GROWS))
        for number in range(PAGES_AT_ONCE)
    ]
    ids = [caller.submit(url, corpus, render="auto").json()["job_id"] for url in grows]
    jobs = [caller.wait(job_id, ENDED_SECONDS) for job_id in ids]
    assert {(job["status"], job["error"]["code"]) for job in jobs} == {("failed", "render_failed")}, jobs
    url = application(fleet, corpus, "signal flags")
    job = caller.wait(caller.submit(url, corpus, render="auto").json()["job_id"], ENDED_SECONDS)
    assert job["status"] == "completed", job
    after = stack.containers()[RENDERER]
    assert (after["RestartCount"], after["State"]["StartedAt"]) == (
        before["RestartCount"],
        before["State"]["StartedAt"],
    )
    assert set(engine_events(began, "die")) & {before["Name"].removeprefix("/")} == set()


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_a_job_that_wants_a_browser_waits_while_there_is_none(
    fleet: ComposeFleet, caller: PatientCaller, corpus: str, ending: str
) -> None:
    stack = fleet["scraper"]
    url = application(fleet, corpus, "tide tables")
    plain = fleet.outside.web.add(f"/{corpus}/plain", "plain words")
    stack.compose(ending, RENDERER)
    try:
        job_id = caller.submit(url, corpus, render="auto").json()["job_id"]
        assert caller.wait(caller.submit(plain, corpus).json()["job_id"], ENDED_SECONDS)["status"] == "completed"
        waits = wait_until(lambda: (caller.job(job_id)["waiting"] or {}).get("reason") == "upstream", 60)
        assert waits, caller.job(job_id)
    finally:
        stack.up()
    job = caller.wait(job_id, ENDED_SECONDS)
    assert job["status"] == "completed", job


def test_a_job_whose_browser_is_stopped_under_it_is_rendered_by_the_next(
    fleet: ComposeFleet, caller: PatientCaller, corpus: str
) -> None:
    stack = fleet["scraper"]
    url = application(fleet, corpus, "rope store")
    held = fleet.outside.web.hold(f"/{corpus}/data")
    job_id = caller.submit(url, corpus, render="auto").json()["job_id"]
    fleet.outside.web.wait_until_asked(f"/{corpus}/data")
    stack.compose("restart", RENDERER)
    held.set()
    job = caller.wait(job_id, ENDED_SECONDS)
    assert job["status"] == "completed", job
    assert re.search("rope store", caller.search("rope store", corpus)[0]["text"])
