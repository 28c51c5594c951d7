"""Run in a service's folder: prints as JSON what its API and its worker are made of. Nothing is connected to."""

import asyncio
import importlib
import inspect
import json
import logging
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path.cwd()))
if str(Path(__file__).parent) in sys.path:
    sys.path.remove(str(Path(__file__).parent))  # it is no folder of the service's

ALTERNATIVE = "POST /elsewhere"


def routes(application: Any) -> list[dict[str, Any]]:
    """Every route of FastAPI's: who may call it, with what, and how its requests are counted."""
    from fastapi.routing import APIRoute, iter_route_contexts

    found = []
    for context in iter_route_contexts(application.routes):
        route = context.original_route
        if not isinstance(route, APIRoute):
            continue  # the pages of /docs
        endpoint = inspect.unwrap(route.endpoint)
        tags = list(dict.fromkeys([*getattr(context, "tags", ()), *route.tags]))
        dependencies = list(_dependencies(route.dependant))
        found.append(
            {
                "path": context.path_format,
                "methods": sorted(context.methods or ()),
                "module": endpoint.__module__,
                "function": endpoint.__qualname__,
                "file": inspect.getsourcefile(endpoint),
                "tags": [str(tag) for tag in tags],
                "status": route.status_code or 200,
                "context": _takes_context(route),
                "needs_key": any(call.__qualname__ == "validate_api_key" for call in dependencies),
                "admits": next((_admitted(call) for call in dependencies if _admitted(call) is not None), None),
                "counted": {method: _counted(context, method) for method in sorted(context.methods or ())},
            }
        )
    return found


def _dependencies(dependant: Any) -> Any:
    for one in dependant.dependencies:
        yield one.call
        yield from _dependencies(one)


def _takes_context(route: Any) -> bool:
    from ml_shared.auth.context import CallerContext

    given = inspect.signature(route.endpoint).parameters.get("ctx")
    injected = {one.name for one in route.dependant.dependencies}
    return given is not None and given.annotation is CallerContext and "ctx" in injected


def _admitted(call: Any) -> list[str] | None:
    from ml_shared.auth.guards import admits_of

    admits = admits_of(call)
    if admits is None or not admits.__qualname__.startswith("internal_only."):
        return None
    return sorted(inspect.getclosurevars(admits).nonlocals["admitted"])


def _counted(context: Any, method: str) -> dict[str, str]:
    """The labels of one request of this route, as the code that counts them puts them on."""
    from prometheus_client import REGISTRY

    from ml_shared.telemetry.metrics import observe_request

    observe_request({"route": context, "method": method}, 599, 0.0)  # a status that nothing else has here
    for metric in REGISTRY.collect():
        for sample in metric.samples:
            labels = sample.labels
            if sample.name != "ml_http_requests_total" or labels["status"] != "5xx":
                continue
            if (labels["method"], labels["route"]) == (method, context.path):
                return {"request_mode": labels["request_mode"], "operation": labels["operation"]}
    return {}


def tasks() -> list[dict[str, Any]]:
    """Every Celery task of the service's own."""
    if not find_spec("app.worker"):
        return []
    celery = importlib.import_module("app.worker.celery_app").app
    importlib.import_module("app.worker.tasks")
    found = []
    for name, task in celery.tasks.items():
        if name.startswith("celery."):
            continue
        function = inspect.unwrap(getattr(task.run, "__func__", task.run))
        found.append(
            {
                "name": name,
                "function": function.__name__,
                "file": inspect.getsourcefile(function),
                "bases": [one.__name__ for one in type(task).__mro__ if one.__module__ == "ml_shared.worker.task"],
                "stage": str(getattr(task, "stage", "") or ""),
                "job_stage": str(getattr(task, "job_stage", "") or ""),
            }
        )
    return sorted(found, key=lambda one: one["name"])


def metrics() -> list[tuple[str, str, list[str], str]]:
    """Every metric of ours: name, type, labels and help."""
    from prometheus_client import REGISTRY, Gauge, Histogram
    from prometheus_client.metrics import MetricWrapperBase

    from ml_shared.telemetry.readings import Reading

    found = []
    for collector in set(REGISTRY._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            kinds = ((Histogram, "histogram"), (Gauge, "gauge"))
            kind = next((kind for made, kind in kinds if isinstance(collector, made)), "counter")
            name = f"{collector._name}_total" if kind == "counter" else collector._name
            found.append((name, kind, list(collector._labelnames), collector._documentation))
    found += [(one.name, "gauge", list(one.labels), one.documentation) for one in Reading.declared.values()]
    return sorted(found)


def settings() -> list[dict[str, Any]]:
    """Every setting, and whether there is a default."""
    fields = type(importlib.import_module("app.config").settings).model_fields
    return [{"name": name, "required": field.is_required()} for name, field in fields.items()]


def deadline() -> dict[str, Any]:
    """What a sync route answers when its time is up."""
    from ml_shared.errors import HTTP_STATUS, ServiceError
    from ml_shared.http.sync import within_deadline

    try:
        asyncio.run(within_deadline(asyncio.sleep(5), 0.01, ALTERNATIVE))
    except ServiceError as error:
        return {"status": int(HTTP_STATUS[error.kind]), "names_alternative": ALTERNATIVE in error.detail}
    return {"status": 0, "names_alternative": False}


def log_fields() -> list[str]:
    """What a log line carries that is written while a job is worked on."""
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    from ml_shared.telemetry.logs import job_context

    handler = logging.getLogger().handlers[0]
    span = NonRecordingSpan(SpanContext(1, 1, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    with use_span(span), job_context("job-1"):
        record = logging.getLogger("checklist").makeRecord("checklist", logging.ERROR, "", 0, "it failed", (), None)
        handler.filter(record)
        line = json.loads(handler.format(record))
    return [name for name in ("trace_id", "job_id") if line.get(name)]


def main() -> None:
    """Print all of it, as the last line."""
    application = importlib.import_module("app.main").app
    described = {
        "openapi": application.openapi(),
        "metrics": None,
        "tasks": tasks(),
        "settings": settings(),
        "deadline": deadline(),
        "log_fields": log_fields(),
    }
    described["metrics"] = metrics()  # with the worker's
    described["routes"] = routes(application)
    print(json.dumps(described))


if __name__ == "__main__":
    main()
