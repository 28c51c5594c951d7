"""Where the fleet's spans and profiles go: to whom its starter names, to its own sink, or nowhere."""

import os
from collections.abc import Mapping

from fleet.layout import Layout, read_json
from ml_shared.telemetry.urls import told_url

TRACES = "traces"
# the program that keeps the last traces
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
EXPORTER = "OTEL_TRACES_EXPORTER"
NO_EXPORTER = "none"
SHARE = "OTEL_TRACES_SAMPLER_ARG"
NOTHING = "0"
# spans that nobody gets were a quarter of a page's processor time; their ids are in logs and answers all the same
SINK_DELAY_MILLISECONDS = "1000"
# a fifth of the default: whoever has just seen something asks for its trace at once


def wants_sink(environment: Mapping[str, str]) -> bool:
    """Say whether the fleet is to keep its traces itself: its starter names no other place, nor wants none kept."""
    return not environment.get(ENDPOINT) and environment.get(EXPORTER, "").strip().lower() != NO_EXPORTER


def telemetry_settings(sink: str | None) -> dict[str, str]:
    """Return the settings of every service.

    Spans go where the caller's own OTEL_EXPORTER_OTLP_ENDPOINT says, or else to the sink, or else nowhere; profiles
    where the caller says, or nowhere.
    """
    settings = {"PYROSCOPE_SERVER_ADDRESS": os.environ.get("PYROSCOPE_SERVER_ADDRESS", "")}
    if endpoint := os.environ.get(ENDPOINT):
        return settings | {ENDPOINT: endpoint}
    if sink:
        return settings | {ENDPOINT: sink, "OTEL_BSP_SCHEDULE_DELAY": SINK_DELAY_MILLISECONDS}
    return settings | {EXPORTER: NO_EXPORTER, SHARE: NOTHING}


def keeps_traces(layout: Layout) -> bool:
    """Say whether the fleet that runs has the sink."""
    return (layout.programs / f"{TRACES}.json").exists()


def spans_go_to(layout: Layout) -> str | None:
    """Return where the fleet that runs sends its spans, as it may be told; None for nowhere, and when none runs."""
    program = read_json(layout.programs / "orchestrator.json")
    settings = program.get("environment", {}) if isinstance(program, dict) else {}
    endpoint = settings.get(ENDPOINT)
    return None if not endpoint or settings.get(EXPORTER) == NO_EXPORTER else told_url(endpoint)
