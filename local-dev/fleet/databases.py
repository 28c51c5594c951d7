"""The two PostgreSQL of the fleet: their data folders, and the databases in them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from fleet.errors import FleetError
from fleet.layout import Layout, write_private
from fleet.ports import HOST
from ml_shared.testing.postgres_setup import PostgresAccount, initialise, postgres_account

DATABASES = {"postgres": ("ml_jobs", "ml_content"), "postgres-vectors": ("ml_vectors",)}
PSQL_SECONDS = 60.0


def data_folder(layout: Layout, name: str) -> Path:
    """Return where a PostgreSQL keeps its data, and make what lies around it.

    That is the state folder, except for root on a system without user namespaces: there another user runs PostgreSQL,
    who may not enter the state folder.
    """
    account = postgres_account()
    if account.user is None:
        return layout.data / name
    note = layout.state / "foreign-data"
    if note.exists():
        folder = Path(note.read_text())
        if folder.is_dir() and folder.stat().st_uid == account.user:
            return folder / name
    folder = account.make_folder("ml-fleet-data-")
    write_private(note, str(folder))
    return folder / name


def prepare(data: Path, password: str) -> None:
    """Make a PostgreSQL's data folder if it is not there."""
    account = postgres_account()
    version = data / "PG_VERSION"
    if not data.exists():
        partial = data.with_name(f"{data.name}.new")
        _remove(partial)
        initialise(account, partial, password=password, throw_away=False)
        partial.rename(data)
    elif version.exists() and version.read_text().strip() != str(account.binaries.major):
        raise FleetError(
            f"{data} was made by PostgreSQL {version.read_text().strip()}, and this one is {account.binaries.major}: "
            "remove that folder (and what is in it) to start anew"
        )


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def create_databases(account: PostgresAccount, port: int, password: str, names: Iterable[str]) -> Callable[[], None]:
    """Return what makes those databases that do not exist yet."""
    statements = "".join(
        f"SELECT 'CREATE DATABASE {name}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"  # noqa: S608 - names of ours
        for name in names
    )
    return lambda: run_statements(account, port, password, statements)


def run_statements(account: PostgresAccount, port: int, password: str, statements: str) -> None:
    """Run what `psql` can read, as the superuser."""
    done = subprocess.run(
        [account.binaries.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", HOST, "-p", str(port), "-U", "postgres"],
        input=statements,
        env={"PATH": os.environ.get("PATH", os.defpath), "PGPASSWORD": password, "PGDATABASE": "postgres"},
        capture_output=True,
        text=True,
        timeout=PSQL_SECONDS,
        check=False,
    )
    if done.returncode:
        raise FleetError(f"PostgreSQL refused: {done.stderr.strip()}")
