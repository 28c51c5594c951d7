"""What wakes somebody when a part of the fleet is dead: each is killed, and stays down until its alert has fired."""

import time
from collections.abc import Iterator

import pytest
import yaml
from boards.expressions import RULES
from conftest import Stage
from e2e_vms import SHORTER, Alert, Vms, five_vms, shortened

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

PATIENCE_SECONDS = 90.0
RIGHT_ALERT = {
    "redis-orch": Alert("StoreDown", "orchestrator", "redis"),
    "redis-scrape": Alert("StoreDown", "scraper", "redis"),
    "redis-embed": Alert("StoreDown", "embedding", "redis"),
    "postgres": Alert("StoreDown", "orchestrator", "postgres"),
    "postgres-vectors": Alert("StoreDown", "embedding", "postgres"),
    "orchestrator": Alert("TargetDown", "orchestrator", "orchestrator", "api"),
    "scraper": Alert("TargetDown", "scraper", "scraper", "api"),
    "chunking": Alert("TargetDown", "chunking", "chunking", "api"),
    "embedding": Alert("TargetDown", "embedding", "embedding", "api"),
    "orchestrator-worker": Alert("TargetDown", "orchestrator", "orchestrator", "worker"),
    "scraper-worker": Alert("TargetDown", "scraper", "scraper", "worker"),
    "embedding-worker": Alert("TargetDown", "embedding", "embedding", "worker"),
    "orchestrator-beat": Alert("RecoveryStopped"),
    "redis-orch exporter": Alert("TargetDown", "orchestrator", "redis"),
    "redis-scrape exporter": Alert("TargetDown", "scraper", "redis"),
    "redis-embed exporter": Alert("TargetDown", "embedding", "redis"),
    "postgres exporter": Alert("TargetDown", "orchestrator", "postgres"),
    "postgres-vectors exporter": Alert("TargetDown", "embedding", "postgres"),
    "nginx exporter": Alert("TargetDown", "gateway", "nginx"),
    "node exporter": Alert("TargetDown", "gateway", "node"),
    "blackbox exporter": Alert("TargetDown", "gateway", "certificate"),
    "nginx": Alert("GatewayDown", "gateway", "nginx"),
    "nginx with TLS": Alert("CertificateUnseen", "gateway", "certificate"),
    "alloy of chunking": Alert("NoData", "chunking"),
}
"""The one page for each thing that can die."""
ROUNDS = (
    ("redis-embed", "redis-scrape", "postgres", "nginx", "chunking"),
    ("redis-orch", "postgres-vectors", "nginx with TLS", "scraper", "node exporter"),
    (
        *("orchestrator", "scraper-worker", "embedding-worker", "orchestrator-beat"),
        *("redis-orch exporter", "redis-embed exporter", "nginx exporter", "blackbox exporter"),
    ),
    (
        *("embedding", "orchestrator-worker", "alloy of chunking"),
        *("redis-scrape exporter", "postgres exporter", "postgres-vectors exporter"),
    ),
)
"""What is dead at the same time: never a thing and what depends on it, since the page of one would pass for the other's."""
ONE_OF_ITS_KIND = {"alloy of orchestrator", "alloy of scraper", "alloy of embedding", "alloy of gateway"}
UNWATCHED = {"gateway", "membership", "endpoint", "demo-site", "tether", "orchestrator-migrate", "embedding-migrate"}
"""The fleet's own nginx has no status to look at, so another stands beside it; the rest are no part of a real fleet, or end."""


@pytest.fixture
def vms(stage: Stage) -> Iterator[Vms]:
    with five_vms(stage) as watched:
        try:
            yield watched
        finally:
            stage.fleet.wait_ready()


@pytest.mark.timeout(900)
def test_what_is_dead_raises_its_own_alert_and_no_other_page(stage: Stage, vms: Vms) -> None:
    assert sorted(name for names in ROUNDS for name in names) == sorted(RIGHT_ALERT)
    assert {*RIGHT_ALERT, *ONE_OF_ITS_KIND, *UNWATCHED} == {*vms.programs, *(one.name for one in stage.fleet.states())}
    assert wait_until(lambda: open_jobs(stage) == 0, PATIENCE_SECONDS, 0.5), "left by another test: their failures would page"
    assert wait_until(lambda: not vms.unhealthy(), PATIENCE_SECONDS, 0.5), vms.unhealthy()
    assert wait_until(lambda: vms.pages() == set(), PATIENCE_SECONDS, 0.5), vms.pages()
    earlier: set[Alert] = set()
    for names in ROUNDS:
        expected = {RIGHT_ALERT[name] for name in names}
        began = time.monotonic()
        dead = with_what_dies_too(names)
        try:
            for name in dead:
                kill(stage, vms, name)
            assert wait_until(lambda: vms.pages() == expected, PATIENCE_SECONDS, 0.5), difference(vms.pages(), expected)  # noqa: B023
            others = vms.paged_since(time.monotonic() - began) - expected - earlier
            assert others == set(), f"while only these were dead: {names}"
        finally:
            for name in dead:
                start(stage, vms, name)
        earlier = expected
    stage.fleet.wait_ready()
    assert wait_until(lambda: vms.pages() == set(), PATIENCE_SECONDS, 0.5), vms.pages()


def with_what_dies_too(names: tuple[str, ...]) -> tuple[str, ...]:
    """An nginx that is dead has no TLS either: two processes here."""
    return (*names, "nginx with TLS") if "nginx" in names else names


def kill(stage: Stage, vms: Vms, name: str) -> None:
    if name in vms.programs:
        vms.programs[name].kill()
    else:
        stage.fleet.knock_out(name)


def start(stage: Stage, vms: Vms, name: str) -> None:
    if name in vms.programs:
        vms.programs[name].start()
    else:
        stage.fleet.manager.start_again(name)


def open_jobs(stage: Stage) -> int:
    (row,) = stage.jobs_sql("SELECT count(*) AS jobs FROM jobs WHERE placement <> 'ended'")
    return int(row["jobs"])


def difference(found: set[Alert], expected: set[Alert]) -> str:
    return f"missing: {sorted(expected - found)}, too many: {sorted(found - expected)}"


def test_the_alerts_that_are_tried_are_those_of_production_but_for_their_durations() -> None:
    real, tried = RULES.read_text(), shortened(RULES.read_text())
    assert yaml.safe_load(tried) != yaml.safe_load(real)
    assert "for: 4m" in real
    assert f"for: {4 * 60_000 // SHORTER}ms" in tried
    assert shortened(real, 1) != real, "a minute is written as so many milliseconds"
    assert [line for line in tried.splitlines() if "ms" not in line] == [
        line for line, other in zip(real.splitlines(), tried.splitlines(), strict=True) if "ms" not in other
    ]
