"""One caller sends all the large texts that it can; another's short one is cut as if it were alone."""

import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, OTHER_KEY

from app.config import settings
from app.core.turns import Turns, Work

LARGE = "The quick brown fox jumps over the lazy dog. " * 60_000
LONG_CHARACTERS = 300_000
TRIES = 15
SLACK_SECONDS = 0.3
# behind the large texts that were there before it, a short one would wait for seconds
SHARED_MACHINE = 3.0
# CI has two cores, which the large texts, the client and other tests use as well


def seconds_of(client: httpx.Client, key: str) -> list[float]:
    spent = []
    for _ in range(TRIES):
        began = time.perf_counter()
        answer = client.post("/chunk", json={"text": "hello world"}, headers={"X-API-Key": key})
        spent.append(time.perf_counter() - began)
        assert answer.status_code == 200, answer.text
    return spent


@pytest.fixture
def flood(client: httpx.Client) -> Iterator[list[httpx.Response]]:
    """A caller who sends large texts, eight at a time, until the test is over."""
    yield from _flood(client, 8, LARGE)


@pytest.fixture
def hundred(client: httpx.Client) -> Iterator[list[httpx.Response]]:
    """A caller who sends large texts, a hundred at a time, until the test is over."""
    yield from _flood(client, 100, LARGE[:LONG_CHARACTERS])


def _flood(client: httpx.Client, at_once: int, text: str) -> Iterator[list[httpx.Response]]:
    answers: list[httpx.Response] = []
    over = threading.Event()
    body = httpx.Request("POST", "http://x", json={"text": text}).content

    def send() -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60) as own:
            while not over.is_set():
                answers.append(
                    own.post(
                        "/chunk",
                        content=body,
                        headers={"Content-Type": "application/json"},
                    )
                )
                if answers[-1].status_code == 429:
                    over.wait(float(answers[-1].headers["Retry-After"]))

    threads = [threading.Thread(target=send) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    yield answers
    over.set()
    for thread in threads:
        thread.join()


@dataclass
class Grants:
    """Turns that were handed out, and how many of them others got while a short text waited for its first."""

    given: int = 0
    waited: list[int] = field(default_factory=list)


@pytest.fixture
def grants(monkeypatch: pytest.MonkeyPatch) -> Grants:
    counted = Grants()
    take, grant = Turns.take, Turns._grant

    def counted_grant(self: Turns) -> None:
        before = len(self._waiting)
        grant(self)
        counted.given += before - len(self._waiting)

    def counted_take(self: Turns, work: Work) -> None:
        before = counted.given
        take(self, work)
        if work.characters < LONG_CHARACTERS:
            counted.waited.append(counted.given - before - 1)

    monkeypatch.setattr(Turns, "_grant", counted_grant)
    monkeypatch.setattr(Turns, "take", counted_take)
    return counted


def test_a_short_text_waits_for_few_turns_of_a_callers_hundred_large_ones(
    client: httpx.Client, grants: Grants, request: pytest.FixtureRequest
) -> None:
    """By turns, not by time: a turn is a few milliseconds of the tokenizer, however busy the machine is."""
    answers: list[httpx.Response] = request.getfixturevalue("hundred")
    while not answers:  # as many are refused as there are too many, and the others are being cut
        time.sleep(0.05)
    for _ in range(TRIES):
        answer = client.post("/chunk", json={"text": "hello world"}, headers={"X-API-Key": OTHER_KEY})
        assert answer.status_code == 200, answer.text
    assert len(grants.waited) == TRIES
    assert grants.given > 2 * TRIES, "the large texts did not go on meanwhile"
    assert max(grants.waited) <= settings.CHUNK_WORKERS


@pytest.mark.parametrize("key", [OTHER_KEY, ORCHESTRATOR_KEY])
def test_a_short_text_is_not_held_up_by_another_callers_large_ones(
    client: httpx.Client, request: pytest.FixtureRequest, key: str
) -> None:
    idle = statistics.median(seconds_of(client, key))
    answers: list[httpx.Response] = request.getfixturevalue("flood")
    while not answers:
        time.sleep(0.05)
    busy = statistics.median(seconds_of(client, key))
    assert busy < max(2 * idle, idle + SLACK_SECONDS) * SHARED_MACHINE, f"{idle:.3f} s became {busy:.3f} s"


def test_a_caller_is_told_that_its_own_texts_are_too_many(flood: list[httpx.Response], client: httpx.Client) -> None:
    while not any(answer.status_code == 429 for answer in flood):
        time.sleep(0.05)
    refused = next(answer for answer in flood if answer.status_code == 429)
    assert (refused.json()["code"], refused.headers["retry-after"]) == (
        "too_many_texts",
        "2",
    )
    assert len(LARGE) * 4 > settings.CHUNK_WAITING_CHARACTERS / 4
