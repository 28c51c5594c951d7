"""The backup scripts without an engine: what keeps two copies alike, and a half-written dump from being taken for one."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
KEEPERS = ("orchestrator", "embedding")

FAKE_DOCKER = """#!/bin/sh
case "$*" in
    *pg_dump*) printf 'half a dump'; exit ${PG_DUMP:-0} ;;
    *pg_restore*) cat >/dev/null; exit ${PG_RESTORE:-0} ;;
esac
"""


def back_up(folder: Path, **statuses: str) -> "subprocess.CompletedProcess[str]":
    """Run `make backup` in a copy of the orchestrator's folder, with a docker whose commands end as `statuses` say."""
    for name in ("Makefile", "backup.sh"):
        (folder / name).write_text((REPOSITORY / "orchestrator" / name).read_text())
    docker = folder / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(FAKE_DOCKER)
    docker.chmod(0o755)
    path = f"{docker.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["make", "backup"],
        cwd=folder,
        env={"PATH": path, **statuses},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_the_scripts_are_the_same_wherever_a_database_is(script: str) -> None:
    assert len({(REPOSITORY / folder / script).read_bytes() for folder in KEEPERS}) == 1


@pytest.mark.parametrize("script", ["backup.sh", "restore.sh"])
def test_any_posix_shell_can_read_the_scripts(script: str) -> None:
    subprocess.run(["sh", "-n", REPOSITORY / "orchestrator" / script], check=True)


@pytest.mark.parametrize("folder", KEEPERS)
def test_whoever_uses_the_database_stands_still_while_it_is_replaced(folder: str) -> None:
    said = (REPOSITORY / folder / "Makefile").read_text()
    stopped = re.search(r"SERVICES='([^']*)'", said)
    migrate, store = re.search(r"MIGRATE_SERVICE=(\S+)", said), re.search(r"DATABASE_SERVICE=(\S+)", said)
    assert stopped
    assert migrate
    assert store
    services = yaml.safe_load((REPOSITORY / folder / "docker-compose.yml").read_text())["services"]
    ours = {name for name, service in services.items() if service["image"].startswith("cloudcix/")}
    watching = {name for name, service in services.items() if "POSTGRES_ADDRESS" in service.get("environment", {})}
    assert watching, "Alloy, whose exporter has sessions on the database"
    assert {*stopped[1].split(), migrate[1]} == ours | watching
    assert store[1] in services


def test_a_dump_that_is_whole_gets_its_name(tmp_path: Path) -> None:
    assert back_up(tmp_path).returncode == 0
    (dump,) = (tmp_path / "backups").glob("*.dump*")
    assert re.fullmatch(r"ml_jobs-\d{8}T\d{6}Z\.dump", dump.name)


@pytest.mark.parametrize("failing", ["PG_DUMP", "PG_RESTORE"])
def test_a_dump_that_broke_off_or_cannot_be_read_back_leaves_no_file(tmp_path: Path, failing: str) -> None:
    done = back_up(tmp_path, **{failing: "1"})
    assert done.returncode != 0
    assert "nothing was kept" in done.stderr
    assert [path.name for path in (tmp_path / "backups").iterdir()] == [".gitignore"]
