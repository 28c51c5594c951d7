"""An upgrade under load: with two copies of an API no GET fails, with one it fails for some seconds, and no job is lost."""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from compose_client import PatientCaller
from compose_engine import EngineError, Stack, environment
from compose_fleet import NEXT_TAG, TAG, ComposeFleet
from stacks.plan import SERVER

CLIENTS = 4
GAP_SECONDS = 0.03
UNLIMITED = {"GATEWAY_RATE_PER_IP": "1000r/s", "GATEWAY_RATE_PER_KEY": "1000r/s"}
LIMITED = {"GATEWAY_RATE_PER_IP": "30r/s", "GATEWAY_RATE_PER_KEY": "200r/s"}
# all of the load comes from one address
LONGEST_AWAY_SECONDS = 60.0
PAGES = 6
APIS = [("chunking", "/api/chunking/openapi.json"), ("orchestrator", "/api/orchestrator/jobs?limit=1")]


@dataclass
class Load:
    """GETs of one path by a few clients, a new connection each; what was answered, and when."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._stop.wait(GAP_SECONDS):
            try:
                status = httpx.get(self.url, headers=self.headers, timeout=30.0, trust_env=False).status_code
            except httpx.TransportError:
                status = 0  # not even the gateway answered
            self.answers.append((time.monotonic(), status))

    @property
    def counts(self) -> Counter[int]:
        return Counter(status for _, status in self.answers)

    @property
    def seconds_away(self) -> float:
        """From the first to the last answer that was no 200."""
        failed = [moment for moment, status in self.answers if status not in (200, 429)]
        return max(failed) - min(failed) if failed else 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self.run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()


def reload(fleet: ComposeFleet, **variables: str) -> None:
    """Change the gateway's variables as its operator does: `.env`, then `make reload`."""
    gateway = fleet["gateway-vm"]
    gateway.set(**variables)
    command = ["make", "reload"]
    shell = environment() | {"COMPOSE_PROJECT_NAME": gateway.project}
    done = subprocess.run(
        command, cwd=gateway.folder, env=shell, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode:
        raise EngineError(done.stdout + done.stderr)


def submit(fleet: ComposeFleet, caller: PatientCaller, corpus: str) -> list[str]:
    urls = [fleet.outside.web.add(f"/{corpus}-{number}", f"{corpus} {number}") for number in range(PAGES)]
    return [caller.submit(url, corpus).json()["job_id"] for url in urls]


@pytest.fixture
def next_version(fleet: ComposeFleet) -> Iterator[None]:
    """The images of the next version, and a gateway that lets the load through; at the end all is as it was."""
    names = ("orchestrator", "chunking")
    for name in names:
        fleet[name].set(GIT_SHA=NEXT_TAG)
        fleet[name].compose("build")
        fleet[name].set(GIT_SHA=TAG)
    reload(fleet, **UNLIMITED)
    yield
    reload(fleet, **LIMITED)
    for name in names:
        fleet[name].set(GIT_SHA=TAG)
        fleet[name].up()


@contextmanager
def second_copy(fleet: ComposeFleet, name: str) -> Iterator[Stack]:
    """A second VM that serves the same API. The orchestrator's has Redis and PostgreSQL in common with the first one:
    here by that one's network, on two VMs by ports that the first publishes to the second."""
    files = ("docker-compose.yml",)
    if name == "orchestrator":
        files += ("shared.yml",)
    with fleet.copy(name, files, SERVICE_REPLICAS="2") as second:
        network = {"default": {"external": True, "name": f"{fleet[name].project}_default"}}
        (second.folder / "shared.yml").write_text(json.dumps({"networks": network}))
        yield second


@pytest.mark.usefixtures("next_version")
@pytest.mark.parametrize(("name", "path"), APIS)
def test_two_copies_upgraded_one_after_the_other_fail_no_get(
    fleet: ComposeFleet, caller: PatientCaller, name: str, path: str
) -> None:
    corpus, variable = f"upgraded-two-{name}", f"GATEWAY_{name.upper()}_SERVERS"
    servers = [SERVER.format(f"{fleet.host}:{fleet.port(name, copy)}") for copy in (1, 2)]
    load = Load(fleet.gateway + path, {"X-API-Key": fleet.keys["user"]})
    with second_copy(fleet, name) as second:
        second.up("--no-deps", name)
        reload(fleet, **{variable: " ".join(servers)})
        try:
            with load.running():
                ids = submit(fleet, caller, corpus)
                fleet[name].set(GIT_SHA=NEXT_TAG)
                fleet[name].up()
                ids += submit(fleet, caller, f"{corpus}-first")
                second.set(GIT_SHA=NEXT_TAG)
                second.up("--no-deps", name)
                ids += submit(fleet, caller, f"{corpus}-second")
                jobs = [caller.wait(job_id, LONGEST_AWAY_SECONDS) for job_id in ids]
        finally:
            reload(fleet, **{variable: servers[0]})
    assert [job["status"] for job in jobs] == ["completed"] * len(ids), jobs
    assert fleet[name].containers()[name]["Config"]["Image"].endswith(f":{NEXT_TAG}")
    assert set(load.counts) <= {200, 429}, load.counts
    assert load.counts[200] > 500, load.counts
    fleet.say(f"two copies of {name} upgraded in turn: {dict(load.counts)}")


@pytest.mark.usefixtures("next_version")
@pytest.mark.parametrize(("name", "path"), APIS)
def test_one_copy_is_away_for_seconds_and_loses_no_job(
    fleet: ComposeFleet, caller: PatientCaller, name: str, path: str
) -> None:
    corpus = f"upgraded-one-{name}"
    load = Load(fleet.gateway + path, {"X-API-Key": fleet.keys["user"]})
    with load.running():
        ids = submit(fleet, caller, corpus)
        fleet[name].set(GIT_SHA=NEXT_TAG)
        fleet[name].up()
        jobs = [caller.wait(job_id, LONGEST_AWAY_SECONDS) for job_id in ids]
    assert [job["status"] for job in jobs] == ["completed"] * len(ids), jobs
    # only what the gateway says of a service that is away
    assert set(load.counts) <= {200, 429, 502, 503, 504}, load.counts
    assert load.seconds_away < LONGEST_AWAY_SECONDS
    fleet.say(f"the one copy of {name} upgraded: away for {load.seconds_away:.1f} s, {dict(load.counts)}")
