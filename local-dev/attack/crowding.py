"""Attacks that crowd: one caller takes all that he can get, and a victim asks for little meanwhile."""

import contextlib
import math
import statistics
import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import psutil

from attack.ground import FULL, SHORT, VICTIM_TIMEOUT_SECONDS, Ground, Outcome, Scale

ENDED_SECONDS = 120.0


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
        time.sleep(min(2.0, scale.seconds / 10))  # until it is under way
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
        answer = httpx.get(target + path, headers=headers, timeout=VICTIM_TIMEOUT_SECONDS)
        if answer.status_code != status:
            outcome.faults.append(f"{path} with {len(headers)} headers: {answer.status_code} instead of {status}")
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
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            began = time.monotonic()
            answer = enqueue_one_document(ground.victim)
            task = answer.json().get("task_id")
            while True:
                result = ground.ask(ground.victim, "GET", f"/api/embedding/results/{task}")
                if result.status_code == 200:
                    series.seconds.append(time.monotonic() - began)
                    break
                if result.status_code != 202 or time.monotonic() - began > ENDED_SECONDS:
                    series.failures.append(f"{result.status_code} {result.text[:80]}")
                    break
                time.sleep(0.1)
    slowest = max(outcome.during.seconds, default=math.inf)
    usual = statistics.median(outcome.before.seconds) if outcome.before.seconds else 0.0
    if slowest > usual + scale.anew_seconds:
        outcome.faults.append(f"after a kill a task took {slowest:.1f} s, where {usual:.1f} s are usual")
    outcome.note = f"{tries} kills of all children"
    outcome.delays_are_meant = True
    return outcome
