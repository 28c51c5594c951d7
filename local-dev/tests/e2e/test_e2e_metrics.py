"""What a real Prometheus finds on the fleet: every query of a board or an alert has something to show."""

from collections.abc import Iterator
from typing import Any

import pytest
from boards.exported import WITHOUT_A_PROGRAM
from boards.expressions import Expression, alert_expressions, panel_expressions, parse, selectors
from conftest import Stage
from e2e_caller import Caller
from e2e_prometheus import Prometheus, watched

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")


@pytest.fixture(scope="module")
def prometheus(stage: Stage) -> Iterator[Prometheus]:
    """One that has seen work on every path."""
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    with watched(stage) as started:
        # a counter's first sample, so that what follows is an increase
        assert wait_until(lambda: not started.unhealthy(), 20, poll_seconds=0.2), started.unhealthy()
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
    up = {(one["metric"]["job"], one["metric"].get("process")) for one in prometheus.query("up == 1")}
    assert {("orchestrator", "worker"), ("scraper", "worker"), ("embedding", "worker"), ("chunking", "api")} <= up
    assert len(prometheus.query("up == 1")) == len(prometheus.query("up")) == 7 + 3 + 2 + 1 + 1 + 1


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
    firing = {alert.place for alert in alert_expressions() if prometheus.query(alert.text)}
    assert firing == set()


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
        assert wait_until(lambda: sum(map(value, prometheus.query(expression))) >= least, 15, 0.5), expression  # noqa: B023


def is_alloys(expression: Expression) -> bool:
    """Whether only Alloy, or Tempo, makes what this asks for; neither runs here."""
    metrics = {selector.metric for selector in selectors(parse(expression))}
    return bool(metrics & WITHOUT_A_PROGRAM) or any(name.startswith("ml_gateway_") for name in metrics)


def assert_answered(prometheus: Prometheus, expressions: list[Expression]) -> None:
    left = list(expressions)

    def all_answered() -> bool:
        left[:] = [one for one in left if not prometheus.query(one.text)]
        return not left

    wait_until(all_answered, 20, poll_seconds=1)
    assert [f"{one.place}: {one.text}" for one in left] == []


def value(series: dict[str, Any]) -> float:
    return float(series["value"][1])
