"""What telemetry is told by its environment: the standard's `OTEL_*`, and `PYROSCOPE_*`.

`OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT` and what else the SDK reads for itself have no field here; they
work as OpenTelemetry documents them.
"""

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from ml_shared.environment import EnvironmentSettings

EXPORT_TIMEOUT_SECONDS: Final = 2
# without a collector a full queue takes this long a batch, and a stopping process has to wait for it
SLOW_REQUEST_SECONDS: Final = 1.0
# a request that takes as long is kept although its trace is not
SAMPLE_RATE_HERTZ: Final = 100
_PROTOCOL: Final = "grpc"
_EXPORTERS: Final = frozenset({"otlp", "none", ""})


def _is_true(value: Any) -> Any:
    return value.strip().lower() == "true" if isinstance(value, str) else value  # the standard: all else is false


def _lowered(value: str) -> str:
    return value.strip().lower()


Flag = Annotated[bool, BeforeValidator(_is_true)]
"""True for `true`, however it is written, and for nothing else."""

Choice = Annotated[str, AfterValidator(_lowered)]
"""One of the standard's words, however it is written."""


class TelemetrySettings(EnvironmentSettings):
    """What telemetry needs, read where `ServiceSettings` reads it; that one is not made yet when telemetry starts."""

    SERVICE_NAME: str = "unknown"
    SERVICE_VERSION: str = "dev"
    ENVIRONMENT: str = "dev"
    LOG_LEVEL: str = "INFO"
    OTEL_SERVICE_NAME: str = ""
    OTEL_EXPORTER_OTLP_ENDPOINT: str = "http://alloy:4317"
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: str = ""
    OTEL_EXPORTER_OTLP_PROTOCOL: Choice = _PROTOCOL
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: Choice = ""
    OTEL_EXPORTER_OTLP_TIMEOUT: float = Field(default=EXPORT_TIMEOUT_SECONDS, gt=0)
    OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: float | None = Field(default=None, gt=0)
    OTEL_SDK_DISABLED: Flag = False
    OTEL_TRACES_EXPORTER: Choice = "otlp"
    OTEL_TRACES_SAMPLER: Choice = "parentbased_traceidratio"
    OTEL_TRACES_SAMPLER_ARG: float = Field(default=1.0, ge=0, le=1)
    SLOW_REQUEST_SECONDS: float = Field(default=SLOW_REQUEST_SECONDS, gt=0)
    PYROSCOPE_SERVER_ADDRESS: str = "http://alloy:4040"
    PYROSCOPE_APPLICATION_NAME: str = ""
    PYROSCOPE_SAMPLE_RATE: int = Field(default=SAMPLE_RATE_HERTZ, gt=0)
    PYROSCOPE_BASIC_AUTH_USER: str = ""
    PYROSCOPE_BASIC_AUTH_PASSWORD: SecretStr = SecretStr("")
    PYROSCOPE_AUTH_TOKEN: SecretStr = SecretStr("")
    PYROSCOPE_TENANT_ID: str = ""

    @property
    def name(self) -> str:
        """The name on spans and profiles."""
        return self.OTEL_SERVICE_NAME or self.SERVICE_NAME

    @property
    def log_name(self) -> str:
        """The name on log lines: the service's, whichever of its processes speaks."""
        return self.SERVICE_NAME if self.SERVICE_NAME != "unknown" else self.name

    @property
    def span_endpoint(self) -> str:
        """Where spans go; empty: nowhere."""
        if self.OTEL_TRACES_EXPORTER == "none":
            return ""
        return self.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or self.OTEL_EXPORTER_OTLP_ENDPOINT

    @property
    def span_timeout_seconds(self) -> float:
        """How long one batch of spans may take. In seconds, as the SDK for Python has it."""
        return self.OTEL_EXPORTER_OTLP_TRACES_TIMEOUT or self.OTEL_EXPORTER_OTLP_TIMEOUT

    def unsupported(self) -> list[str]:
        """Return what was asked for and is not built in, in words for whoever asked."""
        found = []
        protocol = self.OTEL_EXPORTER_OTLP_TRACES_PROTOCOL or self.OTEL_EXPORTER_OTLP_PROTOCOL
        if protocol != _PROTOCOL:
            found.append(f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol} is not built in: spans go by {_PROTOCOL}")
        if self.OTEL_TRACES_EXPORTER not in _EXPORTERS:
            found.append(f"OTEL_TRACES_EXPORTER={self.OTEL_TRACES_EXPORTER} is not built in: spans go by otlp")
        return found
