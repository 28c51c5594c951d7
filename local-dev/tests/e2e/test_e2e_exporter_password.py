"""PostgreSQL's exporter, whose code Alloy has in itself, with a password that no URL could carry as it is."""

from collections.abc import Iterator

import httpx
import pytest
from e2e_outside import Outside, free_address, running

from ml_shared.testing.nasty import PRINTABLE, PUNCTUATION
from ml_shared.testing.plugin import require
from ml_shared.testing.postgres_setup import postgres_account
from ml_shared.testing.servers import PostgresServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    require(postgres_account)
    server = PostgresServer()
    server.password = PRINTABLE
    with server:
        server.create_role(PUNCTUATION, PRINTABLE, scram_iterations=4096)  # its driver refuses fewer
        server.sql('GRANT pg_monitor TO "{}"'.format(PUNCTUATION.replace('"', '""')))
        yield server


@pytest.mark.parametrize(
    ("password", "up"), [(PRINTABLE, "pg_up 1"), (PRINTABLE[1:], "pg_up 0")], ids=["right", "wrong"]
)
def test_the_exporter_takes_name_and_password_from_the_environment(
    postgres: PostgresServer, password: str, up: str
) -> None:
    # as alloy_configs/parts/postgres.alloy has it, where another test holds it
    dsn = f"postgresql://127.0.0.1:{postgres.port}/postgres?sslmode=disable"
    at = free_address()
    url = f"http://{at}/metrics"
    environment = {"DATA_SOURCE_NAME": dsn, "PGUSER": PUNCTUATION, "PGPASSWORD": password}
    with running(Outside("prometheus-postgres-exporter", [f"--web.listen-address={at}"], url, environment)):
        assert up in httpx.get(url, timeout=60).text.splitlines()
