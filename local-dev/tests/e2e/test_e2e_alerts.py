"""What wakes somebody when a part of the fleet is dead: each is killed, and stays down until its alert has fired."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from boards.expressions import RULES
from conftest import Stage
from e2e_outside import Surroundings
from e2e_vms import RANGES_SHORTER, WAITS_SHORTER, Alert, Vms, five_vms, shortened

from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

PATIENCE_SECONDS = 240.0
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
UNWATCHED = {
    *("gateway", "membership", "endpoint", "demo-site", "tether", "orchestrator-migrate", "embedding-migrate"),
    "scraper-renderer",
}
"""The fleet's own nginx has no status to look at, so another stands beside it; the renderer is there where a browser is, and who
asks for it in vain is told `renderer_unavailable`; the rest are no part of a real fleet, or end."""


@pytest.fixture
def vms(stage: Stage, surroundings: Surroundings) -> Iterator[Vms]:
    with five_vms(stage, surroundings) as watched:
        try:
            yield watched
        finally:
            stage.fleet.wait_ready()


@pytest.mark.timeout(900)
def test_what_is_dead_raises_its_own_alert_and_no_other_page(stage: Stage, vms: Vms) -> None:
    check_that_everything_dies_once(stage, vms)
    assert wait_until(lambda: open_jobs(stage) == 0, PATIENCE_SECONDS, 0.5), "another test's, whose failures would page"
    assert wait_until(vms.all_scraped, PATIENCE_SECONDS, 0.5), vms.told()
    wait_for_pages(vms, set())
    earlier: set[Alert] = set()
    for names in ROUNDS:
        expected = {RIGHT_ALERT[name] for name in names}
        began = time.monotonic()
        with dead(stage, vms, names):
            wait_for_pages(vms, expected)
            # those of the round before end while its programs start
            lasted = time.monotonic() - began
            others = vms.paged_since(lasted) - expected - earlier - vms.starved_since(lasted)
        assert others == set(), f"while only these were dead: {names}"
        earlier = expected
    stage.fleet.wait_ready()
    wait_for_pages(vms, set())


def check_that_everything_dies_once(stage: Stage, vms: Vms) -> None:
    assert sorted(name for names in ROUNDS for name in names) == sorted(RIGHT_ALERT)
    there = {*vms.programs, *(one.name for one in stage.fleet.states())}
    assert {*RIGHT_ALERT, *ONE_OF_ITS_KIND} == there - UNWATCHED


def wait_for_pages(vms: Vms, expected: set[Alert]) -> None:
    def difference() -> str:
        found = vms.pages()
        return f"missing: {sorted(expected - found)}, too many: {sorted(found - expected)}"

    assert wait_until(lambda: vms.pages() == expected, PATIENCE_SECONDS, 0.5), difference()


@contextmanager
def dead(stage: Stage, vms: Vms, names: tuple[str, ...]) -> Iterator[None]:
    """Kill these, and start them again after the block, without waiting until they have started."""
    if "nginx" in names:  # one that is dead has no TLS either; here they are two
        names = (*names, "nginx with TLS")
    killed = []
    try:
        for name in names:
            if name in vms.programs:
                vms.programs[name].kill()
            else:
                stage.fleet.knock_out(name)
            killed.append(name)
        yield
    finally:
        for name in killed:
            if name in vms.programs:
                vms.programs[name].start()
            else:
                stage.fleet.manager.start_again(name)


def open_jobs(stage: Stage) -> int:
    (row,) = stage.jobs_sql("SELECT count(*) AS jobs FROM jobs WHERE placement <> 'ended'")
    return int(row["jobs"])


def test_the_alerts_that_are_tried_are_those_of_production_but_for_their_durations() -> None:
    real, tried = RULES.read_text(), shortened(RULES.read_text())
    assert re.findall(r"\[\d+[smhd]\]|for: \d+[smhd]\b", tried) == []
    as_long = re.sub(r"\[(\d+)ms", lambda found: f"[{int(found[1]) * RANGES_SHORTER}ms", tried)
    as_long = re.sub(r"for: (\d+)ms", lambda found: f"for: {int(found[1]) * WAITS_SHORTER}ms", as_long)
    assert as_long == shortened(real, 1, 1)
    assert [line for line in as_long.splitlines() if line not in real.splitlines()], "5m is told as 300000ms"
    without = re.compile(r"\b\d+(ms|[smhd])\b")
    assert without.sub("", tried) == without.sub("", real)
