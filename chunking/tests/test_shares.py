"""One caller sends all the large texts that it can; another's short one is cut as if it were alone."""

import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from conftest import ORCHESTRATOR_KEY, OTHER_KEY, WAIT_SECONDS, Grants

from app.config import settings
from ml_shared.clients.tls import shared_tls

LARGE = "The quick brown fox jumps over the lazy dog. " * 60_000
LONG_CHARACTERS = 300_000
TRIES = 15


def cut_short_ones(client: httpx.Client, key: str) -> None:
    for _ in range(TRIES):
        answer = client.post("/chunk", json={"text": "hello world"}, headers={"X-API-Key": key})
        assert answer.status_code == 200, answer.text


def waits_of_short_ones(grants: Grants) -> list[int]:
    waited = [turns for characters, turns in grants.waited if characters < LONG_CHARACTERS]
    assert len(waited) == TRIES
    return waited


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
        with httpx.Client(
            base_url=client.base_url, headers=client.headers, timeout=5 * WAIT_SECONDS, verify=shared_tls()
        ) as own:
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


def test_a_short_text_waits_for_few_turns_of_a_callers_hundred_large_ones(
    client: httpx.Client, grants: Grants, request: pytest.FixtureRequest
) -> None:
    """By turns, not by time: a turn is a few milliseconds of the tokenizer, however busy the machine is."""
    answers: list[httpx.Response] = request.getfixturevalue("hundred")
    while not answers:  # as many are refused as there are too many, and the others are being cut
        time.sleep(0.05)
    cut_short_ones(client, OTHER_KEY)
    assert max(waits_of_short_ones(grants)) <= settings.CHUNK_WORKERS
    assert grants.given > 2 * TRIES, "the large texts did not go on meanwhile"


@pytest.mark.parametrize("key", [OTHER_KEY, ORCHESTRATOR_KEY])
def test_a_short_text_is_not_held_up_by_another_callers_large_ones(
    client: httpx.Client, grants: Grants, request: pytest.FixtureRequest, key: str
) -> None:
    """By what is done meanwhile: each would wait for one of the large texts to be done, at least, without turns."""
    answers: list[httpx.Response] = request.getfixturevalue("flood")
    while not answers:
        time.sleep(0.05)
    before = sum(answer.status_code == 200 for answer in answers)
    cut_short_ones(client, key)
    assert max(waits_of_short_ones(grants)) <= settings.CHUNK_WORKERS
    assert sum(answer.status_code == 200 for answer in answers) - before < TRIES / 2


def test_a_caller_is_told_that_its_own_texts_are_too_many(flood: list[httpx.Response], client: httpx.Client) -> None:
    while not any(answer.status_code == 429 for answer in flood):
        time.sleep(0.05)
    refused = next(answer for answer in flood if answer.status_code == 429)
    assert (refused.json()["code"], refused.headers["retry-after"]) == (
        "too_many_texts",
        "2",
    )
    assert len(LARGE) * 4 > settings.CHUNK_WAITING_CHARACTERS / 4
