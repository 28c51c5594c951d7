"""Each container's memory, cores and processes are bounded, and what a stack may take fits its VM; `tests/compose` shows it."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from chores.containers import services_of

REPOSITORY = Path(__file__).resolve().parents[2]
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
OBSERVE = REPOSITORY / "local-dev" / "docker-compose.observe.yml"
FILES = {stack: REPOSITORY / stack / "docker-compose.yml" for stack in (*SERVICES, "gateway-vm")} | {
    "local-dev": OBSERVE
}
REST = 2**30
# for the kernel, Docker and what is not in a container
FEWEST_CORES = 2
# of a machine on which every stack still starts: Docker refuses a limit above the cores that there are
UNITS = {"k": 2**10, "m": 2**20, "g": 2**30}


def containers(stack: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = services_of(FILES[stack])
    return found


def every(*stacks: str) -> list[Any]:
    return [pytest.param(one, id=f"{stack}-{name}") for stack in stacks for name, one in containers(stack).items()]


def size(written: str) -> int:
    """Read a size as Compose, Redis, PostgreSQL and Go write it: 2g, 512mb, 1GB, 400MiB."""
    number, unit = re.fullmatch(r"(\d+)([kmg])i?b?", str(written).lower()).groups()  # type: ignore[union-attr]
    return int(number) * UNITS[unit]


def machine(stack: str) -> tuple[int, int]:
    """Return the cores and the bytes of memory that a stack's README asks for."""
    found = re.search(
        r"\*\*The (?:VM|laptop)\.\*\* (\d+) cores and (\d+) GiB", (FILES[stack].parent / "README.md").read_text()
    )
    assert found, "the README names the VM's size"
    return int(found[1]), int(found[2]) * 2**30


@pytest.mark.parametrize("container", every(*FILES))
def test_every_container_is_bounded_in_memory_cores_and_processes_and_does_not_swap(container: dict[str, Any]) -> None:
    assert size(container["mem_limit"]) == size(container["memswap_limit"]) > 0
    assert 0 < container["cpus"] <= FEWEST_CORES
    assert 0 < container["pids_limit"] <= 512


@pytest.mark.parametrize("stack", FILES)
def test_all_containers_of_a_stack_at_their_limits_leave_the_vm_a_gibibyte(stack: str) -> None:
    taken = sum(size(one["mem_limit"]) for one in containers(stack).values())
    assert taken <= machine(stack)[1] - REST


@pytest.mark.parametrize("stack", FILES)
def test_no_container_takes_more_than_half_of_the_cores_and_ours_together_leave_one(stack: str) -> None:
    """Limits of cores may exceed them in all: a core is shared by turns, and what one leaves idle another may use. But the
    database, Redis and Alloy get theirs however busy our processes are."""
    cores, _ = machine(stack)
    assert {name for name, one in containers(stack).items() if one["cpus"] > cores / 2} == set()
    busy = [
        one["cpus"]
        for name, one in containers(stack).items()
        if one["image"].startswith("cloudcix/") and not name.endswith("migrate") and "profiles" not in one
    ]
    assert sum(busy) <= cores - 1
    asked_for = [one["cpus"] for one in containers(stack).values() if "profiles" in one and stack != "local-dev"]
    more = re.search(r"with the renderer (\d+) cores", (FILES[stack].parent / "README.md").read_text())
    assert sum(busy) + sum(asked_for) <= (int(more[1]) if more else cores) - 1


def test_the_specifications_two_memory_limits_stand() -> None:
    assert containers("scraper")["scraper-worker"]["mem_limit"] == "2g"
    assert containers("embedding")["embedding-worker"]["mem_limit"] == "3g"


@pytest.mark.parametrize("stack", ["orchestrator", "scraper", "embedding"])
def test_a_redis_fits_its_container_twice(stack: str) -> None:
    """While its child rewrites the append-only file, each page that is written to exists twice: in the worst case all."""
    (redis,) = (one for name, one in containers(stack).items() if name.startswith("redis-"))
    maxmemory = size(re.search(r"--maxmemory (\w+)", redis["command"])[1])  # type: ignore[index]
    assert 2 * maxmemory <= size(redis["mem_limit"])


def test_postgres_has_room_for_its_buffers_an_index_build_and_its_connections() -> None:
    vectors = containers("embedding")["postgres-vectors"]
    said = {name: size(value) for name, value in re.findall(r"-c (\w+)=(\w+)", vectors["command"])}
    assert size(vectors["shm_size"]) >= said["maintenance_work_mem"], "workers of a build share it there"
    connections = 100 * 10 * 2**20  # PostgreSQL's own maximum, and what one takes with its caches and `work_mem`
    assert said["shared_buffers"] + said["maintenance_work_mem"] + connections <= size(vectors["mem_limit"])
    jobs = containers("orchestrator")["postgres"]
    assert size(jobs["shm_size"]) + 128 * 2**20 + connections <= size(jobs["mem_limit"])


def test_what_nginx_holds_in_memory_file_systems_is_half_of_its_memory_at_most() -> None:
    nginx = containers("gateway-vm")["nginx"]
    sizes = [size(found) for found in re.findall(r"size=(?:\$\{\w+:-)?(\w+)", " ".join(nginx["tmpfs"]))]
    assert len(sizes) == len(nginx["tmpfs"])
    assert sum(sizes) <= 1.01 * size(nginx["mem_limit"]) / 2


@pytest.mark.parametrize("container", every(*FILES))
def test_a_program_in_go_collects_its_garbage_before_it_is_killed(container: dict[str, Any]) -> None:
    environment = container.get("environment", {})
    if "GOMEMLIMIT" in environment:
        assert size(environment["GOMEMLIMIT"]) <= 0.8 * size(container["mem_limit"])
    else:
        assert not container["image"].startswith(("grafana/alloy", "grafana/loki", "grafana/tempo", "prom/"))


def test_nothing_takes_the_machines_cores_for_its_own() -> None:
    """In a container, a program that counts cores finds all of the machine's."""
    nginx, chunking = containers("gateway-vm")["nginx"], containers("chunking")["chunking"]
    assert int(nginx["environment"]["GATEWAY_WORKER_PROCESSES"]) == nginx["cpus"]
    assert int(chunking["environment"]["RAYON_NUM_THREADS"]) == chunking["cpus"]
    for service in SERVICES:
        for name, one in containers(service).items():
            command = str(one.get("command"))
            if command.startswith("celery ") and " worker " in command:
                assert "--concurrency=" in command or one["environment"]["CELERY_WORKER_CONCURRENCY"], name


def test_a_file_that_adds_to_a_stack_makes_no_container_without_limits() -> None:
    for path in sorted(REPOSITORY.glob("*/docker-compose*.yml")):
        if path in FILES.values():
            continue
        text = re.sub(r"!(override|reset)", "", path.read_text())
        added = set(yaml.safe_load(text)["services"])
        stacks = STACKS_OF.get(path.name, (path.parent.name,))
        assert all(added <= containers(stack).keys() for stack in stacks), path


STACKS_OF = {"docker-compose.observed.yml": (*SERVICES, "gateway-vm")}
