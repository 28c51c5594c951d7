"""A real OTLP/gRPC receiver on loopback that keeps the spans it is sent: what a collector would have got."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

WAIT_SECONDS: Final = 40.0


@dataclass(frozen=True)
class ReceivedSpan:
    """A span as it arrived. Ids are hexadecimal, `parent_id` is empty for a root."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    links: list[str]
    error: bool


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    return getattr(value, kind) if kind else None


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


class OtlpReceiver(TraceServiceServicer):
    """Listens until the `with` block ends, on a free port or on the one given; `endpoint` is for
    `OTEL_EXPORTER_OTLP_ENDPOINT`, and `headers` keeps what came beside each batch.
    """

    def __init__(self, port: int = 0) -> None:
        self.headers: list[dict[str, str | bytes]] = []
        self._spans: list[ReceivedSpan] = []
        self._changed = threading.Condition()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        add_TraceServiceServicer_to_server(self, self._server)  # type: ignore[no-untyped-call]
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")

    @property
    def endpoint(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop(grace=0.5).wait()

    def Export(  # noqa: N802 - the protocol's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Keep what arrives."""
        arrived = [
            ReceivedSpan(
                name=span.name,
                trace_id=span.trace_id.hex(),
                span_id=span.span_id.hex(),
                parent_id=span.parent_span_id.hex(),
                attributes=_attributes(span.attributes),
                resource=_attributes(group.resource.attributes),
                links=[link.trace_id.hex() for link in span.links],
                error=span.status.code == 2,
            )
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        with self._changed:
            self.headers.append(dict(context.invocation_metadata()))
            self._spans.extend(arrived)
            self._changed.notify_all()
        return ExportTraceServiceResponse()

    def spans(self) -> list[ReceivedSpan]:
        """All spans that have arrived so far."""
        with self._changed:
            return list(self._spans)

    def wait_for(
        self, condition: Callable[[Sequence[ReceivedSpan]], bool], timeout_seconds: float = WAIT_SECONDS
    ) -> list[ReceivedSpan]:
        """Wait until the spans fulfil a condition, and return them.

        Raises
        ------
        TimeoutError
            If they don't in time.
        """
        deadline = time.monotonic() + timeout_seconds
        with self._changed:
            while not condition(self._spans):
                if not self._changed.wait(deadline - time.monotonic()) and time.monotonic() >= deadline:
                    raise TimeoutError(f"not within {timeout_seconds} s; spans: {[span.name for span in self._spans]}")
            return list(self._spans)
