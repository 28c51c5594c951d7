"""What a real Prometheus finds on the fleet: every query of a board or an alert has something to show."""

import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from boards.exported import WITHOUT_A_PROGRAM
from boards.expressions import Expression, alert_expressions, panel_expressions, parse, selectors
from conftest import Stage
from e2e_caller import Caller
from e2e_outside import Surroundings
from e2e_prometheus import Prometheus, watched
from test_e2e_crawls import CRAWLS, ended

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

SETTLED_SECONDS: Final = 60.0
# until what is scraped each second says so: a machine that stalls misses a scrape
GAUGES_SECONDS: Final = 120.0
# until a scrape sees what has changed in the database: an API process reads that anew each 15 s, and there are two


@pytest.fixture(scope="module")
def prometheus(stage: Stage, surroundings: Surroundings) -> Iterator[Prometheus]:
    """One that has seen work on every path."""
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    with watched(stage, surroundings) as started:
        # a counter's first sample, so that what follows is an increase
        assert wait_until(lambda: not started.unhealthy(), SETTLED_SECONDS, 0.2), started.unhealthy()
        work_on_every_path(stage, caller)
        yield started
    caller.close()


def work_on_every_path(stage: Stage, caller: Caller) -> None:
    url = stage.web.add("/measured", "plover", 6)
    caller.index(url, "measured")
    caller.wait(caller.submit(stage.web.url("/not-measured"), "measured").json()["job_id"])
    for mode in ("vector", "text", "hybrid"):
        caller.search("plover", "measured", mode=mode)
    for path, body in (
        ("scraper/scrape", {"url": url}),
        ("chunking/chunk", {"text": "A plover. " * 50}),
        ("embedding/embed", {"texts": ["a plover"]}),
    ):
        assert caller.request("POST", f"/api/{path}", json=body).status_code == 200, path


def test_every_process_can_be_scraped(prometheus: Prometheus) -> None:
    assert wait_until(lambda: {value(one) for one in prometheus.query("up")} == {1.0}, SETTLED_SECONDS, 0.5)
    known = [(one["metric"]["job"], one["metric"].get("process")) for one in prometheus.query("up")]
    assert {("orchestrator", "worker"), ("scraper", "worker"), ("embedding", "worker"), ("chunking", "api")} <= {*known}
    assert len(known) == 7 + 3 + 2 + 1 + 1 + 1


def test_every_panel_shows_something(prometheus: Prometheus) -> None:
    wanted = [one for one in panel_expressions() if one.language == "promql" and not is_alloys(one)]
    assert len(wanted) > 90
    assert_answered(prometheus, wanted)


def test_every_alert_reads_series_that_there_are(prometheus: Prometheus) -> None:
    read = {
        Expression(alert.place, "promql", selector.metric)
        for alert in alert_expressions()
        for selector in selectors(parse(alert))
    }
    assert_answered(prometheus, sorted(read, key=str))
    for alert in alert_expressions():
        prometheus.query(alert.text)  # it is one, to this Prometheus


def test_a_healthy_fleet_raises_no_alarm_but_for_what_is_not_here(prometheus: Prometheus) -> None:
    def firing() -> set[str]:
        return {alert.place for alert in alert_expressions() if prometheus.query(alert.text)}

    # each has to hold for a while before somebody is told
    assert wait_until(lambda: firing() == set(), SETTLED_SECONDS, 0.5), firing()


def test_nothing_was_truncated(prometheus: Prometheus) -> None:
    assert [value(one) for one in prometheus.query("sum(ml_embedding_truncations_total)")] == [0.0]


def test_what_the_pipeline_did_is_what_the_metrics_say(prometheus: Prometheus) -> None:
    for expression, least in (
        ("sum(ml_jobs_submitted_total)", 2),
        ('sum(ml_jobs_ended_total{status="completed"})', 1),
        ('sum(ml_jobs_failed_total{stage="scraping",code="http_status"})', 1),
        ("sum(ml_jobs_searchable_seconds_count)", 1),
        ('sum(ml_scrape_pages_total{request_mode="sync",outcome="success"})', 1),
        ('sum(ml_http_requests_total{service="embedding",route="/search",operation="read"})', 3),
    ):
        is_told = wait_until(lambda: sum(map(value, prometheus.query(expression))) >= least, SETTLED_SECONDS, 0.5)  # noqa: B023
        assert is_told, expression


def test_a_held_deletion_and_a_late_schedule_raise_their_alerts_until_somebody_sees_to_them(
    prometheus: Prometheus, stage: Stage, caller: Caller
) -> None:
    """Both at once: a change of what they read is seen after 15 s, each time."""
    corpus, held = held_deletion(stage, caller)
    late = scheduled(stage, caller)
    passes = ("orchestrator-beat", "orchestrator-worker")
    for program in passes:
        stage.fleet.knock_out(program)
    try:
        stage.jobs_sql("UPDATE crawls SET next_run_at = now() - interval '10 minutes' WHERE id = $1", uuid.UUID(late))
        assert wait_until(lambda: raised(prometheus, "DeletionHeld") == [1.0], GAUGES_SECONDS, 0.5)
        told: list[float] = []

        def is_late() -> bool:
            told[:] = raised(prometheus, "ScheduleLate")
            return told != []

        assert wait_until(is_late, GAUGES_SECONDS, 0.5)
        assert len(told) == 1
        assert 600 <= told[0] < 900
    finally:
        for program in passes:
            stage.fleet.start_program(program)
    assert caller.request("POST", f"{CRAWLS}/{held}/runs/3/confirm").status_code == 202
    assert wait_until(lambda: caller.request("GET", f"{CRAWLS}/{late}").json()["last_run"] == 2, SETTLED_SECONDS, 0.5)
    assert ended(caller, late, 2)["trigger"] == "scheduled"
    for alert in ("DeletionHeld", "ScheduleLate"):
        assert wait_until(lambda alert=alert: raised(prometheus, alert) == [], GAUGES_SECONDS, 0.5), alert
    assert wait_until(lambda: caller.corpus(corpus)["documents"] == 1, SETTLED_SECONDS, 0.5)


def held_deletion(stage: Stage, caller: Caller) -> tuple[str, str]:
    """Crawl a site most of whose pages have gone since; return its corpus, and the crawl whose third run waits for a word."""
    name = f"held-{uuid.uuid4().hex[:8]}"
    gone = [f"/{name}/{number}" for number in range(4)]
    for path in (f"/{name}/", *gone):
        stage.web.add(path, f"dotterel {path}", 11)
    anchors = "".join(f'<a href="{path}">x</a>' for path in gone)
    stage.web.pages[f"/{name}/"] = stage.web.pages[f"/{name}/"].replace("<main>", f"<main>{anchors}")
    body = {"url": stage.web.url(f"/{name}/", 11), "corpus_name": name}
    crawl_id: str = caller.request("POST", CRAWLS, json=body).json()["crawl_id"]
    assert ended(caller, crawl_id, 1)["outcomes"]["new"] == 5
    for path in gone:
        del stage.web.pages[path]
    for run in (2, 3):
        assert caller.request("POST", f"{CRAWLS}/{crawl_id}/runs", json={}).json()["run"] == run
        view = ended(caller, crawl_id, run)
    assert (view["held"], view["held_documents"], caller.corpus(name)["documents"]) == ("mass_deletion", 4, 5)
    return name, crawl_id


def scheduled(stage: Stage, caller: Caller) -> str:
    """Return a crawl that has run once, and has a schedule."""
    name = f"late-{uuid.uuid4().hex[:8]}"
    url = stage.web.add(f"/{name}", "whinchat", 12)
    body = {"source": "list", "urls": [url], "corpus_name": name, "schedule": {"every": "1h"}}
    crawl_id: str = caller.request("POST", CRAWLS, json=body).json()["crawl_id"]
    ended(caller, crawl_id, 1)
    return crawl_id


def raised(prometheus: Prometheus, alert: str) -> list[float]:
    """What an alert's expression finds: nothing, or what is told of it."""
    (expression,) = [one for one in alert_expressions() if one.place == alert]
    return [value(one) for one in prometheus.query(expression.text)]


def is_alloys(expression: Expression) -> bool:
    """Whether only Alloy, or Tempo, makes what this asks for; neither runs here."""
    metrics = {selector.metric for selector in selectors(parse(expression))}
    return bool(metrics & WITHOUT_A_PROGRAM) or any(name.startswith("ml_gateway_") for name in metrics)


def assert_answered(prometheus: Prometheus, expressions: list[Expression]) -> None:
    left = list(expressions)

    def all_answered() -> bool:
        left[:] = [one for one in left if not prometheus.query(one.text)]
        return not left

    wait_until(all_answered, SETTLED_SECONDS, poll_seconds=1)
    assert [f"{one.place}: {one.text}" for one in left] == []


def value(series: dict[str, Any]) -> float:
    return float(series["value"][1])
