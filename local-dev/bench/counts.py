"""How often a fleet's processes speak with each other: HTTP requests, SQL statements, Redis commands."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
from fleet import Fleet, FleetError
from fleet.composition import REDIS_MEMORY
from fleet.databases import DATABASES, run_statements
from prometheus_client.parser import text_string_to_metric_families

from ml_shared.names import Service
from ml_shared.testing.postgres_setup import postgres_account
from ml_shared.testing.redis_setup import redis_reply

_COMMAND: Final = re.compile(r"^cmdstat_(\w+):calls=(\d+)", re.MULTILINE)
_READS: Final = re.compile(r"^total_reads_processed:(\d+)", re.MULTILINE)
_STATEMENT: Final = re.compile(rb"LOG:  (?:statement|execute [^:]+): (.*(?:\n\t.*)*)")
_TEXT_BYTES: Final = 110
ASKED: Final = frozenset({"info", "auth", "quit", "ping"})
# what this file itself asks
OWN_STATEMENTS: Final = ("ALTER SYSTEM", "SELECT pg_reload_conf", "SELECT pg_sleep")
LOGGED: Final = {"log_statement": "all", "log_parameter_max_length": "0", "log_min_duration_statement": "-1"}


def http_requests(fleet: Fleet) -> Counter[str]:
    """Return how many requests each service has answered since it started, by `service method route`."""
    found: Counter[str] = Counter()
    for service in Service:
        text = httpx.get(fleet.addresses.url(service, "/metrics"), trust_env=False).raise_for_status().text
        for family in text_string_to_metric_families(text):
            if family.name == "ml_http_requests":
                for sample in family.samples:
                    if sample.name.endswith("_total"):
                        labels = sample.labels
                        found[f"{service} {labels['method']} {labels['route']}"] += round(sample.value)
    with (fleet.layout.logs / "gateway" / "access.log").open("rb") as log:
        found["gateway"] = sum(1 for _ in log)
    return found


def redis_commands(fleet: Fleet) -> tuple[Counter[str], Counter[str]]:
    """Return how many commands each Redis has run since it started, by `server command`, and what reached it, by server.

    A script's own commands are commands, too. What reached it are reads of sockets: a pipeline is one.
    """
    commands: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for name in REDIS_MEMORY:
        said = redis_reply(fleet.ports[name], fleet.keys[name], "INFO", "all").decode().replace("\r", "")
        for command, calls in _COMMAND.findall(said):
            if command not in ASKED:
                commands[f"{name} {command}"] = int(calls)
        reads[name] = int(_READS.findall(said)[0]) if _READS.search(said) else 0
    return commands, reads


@contextmanager
def statements_logged(fleet: Fleet) -> Iterator[Counter[str]]:
    """Have both PostgreSQL log their statements during the block; afterwards they are counted, by `server statement`.

    This costs them time, so what is measured otherwise is not measured meanwhile. No value is logged.
    """
    counted: Counter[str] = Counter()
    _set(fleet, [f"ALTER SYSTEM SET {name} = '{value}'" for name, value in LOGGED.items()])
    began = {name: fleet.log(name).stat().st_size for name in DATABASES}
    yield counted
    _set(fleet, [f"ALTER SYSTEM RESET {name}" for name in LOGGED])
    for name in DATABASES:
        said = fleet.log(name).read_bytes()
        if len(said) < began[name]:
            raise FleetError(f"the log of {name} was rotated; count fewer pages")
        counted.update(
            {f"{name} {statement}": times for statement, times in statements_in(said[began[name] :]).items()}
        )


def statements_in(log: bytes) -> Counter[str]:
    """Return how often each statement stands in what PostgreSQL logged, those of this file left out."""
    found = (b" ".join(words.split())[:_TEXT_BYTES].decode(errors="replace") for words in _STATEMENT.findall(log))
    return Counter(statement for statement in found if not statement.startswith(OWN_STATEMENTS))


def _set(fleet: Fleet, statements: list[str]) -> None:
    for name in DATABASES:
        text = ";\n".join([*statements, "SELECT pg_reload_conf()", "SELECT pg_sleep(0.2)"]) + ";\n"
        run_statements(postgres_account(), fleet.ports[name], fleet.keys[name], text)
