"""A password of every printable character: in an `.env`, through Compose, the backup scripts' shell and the health checks."""

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dotenv import dotenv_values
from stacks.dotenv import DotenvError, fill, read

from ml_shared.testing.nasty import PRINTABLE, PUNCTUATION
from ml_shared.testing.plugin import require
from ml_shared.testing.postgres_setup import postgres_account
from ml_shared.testing.servers import PostgresServer

REPOSITORY = Path(__file__).resolve().parents[2]
KEEPERS = {"orchestrator": "postgres", "embedding": "postgres-vectors"}
SPECIAL = "\\'\"$#{} =`!&;|*"
# does what `docker compose exec -T <service>` does, on this machine
FAKE_DOCKER = """#!/bin/sh
while [ "$1" != exec ]; do shift; done
shift 3
exec "$@"
"""
ARGUMENTS = '#!/bin/sh\nfor one in "$@"; do printf \'<%s>\' "$one"; done\n'


def secrets() -> list[str]:
    """Every character alone, in each place and beside each other that is special somewhere; and some at random."""
    at_random = random.Random(5)
    return [
        *(form.format(one) for one in PRINTABLE for form in ("{}", "{}b", "a{}", "a{}b")),
        *(f"{first}{second}" for first in SPECIAL for second in SPECIAL),
        *("".join(at_random.choices(SPECIAL + "ab", k=9)) for _ in range(300)),
        *(PRINTABLE, PRINTABLE[::-1], "$$", "${A}", "a\\", "a\\'"),
    ]


def written(values: list[str]) -> str:
    names = [f"V{number}" for number in range(len(values))]
    return fill("".join(f"{name}=<value>\n" for name in names), dict(zip(names, values, strict=True)))


def test_an_env_gives_back_what_was_put_in() -> None:
    found = read(written(secrets()))
    assert found.faults == {}
    assert list(found.values()) == secrets()


def test_a_value_that_looks_like_a_placeholder_is_no_placeholder_and_is_not_repeated() -> None:
    assert read(fill("KEY=<key>\n", {"KEY": "<s3cret>"})) == {"KEY": "<s3cret>"}
    with pytest.raises(DotenvError, match="OTHER") as refused:
        fill("KEY=<key>\nOTHER=<other>\n", {"KEY": "<s3cret>"})
    assert "s3cret" not in str(refused.value)


def test_a_process_without_compose_reads_the_same_but_for_a_dollar_beside_a_quote(tmp_path: Path) -> None:
    values = [one for one in secrets() if not ("$" in one and re.search(r"['\\]|\$\{", one))]
    (tmp_path / ".env").write_text(written(values))
    assert list(dotenv_values(tmp_path / ".env").values()) == values


def compose_plugin() -> list[str]:
    """Return Compose's command; it needs no engine to read files."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            said = subprocess.run([*command, "version"], capture_output=True, text=True, check=False).stdout
            if re.search(r"version v?[2-9]", said):  # the first one was another program
                return command
    pytest.skip("no docker compose on the PATH: what it reads was compared where there is one")


def test_compose_hands_on_what_was_put_in(tmp_path: Path) -> None:
    command, values = compose_plugin(), secrets()
    names = {f"W{number}": f"${{V{number}}}" for number in range(len(values))}
    services = {"one": {"image": "none", "env_file": ".env", "environment": names}}
    (tmp_path / "docker-compose.yml").write_text(json.dumps({"services": services}))
    (tmp_path / ".env").write_text(written(values))
    command += ["-f", "docker-compose.yml", "config", "--format", "json"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    found = json.loads(said)["services"]["one"]["environment"]
    for number, value in enumerate(values):
        for name in (f"V{number}", f"W{number}"):  # by env_file, and by interpolation; `config` doubles each $
            assert (found[name] or "").replace("$$", "$") == value


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    require(postgres_account)
    server = PostgresServer()
    server.password = PRINTABLE
    with server:
        server.create_role(PUNCTUATION, PRINTABLE)
        yield server


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_a_script_reaches_the_database_as_a_role_of_any_name_and_password(
    postgres: PostgresServer, tmp_path: Path, script: str
) -> None:
    text = (REPOSITORY / "orchestrator" / script).read_text()
    functions = re.findall(r"^(?:compose|in_database)\(\) \{.*?\}$", text, re.MULTILINE | re.DOTALL)
    assert functions
    (tmp_path / "docker").write_text(FAKE_DOCKER)
    (tmp_path / "docker").chmod(0o755)
    asking = [*functions, 'in_database psql -XqAt -d postgres -c "SELECT current_user"']
    binaries = postgres_account().binaries.folder
    done = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(asking)],
        env={
            "PATH": os.pathsep.join([str(tmp_path), str(binaries), os.environ["PATH"]]),
            "PGHOST": "127.0.0.1",
            "PGPORT": str(postgres.port),
            "DATABASE_SERVICE": "postgres",
            "POSTGRES_USER": PUNCTUATION,
            "POSTGRES_PASSWORD": PRINTABLE,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"{PUNCTUATION}\n", "")


@pytest.mark.parametrize("stack", KEEPERS)
def test_a_health_check_asks_as_a_role_of_any_name(tmp_path: Path, stack: str) -> None:
    service = yaml.safe_load((REPOSITORY / stack / "docker-compose.yml").read_text())["services"][KEEPERS[stack]]
    kind, line = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    (tmp_path / "pg_isready").write_text(ARGUMENTS)
    (tmp_path / "pg_isready").chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", line.replace("$$", "$")],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "POSTGRES_USER": PUNCTUATION, "POSTGRES_DB": "ml"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"<-h><127.0.0.1><-U><{PUNCTUATION}><-d><ml>"


@pytest.mark.parametrize("stack", KEEPERS)
def test_no_url_of_an_example_has_a_password_in_it_and_the_drivers_get_it_beside(stack: str) -> None:
    example = (REPOSITORY / stack / ".env.example").read_text()
    urls = re.findall(r"^\w+_URL=(postgresql\S+)$", example, re.MULTILINE)
    assert urls
    assert not [url for url in urls if "@" in url]
    for name, service in yaml.safe_load((REPOSITORY / stack / "docker-compose.yml").read_text())["services"].items():
        if name == "alloy" or "DATABASE_URL" in service.get("environment", {}):
            given = service["environment"]
            assert given["PGUSER"] == "${POSTGRES_USER:?set it in .env}"
            assert given["PGPASSWORD"] == "${POSTGRES_PASSWORD:?set it in .env}"
