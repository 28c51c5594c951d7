"""What one page may cost: calls, statements and commands, as its own trace tells. A budget is raised on purpose, or not at all.

Passes are not in a page's trace; how few there are is held by `orchestrator/tests/test_core_watching.py`.
"""

from collections import Counter
from collections.abc import Sequence

import pytest
from conftest import Stage
from e2e_caller import Caller
from e2e_spans import is_within, whole_trace

from ml_shared.testing.otlp import ReceivedSpan

pytestmark = pytest.mark.xdist_group("fleet")

PAGES = 5
PROGRESS, RENEWAL = "POST /jobs/{job_id}/progress", "orchestrator.running"
REQUESTS = {
    "orchestrator": {
        "POST /jobs": 1,
        PROGRESS: 2,  # the scraper's `started`, embedding's `committing`
        "POST /content": 1,
        "POST /content/{ref}/start": 1,
        "POST /jobs/{job_id}/complete": 1,
    },
    "scraper": {"POST /enqueue": 1},
    "chunking": {"POST /chunk": 1},
    "embedding-api": {"POST /enqueue": 1},
}
STATEMENTS = {"ml_jobs": 10, "ml_content": 4}
COMMANDS = 3
# of the orchestrator's Redis: the submission's key and limit


def test_a_page_costs_no_more_calls_and_statements_than_its_budget(stage: Stage, caller: Caller) -> None:
    caller.index(stage.web.add("/budget", "sanderling", 4), "budget")  # the first hand-out notes the life of its queue
    urls = [stage.web.add(f"/budget-{number}", f"dunlin{number}", 4) for number in range(PAGES)]
    accepted = []
    for url in urls:  # one after the other: pages that come together travel together, and cost less
        accepted.append(caller.submit(url, "budget"))
        assert caller.wait(accepted[-1].json()["job_id"])["status"] == "completed"
    for answer in accepted:
        spans = whole_trace(stage, answer.headers["X-Trace-Id"], has_all=has_what_a_page_takes)
        # a slow machine may renew a lease
        renewals = sum(span.name == PROGRESS and is_within(span, RENEWAL, spans) for span in spans)
        told = requests(spans)
        told["orchestrator"][PROGRESS] -= renewals
        assert told == REQUESTS
        asked = statements(spans)
        asked["ml_jobs"] -= renewals
        assert asked == STATEMENTS
        assert commands(spans) <= COMMANDS


def has_what_a_page_takes(spans: Sequence[ReceivedSpan]) -> bool:
    """Whether no span is missing: each process sends its own when it likes."""
    served, asked = requests(spans), statements(spans)
    return all(
        served.get(service, {}).get(name, 0) >= times for service, of in REQUESTS.items() for name, times in of.items()
    ) and all(asked.get(database, 0) >= times for database, times in STATEMENTS.items())


def requests(spans: Sequence[ReceivedSpan]) -> dict[str, dict[str, int]]:
    """Count the requests that were served, by service and route."""
    found: dict[str, Counter[str]] = {}
    for span in spans:
        if span.attributes.get("http.route"):
            found.setdefault(span.resource["service.name"], Counter())[span.name] += 1
    return {service: dict(counts) for service, counts in found.items()}


def statements(spans: Sequence[ReceivedSpan]) -> dict[str, int]:
    """Count the orchestrator's statements, by database."""
    return dict(Counter(span.attributes["db.name"] for span in of_store(spans, "postgresql")))


def commands(spans: Sequence[ReceivedSpan]) -> int:
    """Count the orchestrator's commands to its Redis."""
    return len(of_store(spans, "redis"))


def of_store(spans: Sequence[ReceivedSpan], system: str) -> list[ReceivedSpan]:
    return [
        span
        for span in spans
        if span.resource["service.name"] == "orchestrator" and span.attributes.get("db.system") == system
    ]
