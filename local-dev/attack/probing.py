"""Attacks that probe: values, spellings, keys and places that a service might stumble over, or give away."""

import re
import time
import uuid
from typing import Any, Final

import httpx
from chores.containers import services_of
from chores.folders import REPOSITORY
from chores.image_pins import named_in, places
from fleet.memory import memory_of

from attack.ground import VICTIM_TIMEOUT_SECONDS, Ground, Outcome, Scale

CONTAINERS: Final = {
    "orchestrator": ("orchestrator", "orchestrator-worker", "orchestrator-beat", "postgres", "redis-orch"),
    "scraper": ("scraper", "scraper-worker", "redis-scrape"),
    "chunking": ("chunking",),
    "embedding": ("embedding", "embedding-worker", "postgres-vectors", "redis-embed"),
    "gateway-vm": ("nginx",),
}
# as the programs of a native fleet are called, but for nginx, which is `gateway` there
_UNITS: Final = {"k": 2**10, "m": 2**20, "g": 2**30}


def nasty_values(ground: Ground, _: Scale) -> Outcome:
    """Values that a database or Python would refuse later."""
    outcome = Outcome()
    nasty: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", "/api/orchestrator/jobs", {"params": {"created_after": value}})
        for value in (
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "5",
            "0.5",
            "now",
            "2026-02-30T00:00:00Z",
        )
    ]
    nasty += [
        ("GET", path, {"params": {"cursor": value}})
        for path in ("/api/orchestrator/jobs", "/api/embedding/corpora", "/api/embedding/corpora/x/documents")
        for value in ("AAAA", "e30", "bnVsbA", "WyIwMDAxIl0", "😀", "%00", "A" * 2_000)
    ]
    nasty += [
        ("GET", "/api/orchestrator/jobs", {"params": {"limit": value}})
        for value in ("9" * 30, "-1", "1.0", "true", "٥")
    ]
    nasty += [("GET", f"/api/orchestrator/jobs/{value}", {}) for value in ("%00", "x" * 3_000, "%F0%9F%98%80", "..%2f")]
    nasty += [
        ("POST", "/api/embedding/search", {"json": {"query": "x", **more}})
        for more in ({"query": "\x00"}, {"filters": {"url_prefix": "\x00"}}, {"filters": {"fetched_after": "0001-01-01T00:00:00+23:59"}},
                     {"filters": {"metadata": {"a": 10**40}}}, {"top_k": 10**30}, {"min_score": -1e308})
    ]  # fmt: skip
    _refused(ground, outcome, nasty, allowed=(200, 400, 404, 414, 422))
    return outcome


def _refused(
    ground: Ground, outcome: Outcome, asked: list[tuple[str, str, dict[str, Any]]], allowed: tuple[int, ...]
) -> None:
    told: dict[int, int] = {}
    for method, path, more in asked:
        answer = ground.ask(ground.victim, method, path, **more)
        told[answer.status_code] = told.get(answer.status_code, 0) + 1
        if answer.status_code not in allowed:
            outcome.faults.append(f"{method} {path[:60]} {str(more)[:80]}: {answer.status_code}")
        elif answer.status_code >= 400 and answer.headers["content-type"] != "application/problem+json":
            outcome.faults.append(f"{method} {path[:60]}: {answer.status_code} is no problem document")
    outcome.note = ", ".join(f"{count} × {status}" for status, count in sorted(told.items()))


def loose_json(ground: Ground, _: Scale) -> Outcome:
    """JSON that other parsers take, and types that others would turn into the right ones."""
    outcome = Outcome()
    submit, chunk, search = "/api/orchestrator/jobs", "/api/chunking/chunk", "/api/embedding/search"
    headers = {"Content-Type": "application/json"}
    bodies = [
        (submit, b'{"url": "http://a.test/", "metadata": {"a": NaN}}'),
        (submit, b'{"url": "http://a.test/", "metadata": {"a": 1e999}}'),
        (submit, b'{"url": "http://a.test/", "metadata": {"a": -Infinity}}'),
        (submit, b'{"url": "http://a.test/", "url": "http://b.test/"}'),
        (submit, b'{"url": "http://a.test/", "metadata": {"a": 1, "a": 2}}'),
        (submit, b'{"url": "http://a.test/", "metadata": {"a": "\\ud800"}}'),
        (chunk, b'{"text": "a", "max_tokens": true}'),
        (chunk, b'{"text": "a", "max_tokens": "64"}'),
        (chunk, b'{"text": "a", "max_tokens": 64.5}'),
        (chunk, b'{"text": 5}'),
        (search, b'{"query": "a", "filters": {"fetched_after": 0.5}}'),
        (search, b'{"query": "a", "filters": {"fetched_after": 5}}'),
        (search, b'{"query": "a", "top_k": "5"}'),
        (search, b"[" * 100_000),
    ]
    _refused(
        ground, outcome,
        [("POST", path, {"content": body, "headers": headers}) for path, body in bodies]
        + [("GET", submit, {"params": [("limit", "1"), ("limit", "2")]})],
        allowed=(422,),
    )  # fmt: skip
    return outcome


def signed_urls(ground: Ground, _: Scale) -> Outcome:
    """A secret in a URL, in a body and in a query, looked for in everything that is logged."""
    outcome = Outcome()
    canary = f"c4n4ry{uuid.uuid4().hex}"
    site = ground.url("demo-site", f"/docs/errors?X-Amz-Signature={canary}&token={canary}")
    submitted = ground.ask(ground.victim, "POST", "/api/orchestrator/jobs", json={"url": site, "corpus_name": "signed"})
    ended = _wait_for_job(ground, submitted.json()["job_id"])
    ground.ask(ground.victim, "POST", "/api/scraper/scrape", json={"url": site})
    for name in ("auth", "sig", "jwt", "%73ig", "X-Amz-Signature", "q"):
        for path in ("/api/orchestrator/jobs", "/api/embedding/nowhere", "/nowhere"):
            referer = {"Referer": f"http://a.test/?{name}={canary}"}
            ground.ask(ground.victim, "GET", f"{path}?{name}={canary}", headers=referer)
    ground.ask(ground.victim, "GET", f"/api/orchestrator/jobs?{canary}")
    outcome.faults += [f"{name} has the canary" for name, text in ground.logs().items() if canary in text]
    outcome.note = f"the job {ended}; {len(ground.logs())} logs looked through"
    return outcome


def _wait_for_job(ground: Ground, job_id: str, seconds: float = 60) -> str:
    deadline = time.monotonic() + seconds
    while True:
        status = str(ground.ask(ground.victim, "GET", f"/api/orchestrator/jobs/{job_id}").json()["status"])
        if status in ("completed", "failed", "cancelled") or time.monotonic() > deadline:
            return status
        time.sleep(0.2)


def services_keys(ground: Ground, _: Scale) -> Outcome:
    """The keys of the fleet's own services, on the routes of users."""
    outcome = Outcome()
    told = 0
    for name in ("scraper", "embedding", "orchestrator"):
        key = ground.fleet.keys[name]
        for service, method, path in (
            ("orchestrator", "POST", "/jobs"), ("orchestrator", "GET", "/jobs"), ("scraper", "POST", "/scrape"),
            ("embedding", "POST", "/search"), ("embedding", "GET", "/corpora"), ("chunking", "POST", "/chunk"),
        ):  # fmt: skip
            url, headers = ground.url(service, path), {"X-API-Key": key}
            answer = httpx.request(method, url, headers=headers, json={}, timeout=VICTIM_TIMEOUT_SECONDS)
            told += 1
            hand_out = name == "orchestrator" and service == "chunking"
            if answer.status_code not in ((422,) if hand_out else (401, 403)):
                outcome.faults.append(f"{name}'s key, {method} {path}: {answer.status_code}")
    outcome.note = f"{told} asked"
    return outcome


def loose_ends(ground: Ground, _: Scale) -> Outcome:
    """Slashes, methods, encodings, and who listens where."""
    outcome = Outcome()
    for method, path, headers, status in (
        ("GET", "/api/embedding/corpora/", {}, 404),
        ("GET", "/api/embedding/corpora/x/", {}, 404),
        ("POST", "/api/chunking/chunk", {"Content-Encoding": "gzip"}, 415),
        ("TRACE", "/api/chunking/chunk", {}, 405),
        ("DELETE", "/api/chunking/chunk", {}, 405),
    ):
        content = b"{}" if "Content-Encoding" in headers else None
        answer = ground.ask(ground.victim, method, path, headers=headers, content=content)
        if answer.status_code != status:
            outcome.faults.append(f"{method} {path}: {answer.status_code} instead of {status}")
        if status == 405 and not answer.headers.get("allow"):
            outcome.faults.append(f"{method} {path}: 405 without Allow")
    for name in ("orchestrator-worker", "scraper-worker", "embedding-worker"):
        for listening in ground.fleet.process(name).net_connections("tcp"):
            if listening.status == "LISTEN" and listening.laddr.ip != "127.0.0.1":
                outcome.faults.append(f"{name} listens on {listening.laddr.ip}")
    return outcome


def memory_limits(ground: Ground, _: Scale) -> Outcome:
    """Every program, after what came before, beside the limit of its container: there it would have been killed."""
    outcome = Outcome()
    shares = {}
    for stack, containers in CONTAINERS.items():
        services = services_of(REPOSITORY / stack / "docker-compose.yml")
        for name in containers:
            limit = _bytes_of(str(services[name]["mem_limit"]))
            taken = memory_of(ground.fleet.process("gateway" if name == "nginx" else name).pid)
            shares[name] = taken / limit
            outcome.memory_peak += taken
            if taken > limit:
                outcome.faults.append(f"{name} has {taken / 2**20:.0f} MB, its container {limit / 2**20:.0f}")
    outcome.memory_before = outcome.memory_peak
    nearest = max(shares, key=lambda name: shares[name])
    outcome.note = f"{nearest} is nearest to its limit, at {shares[nearest]:.0%}"
    return outcome


def _bytes_of(limit: str) -> int:
    found = re.fullmatch(r"(\d+)([kmg])b?", limit)
    if found is None:
        raise ValueError(f"{limit!r} is no limit on memory as Compose writes one")
    return int(found[1]) * _UNITS[found[2]]


def image_references(_: Ground, __: Scale) -> Outcome:
    """A tag that is moved to another image: what is named by digest stays what it was."""
    outcome = Outcome()
    named = {pin for path in places(REPOSITORY) for pin in named_in(path.read_text())}
    by_tag = sorted(pin.name for pin in named if pin.digest is None and not pin.name.startswith("cloudcix/"))
    of_the_stacks = {
        pin.name for stack in CONTAINERS for pin in named_in((REPOSITORY / stack / "docker-compose.yml").read_text())
    }
    outcome.faults += [
        f"{name} holds secrets or data, and is named by tag alone"
        for name in by_tag
        if name in of_the_stacks and "exporter" not in name
    ]
    outcome.note = f"{len(named) - len(by_tag)} by digest; by tag, none being known: {', '.join(by_tag) or 'none'}"
    return outcome
