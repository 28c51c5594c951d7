"""Telemetry starts here, before anything that it instruments is imported; the code is ml_shared's."""

from ml_shared.instrumentation import init_telemetry as init_telemetry
