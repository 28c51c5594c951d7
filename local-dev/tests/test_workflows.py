"""The workflows: they call this repository's own commands, with no more rights than those need."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
MAKE = re.compile(r"make -C ([a-z-]+) ([a-z-]+)((?: [A-Z]+=(?:\"[^\"]*\"|[\w.-]+))*)")
PINNED = re.compile(r"- uses: [\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
ITS_OWN = "$/"
# GitHub's syntax for a workflow of the same repository and commit
READ_ONLY = {"contents": "read"}
WRITING = {("refresh.yml", "refresh"): {"contents": "write", "pull-requests": "write"}}
ON_A_PULL_REQUEST = {"lint", "test", "checklist", "images", "sbom", "verify-configs", "audit"}
WEEKLY = {"images", "sbom", "verify-configs", "test-compose", "audit", "refresh"}
NIGHTLY = {"test-model"}
EVERY_DAY = re.compile(r"\d+ \d+ \* \* \*")


def workflow(path: Path) -> dict[str, Any]:
    # YAML takes `on` for a truth value
    found: dict[str, Any] = {str(key): value for key, value in yaml.safe_load(path.read_text()).items()}
    return {**found, "on": found.pop("True")}


def jobs() -> list[Any]:
    return [
        pytest.param(path, name, job, id=f"{path.stem}-{name}")
        for path in FILES
        for name, job in workflow(path)["jobs"].items()
    ]


def commands(path: Path) -> list[str]:
    steps = [step for job in workflow(path)["jobs"].values() for step in job.get("steps", ())]
    return [step["run"] for step in steps if "run" in step]


def targets(path: Path) -> set[str]:
    return {match[2] for command in commands(path) if (match := MAKE.fullmatch(command))}


def scheduled(*, nightly: bool) -> set[str]:
    found: set[str] = set()
    for path in FILES:
        times = [time["cron"] for time in workflow(path)["on"].get("schedule", ())]
        if times and nightly == any(EVERY_DAY.fullmatch(time) for time in times):
            found |= targets(path)
    return found


@pytest.mark.parametrize(("path", "name", "job"), jobs())
def test_a_job_runs_nothing_but_make_targets_that_there_are(path: Path, name: str, job: dict[str, Any]) -> None:
    known = {
        folder: set(re.findall(r"^([a-z-]+):", (REPOSITORY / folder / "Makefile").read_text(), re.MULTILINE))
        for folder in ("local-dev", "orchestrator")
    }
    for step in job.get("steps", ()):
        assert ("run" in step) != ("uses" in step)
        if "run" in step:
            match = MAKE.fullmatch(step["run"])
            assert match, f"{step['run']!r} is no single make command"
            assert match[2] in known[match[1]]


@pytest.mark.parametrize(("path", "name", "job"), jobs())
def test_a_job_ends_by_itself_and_may_do_no_more_than_it_has_to(path: Path, name: str, job: dict[str, Any]) -> None:
    assert job["permissions"] == WRITING.get((path.name, name), READ_ONLY)
    assert ("timeout-minutes" in job) != ("uses" in job)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_nothing_is_permitted_beyond_the_jobs_and_no_checkout_keeps_a_key(path: Path) -> None:
    assert workflow(path)["permissions"] == {}
    for job in workflow(path)["jobs"].values():
        for step in job.get("steps", ()):
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    used = [line.strip() for line in path.read_text().splitlines() if re.search(r"\buses: (?!\$/)", line)]
    for line in used:
        assert PINNED.fullmatch(line), line
    reused = [job["uses"] for job in workflow(path)["jobs"].values() if "uses" in job]
    for name in reused:
        assert (REPOSITORY / name.removeprefix(ITS_OWN)).is_file()


def test_what_a_pull_request_has_to_pass_and_what_is_done_each_night_and_each_week() -> None:
    on_request = {target for path in FILES if "pull_request" in workflow(path)["on"] for target in targets(path)}
    assert on_request | targets(FOLDER / "check.yml") >= ON_A_PULL_REQUEST
    assert scheduled(nightly=True) == NIGHTLY
    assert scheduled(nightly=False) == WEEKLY


def test_every_supported_python_is_tried_and_the_last_job_waits_for_all_others() -> None:
    every = workflow(FOLDER / "ci.yml")["jobs"]
    assert every["check"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert every["check"]["uses"] == f"{ITS_OWN}.github/workflows/check.yml"
    assert set(every["required"]["needs"]) == set(every) - {"required"}
    assert every["required"]["if"] == "always()"


@pytest.mark.parametrize(
    ("results", "status"),
    [("success success skipped", 0), ("success failure", 2), ("cancelled", 2), ("", 0)],
)
def test_the_last_job_fails_with_any_other(results: str, status: int) -> None:
    command = ["make", "-s", "-C", "local-dev", "required"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={"PATH": "/usr/bin:/bin", "RESULTS": results}, capture_output=True, check=False
    )
    assert done.returncode == status, done.stderr


def zizmor(folder: Path) -> "subprocess.CompletedProcess[str]":
    program = Path(sys.executable).with_name("zizmor")
    command = [str(program), "--offline", "--no-progress", "--strict-collection", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    done = zizmor(REPOSITORY / ".github")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("run: make -C local-dev audit", "run: echo ${{ github.head_ref }}", "template-injection"),
        ("          persist-credentials: false\n", "          fetch-depth: 1\n", "artipacked"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "unpinned-uses"),
    ],
)
def test_zizmor_finds_what_is_planted(tmp_path: Path, old: str, new: str, finding: str) -> None:
    folder = tmp_path / ".github" / "workflows"
    shutil.copytree(FOLDER, folder)
    text = (folder / "audit.yml").read_text()
    assert old in text
    (folder / "audit.yml").write_text(text.replace(old, new))
    done = zizmor(tmp_path)
    assert done.returncode != 0
    assert finding in done.stdout
