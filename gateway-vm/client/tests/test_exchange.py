"""When a request is sent again, and when it is not: gone through step by step, without a network and without a clock."""

from collections.abc import Callable
from typing import Any

import pytest
from cloudcix_ml import Client
from cloudcix_ml.core import exchange as exchanging
from cloudcix_ml.core.effects import SYNC_TIMEOUT_SECONDS, Answer, Done, Pause, Request, Send, Steps
from cloudcix_ml.core.exchange import exchange
from cloudcix_ml.core.session import PATIENCE_SECONDS, Session
from cloudcix_ml.errors import ProblemError, TooManyRequestsError, TransportError, UnavailableError
from cloudcix_ml.operations.search import search
from fake_gateway import FakeGateway, Planned

GOOD = Answer(200, {}, b"{}")
LOST = TransportError("lost", sent=True)
UNSENT = TransportError("unsent", sent=False)


def refused(status: int, code: str, **headers: str) -> Answer:
    return Answer(status, {"retry-after": headers["after"]} if headers else {}, b'{"code": "%s"}' % code.encode())


class Walk:
    """Goes through one call; its clock moves by its pauses alone."""

    def __init__(self, *outcomes: Answer | TransportError, patience: float = 60.0, chance: float = 0.0) -> None:
        self.now = 0.0
        self.sent: list[Request] = []
        self.pauses: list[float] = []
        self._outcomes = list(outcomes)
        self.session = Session(
            "http://x", None, patience_seconds=patience, clock=lambda: self.now, chance=lambda: chance
        )

    def run(self, request: Request, **more: Any) -> Answer:
        steps = Steps(exchange(self.session, request, **more))
        effect = steps.begin()
        while not isinstance(effect, Done):
            if isinstance(effect, Pause):
                self.now += effect.seconds
                self.pauses.append(effect.seconds)
                effect = steps.after(None)
                continue
            assert isinstance(effect, Send)
            self.sent.append(effect.request)
            outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
            effect = steps.failed(outcome) if isinstance(outcome, Exception) else steps.after(outcome)
        result: Answer = effect.result
        return result


GET = Request("GET", "/x")
ONCE = Request("POST", "/x", repeatable=False)


@pytest.fixture(autouse=True)
def as_built(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanging, "FIRST_WAIT_SECONDS", 0.25)


def test_what_is_told_to_wait_comes_no_sooner_and_a_little_later() -> None:
    for chance in (0.0, 0.5, 0.999):
        walk = Walk(refused(429, "rate_limited", after="7"), GOOD, chance=chance)
        assert walk.run(GET) == GOOD
        assert 7.0 <= walk.pauses[0] <= 7.0 * 1.2
        assert (walk.pauses[0] > 7.0) == (chance > 0)


def test_a_wait_longer_than_there_is_time_is_not_begun() -> None:
    walk = Walk(refused(429, "rate_limited", after="61"))
    with pytest.raises(TooManyRequestsError) as caught:
        walk.run(GET)
    assert (walk.pauses, caught.value.retry_after_seconds) == ([], 61.0)


def test_it_ends_at_the_deadline_whatever_comes() -> None:
    walk = Walk(refused(503, "unavailable"), patience=5.0)
    with pytest.raises(UnavailableError):
        walk.run(GET)
    assert walk.now <= 5.0
    assert len(walk.sent) > 3
    assert walk.pauses == sorted(walk.pauses)


def test_it_ends_after_so_many_attempts_however_short() -> None:
    walk = Walk(refused(503, "unavailable", after="0"))
    with pytest.raises(UnavailableError):
        walk.run(GET)
    assert len(walk.sent) == walk.session.most_attempts


def test_clients_that_fail_together_do_not_come_back_together() -> None:
    waits = set()
    for tenth in range(10):
        walk = Walk(LOST, GOOD, chance=tenth / 10)
        walk.run(GET)
        waits.add(walk.pauses[0])
    assert len(waits) == 10


@pytest.mark.parametrize(
    ("request_", "outcome", "again"),
    [
        (GET, LOST, True),
        (GET, UNSENT, True),
        (ONCE, UNSENT, True),
        (ONCE, LOST, False),
        (ONCE, refused(503, "unavailable"), True),
        (GET, refused(408, "request_timeout"), True),
        (GET, refused(409, "idempotency_in_progress"), True),
        (GET, refused(409, "committing"), False),
        (GET, refused(502, "upstream_error"), True),
        (ONCE, refused(502, "upstream_error"), False),
        (GET, refused(502, "dns_failed"), False),
        (GET, refused(504, "sync_timeout"), False),
        (GET, refused(500, "internal_error"), False),
        (GET, refused(422, "invalid_request"), False),
        (GET, refused(429, "a_code_of_tomorrow"), True),
    ],
)
def test_what_is_sent_again(request_: Request, outcome: Answer | TransportError, again: bool) -> None:
    walk = Walk(outcome, GOOD)
    if again:
        assert walk.run(request_) == GOOD
    else:
        with pytest.raises((ProblemError, TransportError)):
            walk.run(request_)
    assert len(walk.sent) == 1 + again


def test_a_removal_whose_answer_was_lost_has_been_done() -> None:
    gone = refused(404, "corpus_not_found")
    assert Walk(LOST, gone).run(Request("DELETE", "/x")) == gone
    assert Walk(refused(502, "upstream_error"), gone).run(Request("DELETE", "/x")) == gone
    with pytest.raises(ProblemError):
        Walk(gone).run(Request("DELETE", "/x"))
    with pytest.raises(ProblemError):
        Walk(refused(503, "unavailable"), gone).run(Request("DELETE", "/x"))
    with pytest.raises(ProblemError):
        Walk(UNSENT, gone).run(Request("DELETE", "/x"))


def test_the_last_attempts_are_given_only_the_time_that_is_left() -> None:
    walk = Walk(LOST, GOOD, patience=10.0)
    walk.run(GET)
    assert walk.sent[0].timeout_seconds == GET.timeout_seconds
    assert walk.sent[1].timeout_seconds < 10.0


def test_the_first_attempt_is_given_longer_than_the_gateway_takes_to_say_what_took_so_long() -> None:
    walk = Walk(GOOD, patience=PATIENCE_SECONDS)
    walk.run(next(search(walk.session, "x")).request)
    assert walk.sent[0].timeout_seconds == SYNC_TIMEOUT_SECONDS > PATIENCE_SECONDS


def test_where_a_time_is_set_the_first_attempt_is_given_no_more_than_that() -> None:
    walk = Walk(GOOD, patience=60.0)
    walk.run(GET, give_up_at=5.0)
    assert walk.sent[0].timeout_seconds == 5.0


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("5", 5.0), ("-1", 0.0), ("nan", None), ("soon", None), ("1e9", 86_400.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0)],
)
def test_how_long_to_wait_is_read_in_both_forms_and_bounded(said: str, seconds: float | None) -> None:
    assert exchanging.error_of(refused(429, "rate_limited", after=said), None).retry_after_seconds == seconds


def test_a_page_submitted_through_trouble_is_one_job(client: Client, gateway: FakeGateway, quick: None) -> None:
    gateway.planned.extend([Planned(503), Planned(429, "rate_limited", {"Retry-After": "0"})])
    submit: Callable[[str], Any] = client.jobs.submit
    submit("https://example.com/")
    keys = {one.headers["idempotency-key"] for one in gateway.received}
    assert (len(gateway.received), len(keys), len(gateway.jobs)) == (3, 1, 1)
    submit("https://example.com/")
    assert gateway.received[-1].headers["idempotency-key"] not in keys
