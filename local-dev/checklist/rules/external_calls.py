"""Calls that leave the process are instrumented (httpx, Redis, PostgreSQL, Celery) or stand in a span of ours."""

import ast
from collections.abc import Iterator

from checklist.findings import Finding, failed, held, passed, review
from checklist.fleet import Fleet, spans_around

INSTRUMENTED = {
    "httpx": "HTTPXClientInstrumentor",
    "redis": "RedisInstrumentor",
    "asyncpg": "StatementInstrumentor",
    "celery": "CeleryInstrumentor",
}
RAW = (
    *("requests.", "aiohttp.", "urllib.request.", "urllib3.", "http.client.", "grpc.", "websockets.", "boto3."),
    *("smtplib.", "ftplib.", "paramiko.", "psycopg.", "psycopg2.", "pymongo."),
)
SOCKETS = frozenset(
    {"open_connection", "create_connection", "connect_tcp", "getaddrinfo", "sock_connect", "gethostbyname"}
)
# below any library: whoever opens connections himself says in which span they are
WRAPPED = {"aiohttp": "ml-shared/ml_shared/web/wire.py"}
# its instrumentation puts errors' own text on spans; this module makes the span of each call, which its tests hold
NOT_TRACED = frozenset({"ml-shared/ml_shared/probe.py"})
# a container's health check, a process of its own without telemetry


def check(fleet: Fleet) -> Iterator[Finding]:
    """Look at the instrumentations, and at every call of a library or of a socket that has none."""
    shared = fleet.shared("instrumentation.py")
    started = {name.rpartition(".")[2]: call.lineno for call, name in shared.calls()}
    started |= dict(_used_as_classes(shared.tree))
    for library, instrumentor in INSTRUMENTED.items():
        wrong = f"{instrumentor} is not started: calls by {library} have no span"
        line = started.get(instrumentor, 0)
        yield held(instrumentor in started, shared.path, line, f"{library} is instrumented", wrong)
    for module in fleet.code():
        for call, name in module.calls():
            method = name.rpartition(".")[2]
            raw = name.startswith(RAW) and name.partition(".")[0] in {one.partition(".")[0] for one in module.imported}
            if (not raw and method not in SOCKETS) or module.path in NOT_TRACED:
                continue
            if WRAPPED.get(name.partition(".")[0]) == module.path:
                yield passed(module.path, call.lineno, f"{name} where calls have spans of ours")
            elif spans_around(module, call):
                yield passed(module.path, call.lineno, f"{name} in a span of its own")
            elif method in SOCKETS:
                yield review(module.path, call.lineno, f"`{method}` opens a connection; which span is it in?")
            else:
                wrong = f"`{name}` is neither instrumented nor in a span; use httpx, or put work_span(…) around it"
                yield failed(module.path, call.lineno, wrong)


def _used_as_classes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield instrumentors that are asked to instrument one client rather than all."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr.startswith("instrument"):
            yield node.value.id, node.lineno
