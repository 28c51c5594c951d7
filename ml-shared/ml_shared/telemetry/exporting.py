"""Sending spans, without a word for each batch that found no collector."""

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from ml_shared.telemetry.settings import TelemetrySettings

if TYPE_CHECKING:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

logger = logging.getLogger(__name__)

_LOUD: Final = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk._shared_internal")
# two lines a batch without a collector, and one more when the queue is full


def exporter_class() -> "type[OTLPSpanExporter]":
    """Return what speaks OTLP; importing it takes four megabytes, and a process may fork before it makes one of it."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes plain text past all logging, and once it is imported
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter


def open_processor(settings: TelemetrySettings) -> SpanProcessor:
    """Return what sends this process' spans to the collector."""
    endpoint = settings.span_endpoint
    exporter = exporter_class()(endpoint=endpoint, timeout=settings.span_timeout_seconds)
    return BatchSpanProcessor(AnnouncingExporter(exporter, endpoint))


class AnnouncingExporter(SpanExporter):
    """Says once that spans get lost, and why, and once that they are taken again.

    Parameters
    ----------
    exporter
        What sends them; its own log lines are kept back unless the level is DEBUG.
    endpoint
        Where, for the log line.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        self._exporter = exporter
        self._endpoint = endpoint
        self._taken = True
        self._reason = ""
        for name in _LOUD:
            logging.getLogger(name).addFilter(self._note)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch."""
        result = self._exporter.export(spans)
        taken = result is SpanExportResult.SUCCESS
        if taken is not self._taken:
            self._taken = taken
            if taken:
                logger.info("spans are taken again", extra={"endpoint": self._endpoint})
            else:
                fields = {"endpoint": self._endpoint, "reason": self._reason}
                logger.warning("spans get lost until their collector answers", extra=fields)
        return result

    def _note(self, record: logging.LogRecord) -> bool:
        """Keep a reason to be told once; an unforeseen one passes, with its traceback."""
        if record.exc_info or logging.getLogger().isEnabledFor(logging.DEBUG):
            return True
        self._reason = record.getMessage()
        return False

    def shutdown(self) -> None:
        """Stop."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)
