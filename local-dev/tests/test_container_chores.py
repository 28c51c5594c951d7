"""`make verify-configs` and `make images`: what they ask Docker for, and that a failure is one."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from chores import audit, image_pins, images, refresh, verify_configs
from chores.containers import LEFT_OUT, Command, laid_out, run_all, services_of
from chores.folders import REPOSITORY, SERVICES
from chores.verify_configs import FILES, VERIFIERS, commands
from stacks.plan import STACKS

CONFIGURATION = re.compile(r":/etc/[\w./-]+\.(?:alloy|ya?ml|template)(?::ro)?$")
# Grafana has no command that checks its provisioning; tests hold those files
WITHOUT_A_VERIFIER = {"grafana/grafana"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with laid_out() as laid:
        copied = tmp_path_factory.mktemp("laid") / "out"
        shutil.copytree(laid, copied)
    return copied


def test_a_copy_has_an_env_of_its_own_and_nothing_of_the_checkouts_tests(folder: Path) -> None:
    for stack in STACKS:
        assert "<" not in re.sub(r"^#.*$", "", (folder / stack / ".env").read_text(), flags=re.MULTILINE)
        assert (folder / stack / ".env").stat().st_mode & 0o077 == 0
        assert not (folder / stack / "tests").exists()


def test_a_copy_has_no_credentials_that_a_program_might_show_with_its_error() -> None:
    names = [".env", "alloy.env", "alloy.env.example", ".env.example", "config.alloy"]
    assert LEFT_OUT("", names) == {".env", "alloy.env"}


def test_every_program_with_a_configuration_of_ours_is_asked_and_no_other(folder: Path) -> None:
    wanted = set()
    for stack, file in FILES:
        for name, service in services_of(folder / stack / file).items():
            mounts = [mount for mount in service.get("volumes", ()) if isinstance(mount, str)]
            if any(CONFIGURATION.search(mount) for mount in mounts):
                wanted.add((stack, name, service["image"].partition(":")[0]))
    asked = {command.name.rpartition(": ")[0] for command in commands(folder) if "compose config" not in command.name}
    assert asked == {f"{stack}: {name}" for stack, name, image in wanted if image not in WITHOUT_A_VERIFIER}
    assert {image for _, _, image in wanted} - WITHOUT_A_VERIFIER == set(VERIFIERS)


def test_every_stack_is_read_by_compose_alone_and_with_each_file_of_the_observability(folder: Path) -> None:
    found = [command.name for command in commands(folder) if "compose config" in command.name]
    assert len(found) == 3 * len(STACKS) + 1
    for command in commands(folder):
        if "compose config" in command.name:
            files = [word for word in command.words if word.endswith(".yml")]
            assert all((folder / command.folder / file).is_file() for file in files)


def test_each_service_is_built_and_each_container_of_its_image_tried(folder: Path) -> None:
    found = [command.name for command in images.commands(folder, SERVICES)]
    for service in SERVICES:
        ours = yaml.safe_load((REPOSITORY / service / "docker-compose.yml").read_text())["services"]
        containers = [name for name, one in ours.items() if one["image"].startswith("cloudcix/")]
        builds = [f"{name}: build" for name, one in ours.items() if "build" in one]
        assert f"{service}: build" in builds
        expected = [*builds, *(f"{service}: {name} imports what it runs" for name in containers)]
        assert [name for name in found if name.startswith((f"{service}: ", f"{service}-"))] == expected


def test_a_service_that_is_none_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert images.main(["nothing"]) == 1
    assert (
        capsys.readouterr().err == "no image of ours: nothing; there are orchestrator, scraper, chunking, embedding\n"
    )


def test_a_command_that_fails_or_is_missing_fails_the_whole_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = Command("good", ("true",), ".")
    bad = Command("bad", ("sh", "-c", "echo because; exit 3"), ".")
    missing = Command("missing", ("no-such-program",), ".")
    assert run_all("All", [good], tmp_path) == 0
    assert run_all("All", [good, bad, missing], tmp_path) == 1
    said = capsys.readouterr().out
    assert "because" in said
    assert "no-such-program" in said
    assert said.endswith("1 of 3 passed\n")
    assert run_all("None", [], tmp_path) == 1, "nothing was checked"


def test_a_failing_docker_fails_the_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\ncase "$*" in *validate*) echo broken; exit 1;; esac\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert verify_configs.main() == 1
    said = capsys.readouterr().out
    assert said.count("FAILED") == len(STACKS) + 1
    assert said.count("broken") == len(STACKS) + 1


def test_every_dockerfile_is_pinned_and_goes_into_the_request_that_refreshes_pins() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    ours = {name for name in tracked if name.endswith("/Dockerfile")}
    assert "scraper/renderer/Dockerfile" in ours
    assert {str(path.relative_to(REPOSITORY)) for place in image_pins.PLACES for path in REPOSITORY.glob(place)} >= ours
    refreshed = subprocess.run(
        ["git", "ls-files", "--", *refresh.PINS], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout.split()
    assert set(refreshed) >= ours


def test_every_file_of_pins_is_audited_and_one_that_can_not_be_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {str(path.relative_to(REPOSITORY)) for path in audit.requirement_files(REPOSITORY)}
    assert names >= {f"{folder}/requirements.txt" for folder in (*SERVICES, "local-dev")}
    for folder in ("good", "bad"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "requirements.txt").touch()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$*" in *--strict*bad/*) exit 1;; *--strict*) exit 0;; esac\nexit 2\n')
    python.chmod(0o755)
    monkeypatch.setattr(audit.sys, "executable", str(python))
    assert audit.main([], tmp_path) == 1
    assert capsys.readouterr().out.endswith("To be looked at: bad/requirements.txt\n")
    (tmp_path / "bad" / "requirements.txt").unlink()
    assert audit.main([], tmp_path) == 0
