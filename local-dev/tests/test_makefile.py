"""The commands, from local-dev and from a service's folder. `make -n` says what would be run."""

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
STACKS = ("orchestrator", "scraper", "chunking", "embedding", "gateway-vm")
OBSERVE = "docker compose -f docker-compose.yml -f ../local-dev/docker-compose.observe.yml up"
TARGETS = {
    *("help", "dev", "dev-full", "obs", "demo", "up", "down", "status", "logs", "trace"),
    *("alloy", "boards", "dev-observed", "bench-overhead", "bench-extraction", "bench-quality"),
    *("checklist", "openapi"),
    *("changed", "required", "images", "sbom", "telemetry", "verify-configs", "audit", "refresh"),
    *("env", "test", "test-compose", "lint", "bench", "requirements"),
}


def make(folder: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["make", "--no-print-directory", *arguments]
    return subprocess.run(command, cwd=REPOSITORY / folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("folder", ["local-dev", *STACKS])
def test_help_explains_every_target_and_is_what_make_alone_does(folder: str) -> None:
    said = make(folder).stdout
    assert set(re.findall(r"^  make (\S+) +\S", said, re.MULTILINE)) >= TARGETS


@pytest.mark.parametrize("folder", STACKS)
def test_each_stack_has_the_shared_commands(folder: str) -> None:
    assert (REPOSITORY / folder / "Makefile").read_text().startswith("-include ../local-dev/Makefile\n")
    assert make(folder, "-n", "dev").stdout.splitlines()[-1] == "cd . && docker compose up"
    assert make(folder, "-n", "dev-full").stdout.splitlines()[-1] == f"cd . && {OBSERVE}"


def test_in_local_dev_service_says_which_stack() -> None:
    assert make("local-dev", "-n", "dev", "SERVICE=scraper").stdout.endswith("cd ../scraper && docker compose up\n")
    assert make("local-dev", "-n", "dev-full", "SERVICE=scraper").stdout.endswith(f"cd ../scraper && {OBSERVE}\n")


@pytest.mark.parametrize("given", [[], ["SERVICE="], ["SERVICE=nothing"]])
def test_in_local_dev_a_missing_service_is_one_clear_line(given: list[str]) -> None:
    done = make("local-dev", "-n", "dev", *given)
    assert done.returncode != 0
    assert "SERVICE=… says which: orchestrator scraper chunking embedding gateway-vm" in done.stderr


def test_alloy_env_is_checked_before_docker_is_asked_for() -> None:
    said = make("local-dev", "-n", "verify-configs").stdout
    checked, asked, verified = map(
        said.index, ("-m stacks.telemetry", "docker compose version", "-m chores.verify_configs")
    )
    assert checked < asked < verified


def test_in_a_services_folder_test_and_lint_are_about_that_service() -> None:
    assert "chores.tests scraper --" in make("scraper", "-n", "test").stdout
    assert "chores.lint scraper" in make("scraper", "-n", "lint").stdout
    assert "chores.lint scraper" in make("local-dev", "-n", "lint", "SERVICE=scraper").stdout


def test_a_python_that_is_too_old_is_one_clear_line(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    script = tmp_path / "local-dev" / "install.sh"
    script.parent.mkdir()
    script.write_text((REPOSITORY / "local-dev" / "install.sh").read_text())
    done = subprocess.run(
        ["sh", str(script)],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"No Python 3.11 or newer here (PYTHON={old})")
    assert len(done.stderr.splitlines()) == 1
