"""`docker compose config` accepts each stack with a filled `.env`, and names what is missing from it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from compose_engine import run
from compose_fleet import REPOSITORY, lay_out, variables
from compose_outside import Outside
from stacks.plan import STACKS

OBSERVE = "docker-compose.observe.yml"
REQUIRED = {
    stack: sorted(set(re.findall(r"\$\{([A-Z0-9_]+):\?", (REPOSITORY / stack / "docker-compose.yml").read_text())))
    for stack in STACKS
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The five stacks with `.env` files, beside them the observability stack; nothing runs."""
    folder = tmp_path_factory.mktemp("stacks")
    lay_out(folder, variables(Outside("192.0.2.1", 23_050, folder, folder / "keys", "a-key"), "a-key"))
    (folder / "local-dev").symlink_to(REPOSITORY / "local-dev")
    return folder


@pytest.fixture
def env_file(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The `.env` of the test's stack, which the test may change."""
    path = folder / request.getfixturevalue("stack") / ".env"
    text = path.read_text()
    yield path
    path.write_text(text)


def config(folder: Path, *files: str) -> tuple[int, str]:
    chosen = [word for file in files for word in ("-f", file)]
    done = run("docker", "compose", *chosen, "config", "--quiet", cwd=folder, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("stack", STACKS)
def test_a_filled_env_is_all_that_a_stack_needs(folder: Path, stack: str) -> None:
    assert config(folder / stack, "docker-compose.yml") == (0, "")


@pytest.mark.parametrize("stack", STACKS)
def test_the_observability_stack_goes_with_each_of_them(folder: Path, stack: str) -> None:
    assert config(folder / stack, "docker-compose.yml", f"../local-dev/{OBSERVE}") == (0, "")


def test_the_observability_stack_stands_alone() -> None:
    assert config(REPOSITORY / "local-dev", OBSERVE) == (0, "")


@pytest.mark.parametrize("written", ["missing", "empty"])
@pytest.mark.parametrize(("stack", "name"), [(stack, name) for stack in STACKS for name in REQUIRED[stack]])
def test_a_variable_without_a_value_stops_up_with_its_name(
    folder: Path, env_file: Path, stack: str, name: str, written: str
) -> None:
    line = f"{name}=\n" if written == "empty" else ""
    text, found = re.subn(rf"^{name}=.*\n", line, env_file.read_text(), flags=re.MULTILINE)
    assert found == 1
    env_file.write_text(text)
    status, said = config(folder / stack, "docker-compose.yml")
    assert status != 0
    assert re.search(rf"\b{name}\b", said), said


@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_comes_up_without_an_env(folder: Path, env_file: Path, stack: str) -> None:
    env_file.unlink()
    status, said = config(folder / stack, "docker-compose.yml")
    assert status != 0
    assert re.search(r"\.env\b", said), said
