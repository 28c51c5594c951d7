"""A container that wants more memory than it may have is the only one that this hurts, and it comes back."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from compose_client import PatientCaller
from compose_engine import Stack, docker
from compose_fleet import IMAGES, ComposeFleet
from compose_jobs import assert_none_lost, jobs_in_flight
from compose_memory import engine_events, watched

from ml_shared.testing.servers import wait_until

BACK_SECONDS = 60.0
QUEUES = {"orchestrator": "redis-orch", "scraper": "redis-scrape", "embedding": "redis-embed"}
# a script's own strings are no part of `maxmemory`: the server itself grows until the kernel ends it
GROWS = "local kept = {} for i = 1, 8192 do kept[i] = string.rep('x', 1048576) .. i end return #kept"
HOG = "held = []\nwhile True: held.append(bytearray(2**24))"
LARGE_CHARACTERS = 4 * 2**20
AT_ONCE = 8
FAR_BELOW = 0.75


def running(fleet: ComposeFleet) -> dict[str, dict[str, Any]]:
    found = {}
    for stack in fleet.stacks.values():
        for one in stack.containers().values():
            if one["State"]["Running"]:
                found[one["Name"].removeprefix("/")] = one
    return found


def starts(containers: Mapping[str, dict[str, Any]]) -> dict[str, str]:
    return {name: one["State"]["StartedAt"] for name, one in containers.items()}


def container_name(stack: Stack, service: str) -> str:
    name: str = stack.containers()[service]["Name"]
    return name.removeprefix("/")


@pytest.fixture
def undisturbed(fleet: ComposeFleet) -> Iterator[set[str]]:
    """Holds that no container was started anew, or met its limit, but those that the test puts into the set."""
    began, before, disturbed = datetime.now(UTC), starts(running(fleet)), set[str]()
    yield disturbed
    after = starts(running(fleet))
    assert {name for name, start in before.items() if after.get(name) != start} == disturbed
    # the engine remembers its last 256 events only, health checks among them: that one was started anew is what counts
    assert set(engine_events(began, "die")) & before.keys() <= disturbed
    for stack in fleet.stacks.values():  # the engine goes on saying it of a container until that is started anew
        if killed := [name for name, one in stack.containers().items() if one["State"]["OOMKilled"]]:
            stack.compose("restart", *killed)
            stack.up()


@pytest.mark.parametrize("name", QUEUES)
def test_a_redis_beyond_its_limit_is_killed_alone_comes_back_and_no_job_is_lost(
    fleet: ComposeFleet, caller: PatientCaller, undisturbed: set[str], name: str
) -> None:
    stack, service = fleet[name], QUEUES[name]
    began, corpus = datetime.now(UTC), f"beyond-{name}"
    restarts = stack.containers()[service]["RestartCount"]
    with jobs_in_flight(fleet, caller, corpus) as ids:
        undisturbed.add(container_name(stack, service))
        stack.compose("exec", "-T", service, "redis-cli", "EVAL", GROWS, "0", check=False)

        def back() -> bool:
            one = stack.containers()[service]
            healthy = one["State"].get("Health", {}).get("Status") == "healthy"
            return healthy and one["RestartCount"] == restarts + 1

        assert wait_until(back, BACK_SECONDS), stack.containers()[service]["State"]
        assert set(engine_events(began, "oom")) == undisturbed
    assert_none_lost(fleet, caller, corpus, ids)


@pytest.mark.parametrize("name", IMAGES)
def test_a_process_that_grows_in_a_container_of_ours_is_killed_and_nothing_else(
    fleet: ComposeFleet, undisturbed: set[str], name: str
) -> None:
    """The kernel takes the largest process, and a service's own are far smaller than what is left."""
    stack = fleet[name]
    services = [service for service in stack.services() if service.startswith(name)]
    for service in services:
        if service.endswith("migrate"):
            continue
        began = datetime.now(UTC)
        hog = stack.compose("exec", "-T", service, "python", "-c", HOG, check=False)
        assert hog.returncode == 137, hog.stderr
        assert set(engine_events(began, "oom")) == {container_name(stack, service)}


@pytest.mark.parametrize("name", IMAGES)
def test_every_container_has_the_limits_that_its_file_says_and_no_swap(fleet: ComposeFleet, name: str) -> None:
    for service, one in fleet[name].containers().items():
        host = one["HostConfig"]
        assert host["Memory"] == host["MemorySwap"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert host["PidsLimit"] > 0, service


def test_what_would_count_the_machines_cores_starts_as_many_processes_as_it_is_told(fleet: ComposeFleet) -> None:
    for stack, service, process, expected in (
        ("gateway-vm", "nginx", "nginx: worker process", 2),
        ("orchestrator", "orchestrator-worker", "celery", 1 + 4),  # the first one starts the others
    ):
        commands = docker("top", container_name(fleet[stack], service), "-o", "pid,args").splitlines()[1:]
        assert sum(process in command for command in commands) == expected, commands


def test_large_texts_and_pages_at_once_stay_far_below_every_limit(fleet: ComposeFleet, caller: PatientCaller) -> None:
    words = "The osprey is a bird of prey that eats fish, and lives near rivers, lakes and coasts. "
    paragraphs = [words * 8] * (LARGE_CHARACTERS // (8 * len(words)))
    text, page = "\n\n".join(paragraphs), "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)
    pages = [fleet.outside.web.add(f"/large-{number}", f"about {number}", page) for number in range(AT_ONCE)]
    with watched() as peaks, ThreadPoolExecutor(AT_ONCE) as pool:
        calls = [
            *(pool.submit(caller.request, "POST", "/api/chunking/chunk", json={"text": text}) for _ in range(AT_ONCE)),
            *(pool.submit(caller.request, "POST", "/api/scraper/scrape", json={"url": page}) for page in pages),
        ]
        jobs = [caller.submit(page, "large").json()["job_id"] for page in pages[:4]]
        answers = [call.result() for call in calls]
        ended = [caller.wait(job_id, 300) for job_id in jobs]
    fleet.say(f"answers {sorted(answer.status_code for answer in answers)}, {[job['status'] for job in ended]}")
    for name, seen in sorted(peaks.seen.items()):
        fleet.say(f"{name:<45}{seen / 2**20:>7.0f} MiB of {peaks.limits[name] / 2**20:>6.0f}")
    assert {name for name, seen in peaks.seen.items() if seen > FAR_BELOW * peaks.limits[name]} == set()
