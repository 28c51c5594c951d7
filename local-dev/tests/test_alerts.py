"""The alerts, run by a real Prometheus' own tool: each fires on made-up series and is quiet on healthy ones."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from boards.exported import EXPORTED
from boards.expressions import Expression, alert_expressions, family, parse, selectors
from chores.debian import find
from test_dashboards import documented

from ml_shared.testing.plugin import require

LOCAL_DEV = Path(__file__).parents[1]
RULES = LOCAL_DEV / "observe" / "rules"
WANTED = {
    *("SubmitToSearchableSlow", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly", "OldestJobWaits", "LeasesExpire"),
    *("MembershipBreakerOpen", "QueueSaturated", "RedisMemoryHigh", "TextsTruncated", "CertificateExpires"),
    *("QueueStands", "RecoveryStopped", "StoreDown", "GatewayDown", "CertificateUnseen"),
    *("TargetDown", "NoData", "GaugesUnread", "VectorTailLong", "DeletionHeld", "ScheduleLate"),
}


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((RULES / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def fired_in(test: dict[str, Any]) -> set[str]:
    """Return the alerts that a test says fire."""
    return {case["alertname"] for case in test["alert_rule_test"] if case.get("exp_alerts")}


def run_promtool(*arguments: str, folder: Path = RULES) -> subprocess.CompletedProcess[str]:
    promtool = require(lambda: find("promtool"))
    return subprocess.run(
        [str(promtool), *arguments], cwd=folder, capture_output=True, text=True, timeout=280, check=False
    )


def test_prometheus_takes_the_rules() -> None:
    done = run_promtool("check", "rules", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(WANTED)} rules found" in done.stdout


def test_each_alert_fires_when_it_should_and_only_then() -> None:
    done = run_promtool("test", "rules", "alerts_test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_that_no_longer_fires_fails_that_test(tmp_path: Path) -> None:
    text = (RULES / "alerts.yaml").read_text()
    assert text.count("> 1800") == 1
    (tmp_path / "alerts.yaml").write_text(text.replace("> 1800", "> 18000"))
    tests = yaml.safe_load((RULES / "alerts_test.yaml").read_text())
    tests["tests"] = [test for test in tests["tests"] if "OldestJobWaits" in fired_in(test)]  # the others take seconds
    (tmp_path / "alerts_test.yaml").write_text(yaml.safe_dump(tests))
    done = run_promtool("test", "rules", "alerts_test.yaml", folder=tmp_path)
    assert done.returncode != 0
    assert "OldestJobWaits" in done.stdout + done.stderr


def test_each_alert_is_tried_on_series_that_break_it_and_on_healthy_ones() -> None:
    tests = yaml.safe_load((RULES / "alerts_test.yaml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {rule["alert"] for rule in alerts()} == WANTED
    assert {name for test in tests for name in fired_in(test)} == WANTED
    assert {case["alertname"] for case in cases if not case.get("exp_alerts")} == WANTED


@pytest.mark.parametrize("expression", alert_expressions(), ids=lambda one: one.place)
def test_an_alert_asks_for_series_that_there_are(expression: Expression) -> None:
    ours = documented()
    for selector in selectors(parse(expression)):
        assert selector.metric in EXPORTED or {selector.metric, family(selector.metric)} & set(ours), selector


def test_readme_says_of_each_alert_what_its_series_do_when_the_thing_itself_is_gone() -> None:
    text = (LOCAL_DEV / "observe" / "README.md").read_text()
    table = text[text.index("| alert | its series") :].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.splitlines()[2:]]
    told = {name for alert, _, _ in rows for name in re.findall(r"`(\w+)", alert)}
    assert told - {"ErrorBudgetBurns"} == WANTED - {"ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"}
    for alert, _, then in rows:
        assert set(re.findall(r"`(\w+)`", then)) <= WANTED, alert


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_urgent_it_is_what_is_wrong_and_where_it_stands_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert len(rule["annotations"]["summary"]) > 20
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (LOCAL_DEV.parent / path).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_a_laptops_prometheus_reads_them_from_where_compose_mounts_them() -> None:
    read = yaml.safe_load((LOCAL_DEV / "observe" / "prometheus.yml").read_text())["rule_files"]
    compose = (LOCAL_DEV / "docker-compose.observe.yml").read_text()
    assert read == ["/etc/prometheus/rules/alerts.yaml"]
    assert "- ../local-dev/observe/rules:/etc/prometheus/rules:ro" in compose
