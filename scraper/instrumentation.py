"""Telemetry, to be imported and started before everything else; see ml_shared.instrumentation."""

from ml_shared.instrumentation import init_telemetry as init_telemetry
