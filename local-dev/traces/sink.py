"""Takes spans by OTLP over gRPC and keeps the last traces: `python -m traces.sink --port … --folder …`.

A program of the fleet. It is in nobody's way: services send from a thread of their own, in batches, and drop what it
does not take.
"""

import argparse
import signal
import sqlite3
import sys
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from traces.spans import spans_of
from traces.store import FILE_NAME, Bounds, Store

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
MESSAGE_BYTES = 4 * 2**20
# what collectors take; a batch of the SDK's 512 spans has a quarter of it
BATCHES_AT_ONCE = 16
# about as many as a fleet has processes; further ones are refused, and sent again a little later
STOP_SECONDS = 1.0


class Sink:
    """The server. It keeps what arrives in a store, a batch at a time."""

    def __init__(self, store: Store, host: str, port: int) -> None:
        self._store = store
        self._server = grpc.server(
            futures.ThreadPoolExecutor(max_workers=1),
            handlers=[grpc.method_handlers_generic_handler(SERVICE, {"Export": self._export_handler()})],
            options=[("grpc.max_receive_message_length", MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=BATCHES_AT_ONCE,
        )
        self.port: int = self._server.add_insecure_port(f"{host}:{port}")

    def _export_handler(self) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            self._export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )

    def _export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        try:
            self._store.add(spans_of(request))
        except sqlite3.Error as error:
            print(f"spans were not kept: {error}", file=sys.stderr, flush=True)
            context.abort(grpc.StatusCode.INTERNAL, "not kept")
        return ExportTraceServiceResponse()

    def start(self) -> None:
        """Listen."""
        self._server.start()

    def stop(self) -> None:
        """Finish what has arrived, and end."""
        self._server.stop(STOP_SECONDS).wait()


def main() -> int:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(prog="python -m traces.sink", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0 for a free one")
    parser.add_argument("--folder", type=Path, required=True, help="where the file of traces is kept")
    chosen = parser.parse_args()
    # waited for, not handled: a handler that wakes the main thread up may interrupt it while that goes to sleep
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    with Store(chosen.folder / FILE_NAME) as store:
        try:
            sink = Sink(store, chosen.host, chosen.port)
        except RuntimeError:  # gRPC's own lines above say why
            print(f"cannot listen on {chosen.host}:{chosen.port}", file=sys.stderr)
            return 1
        sink.start()
        bounds = Bounds()
        print(f"traces ready on http://{chosen.host}:{sink.port}, the last {bounds.traces} are kept", flush=True)
        signal.sigwait(ends)
        sink.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
