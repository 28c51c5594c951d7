"""What a variable of `alloy.env` may hold. A check returns what is wrong with a value, or nothing, and never the value.

Alloy ends at its start over a token, headers or a percentage that it can't read, with an error of Go's; to an address that
only looks right it sends all the same, and drops what is refused there.
"""

import json
import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from ml_shared.store_urls import POSTGRES_SCHEMES, StoreUrlError, check_store_url
from stacks.dotenv import PLACEHOLDER

Check = Callable[[str], str | None]

ENDPOINTS: Final = (
    *("TEMPO_REMOTE_ENDPOINT", "LOKI_REMOTE_ENDPOINT"),
    *("MIMIR_REMOTE_ENDPOINT", "PYROSCOPE_REMOTE_ENDPOINT"),
)
TOKEN: Final = "LGTM_BEARER_TOKEN"  # noqa: S105 - a variable's name
HEADERS: Final = tuple(f"{name}_HEADERS_JSON" for name in ("LGTM", "TEMPO", "LOKI", "MIMIR", "PYROSCOPE"))
SAMPLING: Final = "TRACE_SAMPLING_PERCENT"
DSN: Final = "POSTGRES_EXPORTER_DSN"
RIGHT: Final = {
    "VM_NAME": "orchestrator-1",
    "TEMPO_REMOTE_ENDPOINT": "https://<lgtm-cluster>/tempo",
    "LOKI_REMOTE_ENDPOINT": "https://<lgtm-cluster>/loki/api/v1/push",
    "MIMIR_REMOTE_ENDPOINT": "https://<lgtm-cluster>/api/v1/push",
    "PYROSCOPE_REMOTE_ENDPOINT": "https://<lgtm-cluster>/pyroscope",
    TOKEN: "<the token alone>",
    **dict.fromkeys(HEADERS, """'{"X-Scope-OrgID": "<tenant>"}'"""),
    SAMPLING: "100",
    "ALLOY_LOG_LEVEL": "info",
    DSN: "postgresql://alloy:<password>@postgres:5432/ml_jobs?sslmode=disable",
}

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|[0-9a-fA-F:.]*:[0-9a-fA-F:.]*")
_LOCAL = re.compile(r"localhost|127\..*|::1|0\.0\.0\.0", re.IGNORECASE)
_REMOTE_WRITE = re.compile(r".*/api/(?:v1/(?:push|write|receive|remote_write)|prom/push|v1/prom(?:/remote)?/write)")
# Mimir, Prometheus and VictoriaMetrics, Thanos, Amazon; Grafana Cloud and Cortex; InfluxDB and M3
_QUERY_PREFIX = re.compile(r".*/prometheus/api/v1/write")
_VICTORIA_CLUSTER = re.compile(r".*/insert/[^/]+/prometheus/api/v1/write")
_B68_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# RFC 6750
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?")
_PERCENT = re.compile(r"(?:0|[1-9]\d{0,2})(?:\.\d+)?")
_SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
# what the exporter's driver knows


def _address(value: str) -> SplitResult | str:
    """Return an address' parts, or what is wrong with it."""
    if PLACEHOLDER.search(value):
        return "still has a placeholder of the example in it"
    if not re.fullmatch(r"[!-~]+", value):
        return "has a blank in it, or another character that no URL has"
    try:
        parts = urlsplit(value)
        host, port_is_wrong = parts.hostname or "", parts.port == 0
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https"):
        return "does not begin with https:// (or http://)"
    if "@" in parts.netloc:
        return "has a user name or password in it: those go into LGTM_HEADERS_JSON, as basic authentication"
    if not _HOST.fullmatch(host) or port_is_wrong or parts.netloc.endswith(":"):
        return "has no host, or no port behind its colon"
    if _LOCAL.fullmatch(host):
        return "names Alloy's own container: the cluster has another address"
    if "?" in value or "#" in value:
        return "has a query or a fragment behind its path"
    return parts


def _endpoint(path_fault: Callable[[SplitResult], str | None]) -> Check:
    def check(value: str) -> str | None:
        parts = _address(value)
        return parts if isinstance(parts, str) else path_fault(parts)

    return check


def _tempo(parts: SplitResult) -> str | None:
    if parts.path.rstrip("/").endswith("/v1/traces"):
        return "already ends in /v1/traces, which Alloy adds"
    if parts.port == 4317:
        return "has port 4317, which is OTLP's for gRPC: Alloy sends OTLP over HTTP, whose port is 4318"
    return None


def _loki(parts: SplitResult) -> str | None:
    return None if parts.path.endswith("/loki/api/v1/push") else "does not end in /loki/api/v1/push"


def _mimir(parts: SplitResult) -> str | None:
    if _QUERY_PREFIX.fullmatch(parts.path) and not _VICTORIA_CLUSTER.fullmatch(parts.path):
        return (
            "puts Prometheus' path behind Mimir's prefix for queries, where Mimir answers 404 and every sample is lost: "
            "Mimir takes remote writes at /api/v1/push, Prometheus at /api/v1/write, Grafana Cloud at /api/prom/push"
        )
    if not _REMOTE_WRITE.fullmatch(parts.path):
        return (
            "ends in a path that no server takes remote writes at: "
            "it is /api/v1/push of Mimir, /api/v1/write of Prometheus, /api/prom/push of Grafana Cloud"
        )
    return None


def _pyroscope(parts: SplitResult) -> str | None:
    path = parts.path.rstrip("/")
    if path.endswith(("/ingest", "/push.v1.PusherService/Push")):
        return "ends in a path that Alloy adds by itself"
    return None


def _vm_name(value: str) -> str | None:
    if PLACEHOLDER.search(value):
        return "still has a placeholder of the example in it"
    return None if re.fullmatch(r"[^\x00-\x1f\x7f]+", value) else "has a control character in it"


def _token(value: str) -> str | None:
    if PLACEHOLDER.fullmatch(value):
        return "is still a placeholder"
    if re.match(r"bearer\b", value, re.IGNORECASE):
        return "is the token alone, without the word Bearer"
    if not _B68_TOKEN.fullmatch(value):
        return (
            "has a character that no bearer token has: those are letters, digits and -._~+/, with = at the end (RFC 6750); "
            "for anything else there is LGTM_HEADERS_JSON"
        )
    return None


def _headers(value: str) -> str | None:
    names: list[str] = []

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        names.extend(name.lower() for name, _ in found)
        return dict(found)

    try:
        headers = json.loads(value, object_pairs_hook=pairs)
    except ValueError:
        return "is no JSON (in alloy.env it stands in single quotes)"
    if not isinstance(headers, dict) or not all(isinstance(one, str) for one in headers.values()):
        return "is no JSON object whose values are strings"
    if len(set(names)) < len(names):
        return "names a header twice"
    if not all(map(_HEADER_NAME.fullmatch, headers)):
        return "has a name that no header can have: letters, digits and hyphens make one"
    if not all(map(_HEADER_VALUE.fullmatch, headers.values())):
        return "has a value that no header can have: printable ASCII characters make one, without a blank at its ends"
    if any(map(PLACEHOLDER.search, headers.values())):
        return "still has a placeholder of the example in it"
    return None


def _percent(value: str) -> str | None:
    if not _PERCENT.fullmatch(value) or float(value) > 100:
        return "is no number from 0 to 100, without a sign, such as 10 or 2.5"
    return None


def _level(value: str) -> str | None:
    return None if value in ("debug", "info", "warn", "error") else "is none of debug, info, warn and error"


def _password(value: str) -> str | None:
    return "is still a placeholder" if PLACEHOLDER.fullmatch(value) else None


def _dsn(value: str) -> str | None:
    if PLACEHOLDER.search(value):
        return "still has a placeholder of the example in it"
    try:
        check_store_url(value, tuple(scheme for scheme in POSTGRES_SCHEMES if "+" not in scheme))
    except StoreUrlError as error:
        return f"is refused, {error}"
    parts = urlsplit(value)
    if not parts.username or not parts.password:
        return "lacks the role's name or password: without them the database's owner would be used"
    if " " in unquote(parts.username + parts.password):
        return "has a space (%20) in its name or password, where Alloy would divide it: choose another password"
    if not parts.path.strip("/"):
        return "names no database"
    if parse_qs(parts.query).get("sslmode", ["require"])[-1] not in _SSL_MODES:
        return f"has an sslmode that the exporter does not know: it knows {', '.join(_SSL_MODES)}"
    return None


CHECKS: Final[dict[str, Check]] = {
    "VM_NAME": _vm_name,
    "TEMPO_REMOTE_ENDPOINT": _endpoint(_tempo),
    "LOKI_REMOTE_ENDPOINT": _endpoint(_loki),
    "MIMIR_REMOTE_ENDPOINT": _endpoint(_mimir),
    "PYROSCOPE_REMOTE_ENDPOINT": _endpoint(_pyroscope),
    TOKEN: _token,
    **dict.fromkeys(HEADERS, _headers),
    SAMPLING: _percent,
    "ALLOY_LOG_LEVEL": _level,
    "REDIS_PASSWORD": _password,
    DSN: _dsn,
}
