"""The attacks, a row of the table each: who does what, who is the victim, and what must not happen."""

import math
import statistics
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from attack.ground import Ground, Outcome

SLACK_SECONDS: Final = 0.1
FACTOR: Final = 2.0
# another caller's single request may take twice its idle time, or a tenth of a second more


@dataclass(frozen=True)
class Scale:
    """How hard it is attacked: `short` is for every run of the tests."""

    seconds: float
    before: int
    megabytes: int
    at_once: int
    connections: int


SHORT: Final = Scale(seconds=5, before=30, megabytes=16, at_once=12, connections=500)
FULL: Final = Scale(seconds=30, before=100, megabytes=46, at_once=100, connections=9_000)


@dataclass(frozen=True)
class Row:
    """One attack.

    Attributes
    ----------
    name
        What `make attack ARGS=…` calls it.
    what
        Who does what to whom.
    run
        Attacks, and says what came of it.
    """

    name: str
    what: str
    run: Callable[[Ground, Scale], Outcome]


def stands(outcome: Outcome) -> list[str]:
    """Return what is wrong with an outcome: nothing, if the attack came to nothing."""
    wrong = list(outcome.faults)
    if outcome.before.failures:
        wrong.append(f"the victim was not served before, either: {outcome.before.failures[0]}")
    if outcome.lost:
        wrong.append(f"{outcome.lost} processes were lost")
    if outcome.during.failures:
        wrong.append(f"the victim was refused {len(outcome.during.failures)} times: {outcome.during.failures[0]}")
    if outcome.before.seconds and not outcome.delays_are_meant:
        idle, now = outcome.before.percentile(50), outcome.during.percentile(50)
        if now > max(FACTOR * idle, idle + SLACK_SECONDS):
            wrong.append(f"the victim's median went from {idle * 1000:.0f} ms to {now * 1000:.0f} ms")
    return wrong


def chunk_one_line(victim: httpx.Client) -> httpx.Response:
    """Ask for the chunks of one line."""
    return victim.post("/api/chunking/chunk", json={"text": "hello world"})


def enqueue_one_document(victim: httpx.Client) -> httpx.Response:
    """Have one short document indexed."""
    document = {"url": f"http://victim.test/{uuid.uuid4()}"}
    chunks = [{"index": 0, "text": "hello world", "start": 0, "end": 11, "token_count": 4}]
    body = {"corpus_name": "victim", "document": document, "chunks": chunks}
    return victim.post("/api/embedding/enqueue", json=body)


def list_jobs(victim: httpx.Client) -> httpx.Response:
    """List one's jobs."""
    return victim.get("/api/orchestrator/jobs", params={"limit": 1})


def _flooded(
    ground: Ground,
    scale: Scale,
    victim: Callable[[httpx.Client], httpx.Response],
    programs: tuple[str, ...],
    flood: str,
    **plan: Any,
) -> Outcome:
    outcome = Outcome(before=ground.measure(victim, scale.before))
    with ground.watched(outcome, *programs), ground.attackers(flood, seconds=scale.seconds * 3, **plan) as end:
        time.sleep(min(2.0, scale.seconds / 3))  # until it is under way
        outcome.during = ground.measure(victim, 10**6, until=time.monotonic() + scale.seconds)
        outcome.note = ", ".join(f"{count} × {what}" for what, count in sorted(end().items()) if what != "seconds")
    return outcome


def without_a_key(ground: Ground, scale: Scale) -> Outcome:
    """Large JSON from somebody who has no key."""
    outcome = _flooded(
        ground, scale, chunk_one_line, ("chunking",), "large_json",
        megabytes=scale.megabytes, at_once=6, most=12 if scale is FULL else 6,
    )  # fmt: skip
    if "200" in outcome.note:
        outcome.faults.append("somebody without a key was served")
    return outcome


def a_full_queue(ground: Ground, scale: Scale) -> Outcome:
    """One caller queues documents until he may queue no more."""
    return _flooded(
        ground, scale, enqueue_one_document, ("embedding", "redis-embed"), "documents",
        key=ground.attacker_key, megabytes=14 if scale is FULL else 6, at_once=4, most=200,
    )  # fmt: skip


def half_sent_headers(ground: Ground, scale: Scale) -> Outcome:
    """Connections that begin a request and never end it."""
    return _flooded(ground, scale, list_jobs, ("gateway",), "half_sent", at_once=scale.connections)


def large_texts(ground: Ground, scale: Scale) -> Outcome:
    """One caller has many large texts cut at once."""
    return _flooded(
        ground, scale, chunk_one_line, ("chunking",), "large_json",
        key=ground.attacker_key, megabytes=5 if scale is FULL else 2, at_once=scale.at_once, most=10**6,
    )  # fmt: skip


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


def service_ports(ground: Ground, scale: Scale) -> Outcome:
    """What a peer on the fleet's network could send to a service itself: handshakes, headers, trailers, slow bodies."""
    outcome = _flooded(
        ground, scale, chunk_one_line, ("chunking",), "slow_bodies",
        key=ground.attacker_key, target=ground.url("chunking"), path="/chunk", at_once=min(scale.connections, 1_000),
    )  # fmt: skip
    target = ground.url("chunking")
    websocket = {
        "Connection": "Upgrade", "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    }  # fmt: skip
    for path, headers, status in (
        ("/chunk", websocket, 405),
        ("/health", {f"X-{number}": "1" for number in range(120)}, 431),
        ("/health", {"X-Long": "a" * 70_000}, 431),
    ):
        answer = httpx.get(target + path, headers=headers, timeout=10)
        if answer.status_code != status:
            outcome.faults.append(f"{path} with {len(headers)} headers: {answer.status_code} instead of {status}")
    return outcome


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
            answer = httpx.request(method, ground.url(service, path), headers={"X-API-Key": key}, json={}, timeout=10)
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


def dead_children(ground: Ground, scale: Scale) -> Outcome:
    """Workers' children killed, again and again, while documents are indexed."""
    outcome = Outcome()
    worker = ground.fleet.process("embedding-worker")
    tries = 3 if scale is SHORT else 20
    for series, kill in ((outcome.before, False), (outcome.during, True)):
        for _ in range(tries):
            children = worker.children()
            if kill:
                for child in children:
                    child.kill()
            began = time.monotonic()
            answer = enqueue_one_document(ground.victim)
            task = answer.json().get("task_id")
            while True:
                result = ground.ask(ground.victim, "GET", f"/api/embedding/results/{task}")
                if result.status_code == 200:
                    series.seconds.append(time.monotonic() - began)
                    break
                if result.status_code != 202 or time.monotonic() - began > 60:
                    series.failures.append(f"{result.status_code} {result.text[:80]}")
                    break
                time.sleep(0.1)
    slowest = max(outcome.during.seconds, default=math.inf)
    usual = statistics.median(outcome.before.seconds) if outcome.before.seconds else 0.0
    if slowest > usual + 4:  # two seconds until a task starts anew, and as much for a machine that does other things
        outcome.faults.append(f"after a kill a task took {slowest:.1f} s, where {usual:.1f} s are usual")
    outcome.note = f"{tries} kills of all children"
    outcome.delays_are_meant = True
    return outcome


ROWS: Final = (
    Row("large-json", "no key: large JSON; the victim cuts one line", without_a_key),
    Row("full-queue", "one key: large documents into embedding's queue; the victim queues one", a_full_queue),
    Row("half-headers", "no key: headers that never end; the victim lists jobs", half_sent_headers),
    Row("large-texts", "one key: large texts to cut, many at once; the victim cuts one line", large_texts),
    Row("values", "one key: times, cursors, integers, names that storage refuses", nasty_values),
    Row("json", "one key: NaN, names twice, wrong types, parameters twice", loose_json),
    Row("signed-urls", "one key: secrets in URLs; every log is looked through", signed_urls),
    Row("ports", "a service's port: slow bodies, handshakes, headers; the victim cuts one line", service_ports),
    Row("service-keys", "a service's key on users' routes", services_keys),
    Row("loose-ends", "slashes, methods, encodings, listeners", loose_ends),
    Row("dead-children", "embedding's worker loses its children; the victim has documents indexed", dead_children),
)
