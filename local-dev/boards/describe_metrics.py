"""Run in a service's folder: prints what metrics its processes have, as JSON. Nothing is connected to."""

import importlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path.cwd()))
sys.path.remove(str(Path(__file__).parent))  # it is no folder of the service's

from prometheus_client import REGISTRY, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase


def own_modules() -> list[str]:
    """The modules of the API and of the worker, where there is one."""
    return ["app.main", *(["app.worker.tasks"] if find_spec("app.worker") else [])]


def main() -> None:
    """Print a list of name, type, labels and help."""
    for name in own_modules():
        importlib.import_module(name)
    from ml_shared.readings import Reading

    found = []
    for collector in set(REGISTRY._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            kind = (
                "histogram"
                if isinstance(collector, Histogram)
                else "gauge"
                if isinstance(collector, Gauge)
                else "counter"
            )
            name = f"{collector._name}_total" if kind == "counter" else collector._name
            found.append((name, kind, list(collector._labelnames), collector._documentation))
    found += [(one.name, "gauge", list(one.labels), one.documentation) for one in Reading.declared.values()]
    print(json.dumps(sorted(found)))


if __name__ == "__main__":
    main()
