"""What holds of every stack's compose file, image and `.env.example`, read from the files; `tests/compose` runs them."""

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
SERVICES = ("orchestrator", "scraper", "chunking", "embedding")
STACKS = (*SERVICES, "gateway-vm")
# what a service without Redis, worker and callers of its own has no use for
NOT_IN_CHUNKING = {
    *("INTERNAL_CALLER_IDS", "LEASE_RENEW_SECONDS", "MAX_QUEUE_DEPTH", "ORCHESTRATOR_URL", "REDIS_URL"),
    *("RESULTS_MAX_BYTES", "SERVICE_API_KEY", "WORKER_METRICS_PORT"),
}
# optional for some service, and so without a default in the base settings, but not for this one
REQUIRED_BESIDE = {
    "orchestrator": {"SERVICE_API_KEY", "INTERNAL_CALLER_IDS", "POSTGRES_USER", "POSTGRES_PASSWORD"},
    "scraper": {"REDIS_URL", "SERVICE_API_KEY", "ORCHESTRATOR_KEY_HASH", "ORCHESTRATOR_URL"},
    "chunking": {"ORCHESTRATOR_KEY_HASH"},
    "embedding": {
        *("SERVICE_API_KEY", "ORCHESTRATOR_KEY_HASH", "ORCHESTRATOR_URL", "POSTGRES_USER", "POSTGRES_PASSWORD"),
    },
}
# images without a shell, or jobs that end
WITHOUT_HEALTH_CHECK = {"nginx-exporter", "orchestrator-migrate", "embedding-migrate"}
SETTINGS = """
import json
import pydantic_settings
pydantic_settings.BaseSettings.__init__ = lambda self, **_: None
from app.config import Settings

def written(field):
    if field.is_required():
        return None
    value = field.get_default(call_default_factory=True)
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return ",".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)

print(json.dumps({name: written(field) for name, field in Settings.model_fields.items()}))
"""
# the module makes its settings when it is imported, which needs an environment; the class alone does not


def compose(stack: str) -> str:
    """Return a stack's file without its images' digests, whose variable no operator sets (`test_compose_images.py`)."""
    text = (REPOSITORY / stack / "docker-compose.yml").read_text()
    return re.sub(r"\$\{IMAGE_DIGEST-@sha256:[0-9a-f]{64}\}", "", text)


def containers(stack: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(compose(stack))["services"]
    return found


def ours(service: str) -> dict[str, dict[str, Any]]:
    """Return the containers of a service's own image."""
    return {
        name: one for name, one in containers(service).items() if one["image"].startswith(f"cloudcix/ml-{service}:")
    }


def every_container() -> list[Any]:
    return [pytest.param(one, id=f"{stack}-{name}") for stack in STACKS for name, one in containers(stack).items()]


def image_settings(service: str) -> dict[str, str]:
    last_stage = (REPOSITORY / service / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    lines = re.findall(r"^ENV (.+)$", last_stage, re.MULTILINE)
    return dict(setting.split("=", 1) for line in lines for setting in line.split())


def seconds(duration: str) -> int:
    return int(duration.removesuffix("s"))


@cache
def settings_of(service: str) -> dict[str, str | None]:
    """Return each setting's default as text; None for what has none."""
    listed = subprocess.run(
        [sys.executable, "-c", SETTINGS], cwd=REPOSITORY / service, capture_output=True, text=True, check=True
    )
    settings: dict[str, str | None] = json.loads(listed.stdout)
    return {name: default for name, default in settings.items() if service != "chunking" or name not in NOT_IN_CHUNKING}


def example(stack: str) -> dict[str, str]:
    text = (REPOSITORY / stack / ".env.example").read_text()
    return dict(re.findall(r"^#?([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))


@pytest.mark.parametrize("service", SERVICES)
def test_the_example_names_every_setting_and_nothing_else(service: str) -> None:
    named, fields = set(example(service)), set(settings_of(service))
    in_compose = set(re.findall(r"\$\{([A-Z0-9_]+)", compose(service))) - {"COMPOSE_PROJECT_NAME"}  # Compose knows it
    if any("profiles" in one for one in containers(service).values()):
        in_compose.add("COMPOSE_PROFILES")  # and reads it itself
    assert (sorted(fields - named), sorted(named - fields - in_compose), sorted(in_compose - named)) == ([], [], [])


@pytest.mark.parametrize("service", SERVICES)
def test_what_the_example_has_commented_out_is_the_default(service: str) -> None:
    text = (REPOSITORY / service / ".env.example").read_text()
    commented = dict(re.findall(r"^#([A-Z][A-Z0-9_]*)=(.*)$", text, re.MULTILINE))
    in_compose = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", compose(service)))
    assert commented.pop("GIT_SHA") == "latest"  # the image's tag; the version is then `dev`
    commented.pop("COMPOSE_PROFILES", None)  # what Compose reads for itself
    for name, value in commented.items():
        default = settings_of(service).get(name, in_compose.get(name))
        assert default is not None, f"{name} has no default: it must not be commented out"
        assert same(value, default), f"{name}: {value} in the example, {default} in the code"


def same(written: str, default: str) -> bool:
    numbers = re.fullmatch(r"\d+(\.\d+)?", written) and re.fullmatch(r"\d+(\.\d+)?", default)
    return float(written) == float(default) if numbers else written in (default, default.lower())


@pytest.mark.parametrize("service", SERVICES)
def test_a_variable_that_has_to_be_set_stops_up_with_its_name(service: str) -> None:
    without_default = {name for name, default in settings_of(service).items() if default is None}
    stopping = set(re.findall(r"\$\{([A-Z0-9_]+):\?set it in \.env\}", compose(service)))
    assert stopping == without_default | REQUIRED_BESIDE[service]
    assert {name for name, value in example(service).items() if "<" in value} <= stopping


@pytest.mark.parametrize("stack", STACKS)
def test_the_example_has_no_value_for_a_secret(stack: str) -> None:
    for name, value in example(stack).items():
        if re.fullmatch(r"[A-Z_]*(PASSWORD|API_KEY|SECRET[A-Z_]*)", name):
            assert value == "" or value.startswith("<"), name


@pytest.mark.parametrize("container", every_container())
def test_a_container_has_no_right_that_it_does_not_need(container: dict[str, Any]) -> None:
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in container["security_opt"]
    # of what a browser runs, the browser's own sandbox keeps more than the engine's filter does; it takes a filter of its own
    filters = (
        ["seccomp=./renderer/seccomp.json"] if container["image"].startswith("cloudcix/ml-scraper-renderer") else []
    )
    assert container["security_opt"][1:] == filters
    if container["image"].startswith("cloudcix/"):
        assert "cap_add" not in container
        assert "/tmp:size=256m" in container["tmpfs"]


@pytest.mark.parametrize("container", every_container())
def test_a_containers_log_cannot_fill_the_disk(container: dict[str, Any]) -> None:
    assert container["logging"] == {"driver": "json-file", "options": {"max-size": "25m", "max-file": "2"}}


@pytest.mark.parametrize("stack", STACKS)
def test_a_container_waits_for_what_it_needs_until_that_is_ready_and_comes_back_when_it_dies(stack: str) -> None:
    dockerfile = REPOSITORY / stack / "Dockerfile"
    in_image = dockerfile.exists() and "\nHEALTHCHECK " in dockerfile.read_text()
    for name, one in containers(stack).items():
        assert one["restart"] == ("no" if name.endswith("migrate") else "unless-stopped"), name
        for other, how in one.get("depends_on", {}).items():
            ends = other.endswith("migrate")
            assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}, name
        checked = "healthcheck" in one and not one["healthcheck"].get("disable")
        if name in WITHOUT_HEALTH_CHECK:
            assert not checked
        else:
            assert checked or (in_image and one["image"].startswith("cloudcix/")), name


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_ends_no_process_for_being_busy_and_shows_a_workers_metrics_to_its_collector(service: str) -> None:
    image = image_settings(service)
    assert int(image["UVICORN_TIMEOUT_WORKER_HEALTHCHECK"]) >= 30
    assert image.get("WORKER_METRICS_HOST") == (None if service == "chunking" else "0.0.0.0")


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "chunking"])
def test_a_queue_outlives_its_redis(service: str) -> None:
    (redis,) = (one for name, one in containers(service).items() if name.startswith("redis-"))
    assert "--maxmemory-policy noeviction --appendonly yes" in redis["command"]
    assert [volume.partition(":")[2] for volume in redis["volumes"]] == ["/data"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_knows_its_commit_and_its_code_is_not_the_builders(service: str) -> None:
    dockerfile = (REPOSITORY / service / "Dockerfile").read_text()
    assert re.match(r"ARG PYTHON_IMAGE=python:3\.12-slim(@sha256:[0-9a-f]{64})?\n", dockerfile)
    builds = [one["build"]["args"] for one in containers(service).values() if "build" in one]
    assert {args["PYTHON_IMAGE"] for args in builds} == {"python:3.12-slim"}, "by tag, it is what IMAGE_DIGEST says"
    assert "\nARG GIT_SHA=dev\n" in dockerfile
    assert "\nENV SERVICE_VERSION=$GIT_SHA\n" in dockerfile
    for name, one in ours(service).items():
        assert one["image"] == f"cloudcix/ml-{service}:${{GIT_SHA:-latest}}", name
        assert one["environment"]["SERVICE_VERSION"] == "${GIT_SHA:-dev}", name
    ignored = (REPOSITORY / service / ".dockerignore").read_text().splitlines()
    beside = "".join(path.read_text() for path in (REPOSITORY / service).glob("*/Dockerfile"))
    copied = set(re.findall(r"^COPY (?:--chown=appuser )?([\w.]+)(?:/\S*)? ", dockerfile + beside, re.MULTILINE))
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_writes_json_from_uvicorns_first_line_on_and_stops_before_it_is_killed(service: str) -> None:
    image, stack = image_settings(service), ours(service)
    assert image["UVICORN_LOG_CONFIG"] == "/venv/uvicorn_logs.json"
    assert '/uvicorn_logs.json" /venv' in (REPOSITORY / service / "Dockerfile").read_text()
    assert (REPOSITORY / "ml-shared" / "ml_shared" / "telemetry" / "uvicorn_logs.json").is_file()
    if service != "orchestrator":  # it has no synchronous work: its routes read and write rows
        longest = settings_of(service)["SYNC_TIMEOUT_SECONDS"]
        assert longest is not None
        assert int(image["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"]) > float(longest)
    # beyond the requests, the lifespan's end: three seconds for the last spans, and the pools
    assert seconds(stack[service]["stop_grace_period"]) >= int(image["UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN"]) + 5


@pytest.mark.parametrize("service", [service for service in SERVICES if service != "chunking"])
def test_a_worker_hands_back_what_it_holds_before_it_is_killed(service: str) -> None:
    worker = ours(service)[f"{service}-worker"]
    assert worker["environment"]["REMAP_SIGTERM"] == "SIGQUIT"
    assert seconds(worker["stop_grace_period"]) == 30


def test_celery_prints_no_banner_between_the_json_lines() -> None:
    printing = {
        (service, name)
        for service in SERVICES
        for name, container in ours(service).items()
        if str(container.get("command")).startswith("celery ")
        and "CELERY_QUIET" not in image_settings(service) | container["environment"]
    }
    assert printing == set()
    assert "orchestrator-beat" in containers("orchestrator")
