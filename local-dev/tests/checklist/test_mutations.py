"""One violation of each rule, and more of some, planted in a copy of the whole tree: each is caught, and where it stands."""

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from checklist.apps import App, describe
from checklist.findings import Finding, Status
from checklist.fleet import Fleet
from checklist.sources import Tree
from test_rules import CHECKS, NAMES
from trees import REPOSITORY

TASK = "ml-shared/ml_shared/worker/task.py"
CLIENT = "ml-shared/ml_shared/clients/orchestrator.py"
NGINX = "gateway-vm/nginx/nginx.conf.template"
ROUTES = "{}/app/api/routes/{}.py".format


@dataclass(frozen=True)
class Mutation:
    """A text that is replaced, and where the rule has to see it, with words of what it says; the file by default."""

    rule: str
    path: str
    old: str
    new: str
    words: str
    seen_in: str = ""
    status: Status = Status.FAIL


MUTATIONS = [
    Mutation(
        "authentication",
        ROUTES("orchestrator", "sync"),
        "request: Request, ctx: CallerContext = Depends(users_and())) -> JobView",
        'request: Request, ctx: str = "nobody") -> JobView',
        "GET /jobs/{job_id} does not know who calls",
    ),
    Mutation(
        "limits",
        ROUTES("embedding", "corpora"),
        "    await enforcer.check(ctx)\n    await storage.delete_corpus(service.pool, ctx.owner, name)\n",
        "    await storage.delete_corpus(service.pool, ctx.owner, name)\n    await enforcer.check(ctx)\n",
        "DELETE /corpora/{name} does something before the limit",
    ),
    Mutation(
        "secrets",
        "scraper/app/worker/tasks.py",
        "    attempt_id: str | None = None,\n",
        "    attempt_id: str | None = None,\n    api_key: str | None = None,\n",
        "scraper.scrape_url takes api_key",
    ),
    Mutation(
        "secrets",
        ROUTES("embedding", "async_"),
        "kwargs=kwargs, job_id",
        'kwargs={**kwargs, "authorization": request.headers}, job_id',
        "authorization would go into a queue",
    ),
    Mutation(
        "secrets",
        "orchestrator/app/worker/nudging.py",
        'extra={"failed_stage": next(iter(stages), None), "reason": type(error).__name__}',
        'extra={"failed_stage": next(iter(stages), None), "client_secret": next(iter(stages), None)}',
        "client_secret would stand in a log line",
    ),
    Mutation(
        "secrets",
        "orchestrator/migrations/0001_jobs.sql",
        "CREATE TABLE IF NOT EXISTS jobs (",
        "CREATE TABLE IF NOT EXISTS jobs (\n    api_key text,",
        "jobs.api_key would keep a secret",
    ),
    Mutation(
        "secrets",
        "ml-shared/ml_shared/contracts/scraping.py",
        "    job_id: ",
        "    site_password: str | None = None\n    job_id: ",
        "site_password: a secret in a body",
        seen_in="scraper/app/api/schemas.py",
    ),
    Mutation(
        "internal_routes",
        ROUTES("orchestrator", "internal"),
        "from ml_shared.auth.guards import internal_only\n",
        "from ml_shared.auth.guards import requires_scope as internal_only\n",
        "GET /content/{ref} is closed at the gateway",
    ),
    Mutation(
        "internal_routes",
        NGINX,
        "(?:jobs/[^/]+/(?:complete|progress)/?$|content(?:/|$)) {",
        "(?:jobs/[^/]+/(?:complete|progress)/?$) {",
        "PUT /content is internal, and the gateway serves it to everybody",
        seen_in=ROUTES("orchestrator", "internal"),
    ),
    Mutation(
        "deadlines",
        ROUTES("scraper", "sync"),
        'await within_deadline(\n                execute_scrape(request.app.state.scraper, visit), settings.SYNC_TIMEOUT_SECONDS, "POST /enqueue"\n            )',
        "await execute_scrape(request.app.state.scraper, visit)",
        "POST /scrape awaits app.core.logic.execute_scrape without a deadline",
    ),
    Mutation(
        "deadlines",
        "ml-shared/ml_shared/http/sync.py",
        "await asyncio.wait_for(awaitable, timeout=seconds)",
        "await awaitable",
        "within_deadline has no asyncio.wait_for",
    ),
    Mutation(
        "deadlines",
        "ml-shared/ml_shared/errors.py",
        "ErrorKind.TIMEOUT: 504",
        "ErrorKind.TIMEOUT: 503",
        "an expired deadline answers 503 and not 504",
        seen_in="ml-shared/ml_shared/http/sync.py",
    ),
    Mutation(
        "alternatives",
        ROUTES("embedding", "sync"),
        '"POST /enqueue"',
        '"POST /later"',
        "sends its callers on to /later, which is no route",
    ),
    Mutation(
        "alternatives",
        "ml-shared/ml_shared/http/sync.py",
        "for work that takes longer use {alternative}",
        "ask for less",
        "the 504 leaves out what it was told to name",
    ),
    Mutation(
        "queues",
        "ml-shared/ml_shared/contracts/queueing.py",
        "job_id: Identifier | None = Field(default=None, ",
        "job_id: Identifier = Field(",
        "wants a job_id",
        seen_in=ROUTES("scraper", "async_"),
    ),
    Mutation(
        "queues",
        ROUTES("scraper", "async_"),
        "await tasks.enqueue(scrape_task, ctx, kwargs=_arguments(payload), job_id=payload.job_id)",
        "scrape_task.delay(**_arguments(payload))",
        "puts a task past the queue's bound",
    ),
    Mutation(
        "queues",
        "ml-shared/ml_shared/queues/queueing.py",
        "if room.verdict is not Verdict.TAKEN:",
        "if not room.epoch:",
        "publishes without comparing the depth",
    ),
    Mutation(
        "queues",
        "ml-shared/ml_shared/queues/queueing.py",
        "task.apply_async(producer=written, **",
        "task.apply_async(**",
        "publishes without comparing the depth",
    ),
    Mutation(
        "callbacks",
        TASK,
        "if job_id is not None and attempt_id is not None:",
        "if attempt_id is not None:",
        "run_stage has to make an attempt",
    ),
    Mutation(
        "callbacks",
        CLIENT,
        "self, job_id: str, callback: StageCallback, *,",
        "self, job_id: str | None, callback: StageCallback, *,",
        "complete can be called without a job",
    ),
    Mutation(
        "task_attributes",
        TASK,
        "            attributes.JOB_STAGE: self.job_stage,\n",
        "",
        "StageTask.describe does not set JOB_STAGE",
    ),
    Mutation(
        "task_attributes",
        "embedding/app/worker/tasks.py",
        "job_id=job_id, attempt_id=attempt_id, url=url, content_ref=content_ref)",
        "job_id=job_id, attempt_id=attempt_id, url=None, content_ref=content_ref)",
        "embedding.embed_document has to declare",
    ),
    Mutation(
        "callback_traces",
        CLIENT,
        "with tracer.start_as_current_span(COMPLETE_SPAN) as span:",
        "with open(COMPLETE_SPAN) as span:",
        "complete calls the orchestrator outside of a span",
    ),
    Mutation(
        "external_calls",
        "ml-shared/ml_shared/instrumentation.py",
        "    _instrument_once(HTTPXClientInstrumentor())\n",
        "",
        "HTTPXClientInstrumentor is not started",
    ),
    Mutation(
        "external_calls",
        "chunking/app/core/tokenising.py",
        '"""\n\n',
        '"""\n\nimport urllib.request\n\nPAGE = urllib.request.urlopen\nREAD = lambda: urllib.request.urlopen("http://x")\n',
        "is neither instrumented nor in a span",
    ),
    Mutation(
        "read_path",
        ROUTES("embedding", "async_"),
        '    "/enqueue",\n',
        '    "/enqueue",\n    tags=[Operation.READ],\n',
        "EMBED_ENQUEUED and is tagged as reading",
    ),
    Mutation(
        "write_path",
        "chunking/app/core/logic.py",
        "        attributes.OPERATION: Operation.WRITE.value,\n",
        "",
        "a span of work without attributes.OPERATION",
    ),
    Mutation(
        "request_modes",
        "ml-shared/ml_shared/telemetry/metrics.py",
        '["service", "route", "request_mode", "operation"],',
        '["service", "route", "mode", "operation"],',
        "ml_http_request_duration_seconds is every service's and has no label `request_mode`",
    ),
    Mutation(
        "error_paths",
        "ml-shared/ml_shared/telemetry/logs.py",
        'fields.setdefault("job_id", job_id)',
        "pass",
        "written within a job's span lacks job_id",
    ),
    Mutation(
        "error_paths",
        "ml-shared/ml_shared/telemetry/spans.py",
        'extra={"error_code": code, "failed_stage": stage.value}',
        'extra={"error_code": code}',
        "direct_work does not say which stage failed",
    ),
    Mutation(
        "audit",
        ROUTES("orchestrator", "internal"),
        "    emit(AuditEvent.CONTENT_STORED, ctx, job_id=job_id, stage=stage)\n",
        "",
        "PUT /content leaves no line in the audit trail",
    ),
    Mutation(
        "panels",
        "scraper/app/core/extraction/seats.py",
        "from ",
        'from prometheus_client import Counter\nSEATS = Counter("ml_scrape_seats", "Seats.")\nfrom ',
        "ml_scrape_seats_total is on no panel",
    ),
    Mutation(
        "span_tests",
        "scraper/app/core/telemetry.py",
        'EXTRACT_SPAN: Final = "scrape.extract"',
        'EXTRACT_SPAN: Final = "scrape.take_out"',
        "looks for the span `scrape.take_out`",
    ),
    Mutation("file_tree", "chunking/Makefile", "", "", "the specification has Makefile in chunking"),
    Mutation(
        "shim", "scraper/instrumentation.py", "import init", "import  init", "it differs from the other services'"
    ),
    Mutation(
        "core_imports",
        "embedding/app/core/ranking.py",
        "from collections",
        "from fastapi import HTTPException\nfrom collections",
        "core imports fastapi.HTTPException",
    ),
    Mutation("sizes", "scraper/app/main.py", '"""', '"""' + 30 * "\n", "where 80 are aimed at", status=Status.REVIEW),
    Mutation(
        "env_examples", "chunking/.env.example", "TOKENIZER_FILE", "TOKENISER_FILE", "TOKENIZER_FILE is a setting"
    ),
    Mutation(
        "names",
        "scraper/app/worker/tasks.py",
        "name=TaskName.SCRAPE_URL.value",
        'name="scraper.scrape_url"',
        "needs an explicit name=TaskName",
    ),
    Mutation(
        "contracts",
        ROUTES("scraper", "sync"),
        '    "/scrape",\n',
        '    "/fetch",\n',
        "POST /scrape",
        seen_in="scraper/openapi.json",
    ),
]


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every file that git knows, in a folder of its own."""
    root = tmp_path_factory.mktemp("copy")
    for name in Tree(REPOSITORY).files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, root / name)
    return root


@pytest.fixture(scope="session")
def apps(copy: Path) -> dict[str, App]:
    """What the copy's services are made of before anything is changed."""
    services = Fleet(copy).services
    with ThreadPoolExecutor() as threads:
        return dict(zip(services, threads.map(lambda service: describe(copy, service), services), strict=True))


def looked_at(copy: Path, apps: dict[str, App], rule: str, changed: str = "") -> list[Finding]:
    """Return what a rule says, having asked those services anew that a change may have changed."""
    begins = changed.partition("/")[0]
    fleet = Fleet(
        copy, ask=lambda root, service: describe(root, service) if begins in {service, "ml-shared"} else apps[service]
    )
    if begins == "ml-shared":
        fleet.start()
    return list(CHECKS[rule](fleet))


@pytest.fixture
def planted(copy: Path, mutation: Mutation) -> Iterator[Path]:
    path = copy / mutation.path
    before = path.read_text()
    assert mutation.old in before, "the text to be replaced is not there any more; plant the violation elsewhere"
    if mutation.old:
        path.write_text(before.replace(mutation.old, mutation.new, 1))
    else:
        path.unlink()
    yield copy
    path.write_text(before)
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
        compiled.unlink()  # Python tells a file from another of its size by the second in which it was written


def test_every_rule_has_a_violation_planted() -> None:
    assert {mutation.rule for mutation in MUTATIONS} == set(NAMES)


@pytest.mark.parametrize("rule", NAMES)
def test_a_rule_finds_nothing_wrong_with_the_copy_as_it_is(rule: str, copy: Path, apps: dict[str, App]) -> None:
    findings = looked_at(copy, apps, rule)
    assert findings, "there was nothing to look at"
    assert [finding for finding in findings if finding.status is Status.FAIL] == []


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: f"{one.rule}: {one.words}"[:60])
def test_a_planted_violation_is_caught_where_it_stands(mutation: Mutation, planted: Path, apps: dict[str, App]) -> None:
    found = [one for one in looked_at(planted, apps, mutation.rule, mutation.path) if one.status is mutation.status]
    assert any(mutation.words in one.says and one.path == (mutation.seen_in or mutation.path) for one in found), found
