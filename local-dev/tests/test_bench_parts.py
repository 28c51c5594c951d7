"""What the benchmark measures with: a clock of processes, a reader of PostgreSQL's log, an endpoint, sites, plain calls."""

import base64
import subprocess
import sys

import httpx
import numpy as np
import psutil
import pytest
from bench.counts import statements_in
from bench.endpoint import build_instant_endpoint
from bench.processes import cpu_seconds
from bench.sites import serve_sites
from standins.weights import DIMENSIONS
from starlette.testclient import TestClient

BUSY = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
KEY = "an-endpoints-key"
HEADERS = {"Authorization": f"Bearer {KEY}"}


def test_the_clock_counts_children_that_have_ended() -> None:
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '''{BUSY}'''])\nprint(flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        own = psutil.Process(process.pid).cpu_times()
        assert cpu_seconds(process.pid) >= own.user + own.system + 0.25
        process.communicate()


def test_a_process_that_is_gone_took_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert cpu_seconds(process.pid) == 0.0
    assert cpu_seconds(None) == 0.0


def test_statements_are_counted_over_their_lines_and_without_what_was_logged_beside_them() -> None:
    said = (
        b"2026-11-28 14:02:39.123 UTC [7] LOG:  statement: BEGIN;\n"
        b"2026-11-28 14:02:39.124 UTC [7] LOG:  execute __asyncpg_stmt_3__: \n"
        b"\tSELECT id\n"
        b"\tFROM jobs\n"
        b"2026-11-28 14:02:39.125 UTC [7] DETAIL:  parameters: $1 = '...'\n"
        b"2026-11-28 14:02:39.126 UTC [9] LOG:  checkpoint starting: time\n"
        b"2026-11-28 14:02:39.127 UTC [7] LOG:  execute __asyncpg_stmt_3__: SELECT id FROM jobs\n"
        b"2026-11-28 14:02:39.128 UTC [7] LOG:  statement: ALTER SYSTEM RESET log_statement;\n"
    )
    assert dict(statements_in(said)) == {"BEGIN;": 1, "SELECT id FROM jobs": 2}


def test_the_instant_endpoint_answers_texts_with_vectors_of_their_own() -> None:
    body = {"model": "any", "input": ["one", "two", "one"], "encoding_format": "base64"}
    with TestClient(build_instant_endpoint(KEY)) as client:
        rows = client.post("/v1/embeddings", json=body, headers=HEADERS).json()["data"]
    assert [row["index"] for row in rows] == [0, 1, 2]
    first, second, third = (np.frombuffer(base64.b64decode(row["embedding"]), dtype="<f4") for row in rows)
    assert first.shape == (DIMENSIONS,)
    assert np.isfinite(first).all()
    assert (first == third).all()
    assert (first != second).any()


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer another"}])
def test_the_instant_endpoint_wants_its_key(headers: dict[str, str]) -> None:
    with TestClient(build_instant_endpoint(KEY)) as client:
        assert client.post("/v1/embeddings", json={"input": ["one"]}, headers=headers).status_code == 401


def test_each_site_has_pages_of_its_own_and_ends_with_the_block() -> None:
    with serve_sites(2) as (sites, pid):
        texts = [httpx.get(site.page(7), trust_env=False, timeout=30).text for site in sites]
        assert "Page 7 of host 0" in texts[0]
        assert "Page 7 of host 1" in texts[1]
        assert httpx.get(sites[0].page(7, slow=True), trust_env=False, timeout=30).text == texts[0]
    assert not psutil.pid_exists(pid)
