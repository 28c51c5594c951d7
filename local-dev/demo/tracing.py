"""Where the trace that the demo names can be looked at: what is said of it is true of the fleet that runs."""

import os
from urllib.parse import urlsplit

import httpx
from fleet.layout import Layout, make
from fleet.telemetry import keeps_traces, spans_go_to

GRAFANA_SECONDS = 1.0


def how_to_see(trace_id: str, layout: Layout) -> list[str]:
    """Return lines for whoever wants to see a trace of the fleet with this state folder."""
    if keeps_traces(layout):
        return [f"{make('trace')} ID={trace_id}"]
    endpoint = spans_go_to(layout)
    if endpoint is None:
        return [f"this fleet sends no spans; `{make('down')}` and `{make('up')}` start one that keeps its traces"]
    lines = [f"its spans went to {endpoint}"]
    if grafana := _grafana_beside(endpoint):
        lines.append(f"{grafana}: Explore, Tempo, and that id")
    return lines


def _grafana_beside(endpoint: str) -> str | None:
    """Return the address of the Grafana of `make obs`, when spans go to this machine and one answers."""
    if urlsplit(endpoint).hostname not in ("127.0.0.1", "localhost"):
        return None
    grafana = f"http://localhost:{os.environ.get('GRAFANA_PORT') or 3000}"
    try:
        answer = httpx.get(f"{grafana}/api/health", timeout=GRAFANA_SECONDS, trust_env=False)
        return grafana if answer.is_success and "database" in answer.json() else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError):
        return None
