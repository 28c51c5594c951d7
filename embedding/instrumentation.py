"""Telemetry of this service; the code is `ml_shared`'s, and this file is the same in every service."""

from ml_shared.instrumentation import init_telemetry as init_telemetry
