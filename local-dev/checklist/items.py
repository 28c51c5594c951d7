"""The items of the checklist, each with the rule that decides it, or with where a person has to look."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from checklist.findings import Finding, review
from checklist.fleet import Fleet
from checklist.rules import (
    alternatives,
    audit,
    authentication,
    callback_traces,
    callbacks,
    contracts,
    core_imports,
    deadlines,
    env_examples,
    error_paths,
    external_calls,
    file_tree,
    internal_routes,
    limits,
    names,
    panels,
    queues,
    read_path,
    request_modes,
    secrets,
    shim,
    sizes,
    span_tests,
    task_attributes,
    write_path,
)

Check = Callable[[Fleet], Iterator[Finding]]
TEMPLATE: Final = ".github/pull_request_template.md"
FLEET: Final = "Fleet"
"""The section of what is not in the template: rules of this repository."""


@dataclass(frozen=True)
class Item:
    """One line of the checklist.

    Attributes
    ----------
    by_eye
        Whether only a person can see it, on the boards, whatever it was that changed.
    """

    section: str
    text: str
    check: Check
    by_eye: bool = False


def look(path: str, says: str) -> Check:
    """Return the check of what only a person can see."""

    def check(_: Fleet) -> Iterator[Finding]:
        yield review(path, 0, says)

    return check


_TEMPO: Final = look(
    "local-dev/docker-compose.observe.yml",
    "`make dev-full` in the service's folder, one request, then http://localhost:3000: Explore, Tempo, the X-Trace-Id of its answer",
)
_LOKI: Final = look(
    "local-dev/docker-compose.observe.yml",
    "there, from that trace's span to its logs: each line has this trace_id",
)

_AUTH: Final = "Auth & rate limiting"
_ROUTES: Final = "Sync & async endpoints"
_SEEN: Final = "Observability"
_VERIFIED: Final = "Verification"

ITEMS: Final = (
    Item(
        _AUTH,
        "All route handlers use `ctx: CallerContext = Depends(validate_api_key)`?",
        authentication.check,
    ),
    Item(_AUTH, "`enforcer.check(ctx)` called at start of every endpoint?", limits.check),
    Item(_AUTH, "API key NOT present in any task kwargs, log lines, or DB columns?", secrets.check),
    Item(
        _AUTH,
        "New internal-only endpoint? Added to IP allowlist in nginx + `_is_internal` check?",
        internal_routes.check,
    ),
    Item(
        _ROUTES,
        "New sync endpoint? Timeout set with `asyncio.wait_for`, returns `504` on expiry?",
        deadlines.check,
    ),
    Item(_ROUTES, "`504` error message mentions the async alternative?", alternatives.check),
    Item(_ROUTES, "New async endpoint? Queue depth check present? `job_id` optional?", queues.check),
    Item(_ROUTES, "Callback fires only when `job_id` is present?", callbacks.check),
    Item(
        _SEEN,
        "New Celery task? Sets `job.id`, `job.url`, `job.stage`, `queue.name`, `request.mode`?",
        task_attributes.check,
    ),
    Item(
        _SEEN,
        "Stage callback? Trace context flows from worker span into callback HTTP call?",
        callback_traces.check,
    ),
    Item(
        _SEEN,
        "New external call? Auto-instrumented (httpx, Redis) or wrapped in manual span?",
        external_calls.check,
    ),
    Item(_SEEN, 'Touches read path? `operation="read"` on all shared metrics?', read_path.check),
    Item(_SEEN, 'Touches write path? `operation="write"` on all shared metrics?', write_path.check),
    Item(_SEEN, "New sync/async endpoint pair? `request.mode` label on all metrics?", request_modes.check),
    Item(
        _SEEN,
        "New error path? Logs carry `trace_id`, `job_id`, `failed_stage` where applicable?",
        error_paths.check,
    ),
    Item(_SEEN, "`emit()` called for any new significant user action?", audit.check),
    Item(_VERIFIED, "Trace visible in local Tempo (localhost:3000)?", _TEMPO, by_eye=True),
    Item(_VERIFIED, "Log lines visible in local Loki with `trace_id` populated?", _LOKI, by_eye=True),
    Item(_VERIFIED, "New metric? Prometheus query works locally, Grafana panel added?", panels.check),
    Item(
        _VERIFIED,
        "Span attribute assertions added/updated in `tests/test_instrumentation.py`?",
        span_tests.check,
    ),
)
"""The specification's, as the template has them."""

RULES: Final = (
    Item(FLEET, "The specification's files are there, and nothing else at the top", file_tree.check),
    Item(FLEET, "`instrumentation.py` is the same everywhere", shim.check),
    Item(FLEET, "Core imports no transport", core_imports.check),
    Item(FLEET, "Files have house style's sizes", sizes.check),
    Item(FLEET, "`.env.example` and `Settings` agree", env_examples.check),
    Item(FLEET, "Names of queues, tasks, metrics and spans are constants", names.check),
    Item(FLEET, "Contracts are unchanged or versioned", contracts.check),
)
"""This repository's own."""


def template_items(root: Path) -> list[tuple[str, str]]:
    """Return the template's items with their sections, in order."""
    found, section = [], ""
    for line in (root / TEMPLATE).read_text().splitlines():
        if heading := re.fullmatch(r"###\s+(.*\S)\s*", line):
            section = heading[1]
        elif item := re.fullmatch(r"\s*[-*]\s+\[[ xX]\]\s+(.*\S)\s*", line):
            found.append((section, item[1]))
    return found


def differences(root: Path) -> list[str]:
    """Return how the template and the items here differ; nothing when they are the same."""
    written, known = template_items(root), [(item.section, item.text) for item in ITEMS]
    found = [
        f"{TEMPLATE} asks, and no rule answers: {text} ({section})"
        for section, text in written
        if (section, text) not in known
    ]
    found += [
        f"a rule answers what {TEMPLATE} does not ask: {text} ({section})"
        for section, text in known
        if (section, text) not in written
    ]
    if not found and written != known:
        found.append(f"{TEMPLATE} has the items in another order, or twice")
    return found
