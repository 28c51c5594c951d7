"""Sending webhooks, to receivers that behave and to some that don't."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import Core
from pydantic import SecretStr
from receiver import Receiver, answers, breaks_off, hangs, holds_until, never_stops, receiving

from app.core.notices import deliveries, webhooks
from app.core.notices.courier import RETRY_SECONDS, Courier, retry_seconds
from app.core.notices.sealing import Sealer
from app.core.notices.sending import EXCERPT_CHARACTERS, Sender
from ml_shared.contracts.webhooks import (
    DeliveryStatus,
    DeliveryView,
    ReplayRequest,
    WebhookChange,
    WebhookEvent,
    WebhookRequest,
)
from ml_shared.web.addresses import AddressGuard

SEALER = Sealer([SecretStr("k" * 32)])
OWNER = "key:a"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


class Names:
    """A resolver that knows loopback under any name, and one name that is private."""

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return ["10.0.0.1"] if host == "private.test" else ["127.0.0.1"]


def courier(core: Core, *receivers: Receiver, timeout_seconds: float = 20.0, day_seconds: float = 86_400) -> Courier:
    guard = AddressGuard(
        Names(),
        private_networks=[ipaddress.ip_network("127.0.0.0/8")],
        ports=[receiver.port for receiver in receivers],
    )
    sender = Sender(guard, httpx.create_ssl_context(), timeout_seconds=timeout_seconds)
    return Courier(core.pool, sender, SEALER, day_seconds=day_seconds)


async def endpoint(core: Core, url: str, owner: str = OWNER) -> tuple[UUID, str]:
    made = await webhooks.create(
        core.pool, owner, WebhookRequest(url=url, events=[WebhookEvent.RUN_ENDED]), SEALER, max_webhooks=20
    )
    return UUID(made.webhook_id), made.secret


async def announce(core: Core, count: int = 1, owner: str = OWNER) -> None:
    await core.pool.execute(
        "SELECT announce_event($1, 'run.ended', jsonb_build_object('run', n)) FROM generate_series(1, $2::integer) n",
        *(owner, count),
    )


async def sent(core: Core, sending: Courier) -> int:
    taken = await sending.take()
    await sending.settled()
    return taken


async def log(core: Core, webhook_id: UUID, owner: str = OWNER) -> list[DeliveryView]:
    page = await deliveries.find_page(core.pool, owner, webhook_id, None, limit=200, cursor=None)
    return page.items


async def due(core: Core) -> None:
    """Let what waits for another attempt have waited."""
    await core.pool.execute("UPDATE webhook_deliveries SET next_at = now() WHERE next_at > now()")
    await core.pool.execute("UPDATE webhooks SET not_before = now()")


async def test_a_delivery_is_signed_as_the_standard_has_it_and_logged(core: Core, receiver: Receiver) -> None:
    webhook_id, secret = await endpoint(core, receiver.url())
    await announce(core)
    assert await sent(core, courier(core, receiver)) == 1
    [received] = receiver.received
    said: Any = received.verified(secret)
    assert (said["type"], said["data"]) == ("run.ended", {"run": 1})
    assert datetime.fromisoformat(said["timestamp"]).tzinfo is not None
    assert set(received.headers) == {
        *("host", "user-agent", "content-type", "content-length", "accept-encoding", "connection"),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    }, "nothing of ours goes with it: no trace, no cookie"
    [delivery] = await log(core, webhook_id)
    assert delivery.delivery_id == received.headers["webhook-id"]
    assert (delivery.status, delivery.attempts, delivery.response_status) == ("delivered", 1, 200)
    assert (delivery.response_excerpt, delivery.error_code) == ("thanks", None)
    assert (delivery.latency_seconds or 0) > 0
    assert await sent(core, courier(core, receiver)) == 0


async def test_while_a_secret_is_rotated_both_verify_and_afterwards_the_new_one_alone(
    core: Core, receiver: Receiver
) -> None:
    webhook_id, old = await endpoint(core, receiver.url())
    new = (await webhooks.rotate(core.pool, OWNER, webhook_id, SEALER))[0].secret
    await announce(core)
    await sent(core, courier(core, receiver))
    for secret in (old, new):
        receiver.received[0].verified(secret)
    await core.pool.execute("UPDATE webhooks SET previous_until = now()")
    await announce(core)
    await sent(core, courier(core, receiver))
    receiver.received[1].verified(new)
    with pytest.raises(Exception, match="No matching signature"):
        receiver.received[1].verified(old)


@pytest.mark.parametrize(
    ("answer", "code", "status"),
    [
        (answers(500, "broken"), "http_status", 500),
        (answers(404), "http_status", 404),
        (answers(302, Location="http://127.0.0.1:1/"), "redirected", 302),
        (hangs, "timeout", None),
        (breaks_off, "connection_failed", None),
    ],
    ids=["500", "404", "redirect", "hangs", "breaks off"],
)
async def test_a_receiver_that_does_not_take_it_is_named_in_the_log_and_tried_again(
    core: Core, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, answer: Any, code: str, status: int | None
) -> None:
    # not due until the test says so
    monkeypatch.setattr("app.core.notices.courier.RETRY_SECONDS", RETRY_SECONDS[-1:])
    webhook_id, _ = await endpoint(core, receiver.url())
    receiver.answer = answer
    await announce(core)
    impatient = courier(core, receiver, timeout_seconds=0.5)
    sending = courier(core, receiver)
    assert await sent(core, impatient if answer is hangs else sending) == 1
    [delivery] = await log(core, webhook_id)
    assert (delivery.status, delivery.error_code, delivery.response_status) == ("pending", code, status)
    assert (delivery.next_attempt_at or datetime.now(UTC)) > datetime.now(UTC)
    assert await sent(core, sending) == 0, "not before its time"
    receiver.answer = answers(204)
    await due(core)
    assert await sent(core, sending) == 1
    [delivery] = await log(core, webhook_id)
    assert (delivery.status, delivery.attempts, delivery.error_code) == ("delivered", 2, None)
    # one that ran out of time need not have arrived
    assert len(receiver.received) in ((1, 2) if answer is hangs else (2,))
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1


async def test_what_may_not_be_connected_to_is_not(core: Core, receiver: Receiver) -> None:
    expected = {"http://private.test/": "blocked_address", "http://ok.test:6379/": "blocked_port"}
    made = {url: (await endpoint(core, url))[0] for url in expected}
    await announce(core)
    await sent(core, courier(core, receiver))
    for url, webhook_id in made.items():
        [delivery] = await log(core, webhook_id)
        assert (delivery.status, delivery.error_code) == ("pending", expected[url])
    assert receiver.received == []


async def test_of_an_answer_of_ten_megabytes_the_beginning_is_read(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    receiver.answer = never_stops
    await announce(core)
    await sent(core, courier(core, receiver))
    [delivery] = await log(core, webhook_id)
    assert (delivery.status, delivery.response_excerpt) == ("delivered", "x" * EXCERPT_CHARACTERS)


async def test_a_text_that_can_not_be_stored_is_kept_as_far_as_it_can(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    receiver.answer = answers(200, "a\0b")
    await announce(core)
    await sent(core, courier(core, receiver))
    assert (await log(core, webhook_id))[0].response_excerpt == "a\ufffdb"


async def test_a_host_gets_two_at_a_time_whoever_sends_there(core: Core, receiver: Receiver) -> None:
    for owner in (OWNER, "key:b"):
        await endpoint(core, receiver.url(), owner)
        await announce(core, 4, owner)
    released = asyncio.Event()
    receiver.answer = holds_until(released, answers(200))
    sending = courier(core, receiver, timeout_seconds=60)
    taken = [await sending.take()]
    async with asyncio.timeout(30):
        while len(receiver.received) < 2:
            await asyncio.sleep(0.01)
    taken += [await sending.take() for _ in range(2)]
    released.set()
    await sending.settled()
    assert (taken, receiver.most_open) == ([2, 0, 0], 2)


async def test_a_receiver_that_hangs_delays_no_other_owners_deliveries(core: Core, receiver: Receiver) -> None:
    async with receiving() as slow:
        slow.answer = hangs
        hanging, _ = await endpoint(core, slow.url("slow.test"), "key:b")
        await announce(core, 50, "key:b")
        webhook_id, _ = await endpoint(core, receiver.url("fast.test"))
        await announce(core, 4)
        sending = courier(core, receiver, slow, timeout_seconds=60)
        async with asyncio.timeout(20):
            while len(receiver.received) < 4:
                await sending.take()
                await asyncio.sleep(0.01)
        assert slow.most_open <= 2
        assert {one.status for one in await log(core, hanging, "key:b")} == {"sending", "pending"}
    await sending.settled()
    assert {one.status for one in await log(core, webhook_id)} == {"delivered"}


async def test_after_a_failure_all_that_is_for_an_endpoint_waits(core: Core, receiver: Receiver) -> None:
    await endpoint(core, receiver.url())
    receiver.answer = answers(503, Retry_After="120")
    await announce(core, 5)
    sending = courier(core, receiver)
    assert [await sent(core, sending) for _ in range(3)] == [2, 0, 0]
    waits = await core.pool.fetchval(
        "SELECT min(next_at) - now() FROM webhook_deliveries WHERE attempts > 0 AND status = 'pending'"
    )
    assert waits > timedelta(seconds=100), "no sooner than the receiver asks"


async def test_what_a_dead_process_was_sending_is_sent_again_with_the_same_id(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    await announce(core)
    await core.pool.execute("SELECT * FROM claim_deliveries(2, 10, 30)")
    assert await sent(core, courier(core, receiver)) == 0, "leased to a process that is not there any more"
    await core.pool.execute("UPDATE webhook_deliveries SET leased_until = now() - interval '1 second'")
    assert await sent(core, courier(core, receiver)) == 1
    [delivery] = await log(core, webhook_id)
    assert (delivery.status, delivery.attempts) == ("delivered", 2)
    assert receiver.received[0].headers["webhook-id"] == delivery.delivery_id


async def test_what_fails_for_a_day_is_given_up_and_its_endpoint_paused_with_the_reason(
    core: Core, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    webhook_id, secret = await endpoint(core, receiver.url())
    receiver.answer = answers(500)
    await announce(core, 2)
    sending = courier(core, receiver)
    await sent(core, sending)
    await core.pool.execute(
        "UPDATE webhook_deliveries SET tried_since = tried_since - interval '25 hours' WHERE data @> '{\"run\": 1}'"
    )
    await core.pool.execute("UPDATE webhooks SET failing_since = failing_since - interval '25 hours'")
    await due(core)
    await sent(core, sending)
    view = await webhooks.find(core.pool, OWNER, webhook_id)
    assert (view.paused, view.pause_reason) == (True, "http_status")
    assert view.failing_since is not None
    await announce(core)
    by_run = {(one.data["run"], one.status) for one in await log(core, webhook_id)}
    assert by_run == {(1, "failed"), (2, "held"), (1, "held")}
    assert await sent(core, sending) == 0
    view = await webhooks.change(core.pool, OWNER, webhook_id, WebhookChange(paused=False))
    assert (view.paused, view.pause_reason, view.failing_since) == (False, None, None)
    receiver.answer = answers(200)
    again = ReplayRequest(since=datetime.now(UTC) - timedelta(hours=1), undelivered_only=True)
    assert (await deliveries.replay_since(core.pool, OWNER, webhook_id, again)).deliveries == 3
    assert [await sent(core, sending) for _ in range(2)] == [2, 1]
    assert {one.status for one in await log(core, webhook_id)} == {"delivered"}
    for line in caplog.text, str(caplog.records):
        assert secret not in line
        assert "canary" not in line, "an address can be a secret"


async def test_an_endpoint_that_is_gone_is_paused_at_once(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    receiver.answer = answers(410)
    await announce(core, 3)
    await sent(core, courier(core, receiver))
    view = await webhooks.find(core.pool, OWNER, webhook_id)
    assert (view.paused, view.pause_reason) == (True, "gone")
    assert {one.status for one in await log(core, webhook_id)} == {"failed", "held"}


async def test_what_is_under_way_to_an_endpoint_that_is_paused_meanwhile_is_held_too(
    core: Core, receiver: Receiver
) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    asked = 0

    async def answer(writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            while asked == 1:
                await asyncio.sleep(0.01)
            await answers(410)(writer)
            return
        while not (await webhooks.find(core.pool, OWNER, webhook_id)).paused:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)  # what was pending then has been held
        await answers(500)(writer)

    receiver.answer = answer
    await announce(core, 2)
    await sent(core, courier(core, receiver))
    assert sorted(one.status for one in await log(core, webhook_id)) == ["failed", "held"]


async def test_a_test_is_sent_before_all_else_once_and_to_a_paused_endpoint_too(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    await announce(core, 5)
    await webhooks.change(core.pool, OWNER, webhook_id, WebhookChange(paused=True))
    await deliveries.hold(core.pool, OWNER, webhook_id)
    made = await deliveries.send_test(core.pool, OWNER, webhook_id)
    assert await deliveries.send_test(core.pool, OWNER, webhook_id) == made
    receiver.answer = answers(500, "not today")
    assert await sent(core, courier(core, receiver)) == 1
    delivery = next(one for one in await log(core, webhook_id) if one.delivery_id == made.delivery_id)
    assert (delivery.type, delivery.status) == ("webhook.test", "failed")
    assert (delivery.error_code, delivery.response_excerpt) == ("http_status", "not today")
    assert (await webhooks.find(core.pool, OWNER, webhook_id)).failing_since is None


async def test_a_replay_sends_what_has_arrived_again_under_its_id(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    await announce(core, 2)
    sending = courier(core, receiver)
    await sent(core, sending)
    one = (await log(core, webhook_id))[0]
    await deliveries.replay(core.pool, OWNER, webhook_id, UUID(one.delivery_id))
    await sent(core, sending)
    assert [received.headers["webhook-id"] for received in receiver.received].count(one.delivery_id) == 2
    everything = ReplayRequest(since=datetime.now(UTC) - timedelta(hours=1))
    assert (await deliveries.replay_since(core.pool, OWNER, webhook_id, everything)).deliveries == 2
    await sent(core, sending)
    assert len(receiver.received) == 5


async def test_a_long_replay_says_where_to_go_on(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "REPLAY_BATCH", 3)
    webhook_id, _ = await endpoint(core, "http://receiver.test/")
    for _ in range(5):
        await announce(core)
    await core.pool.execute("UPDATE webhook_deliveries SET status = 'delivered'")
    since: datetime | None = datetime.now(UTC) - timedelta(hours=1)
    rounds = []
    while since is not None:
        done = await deliveries.replay_since(core.pool, OWNER, webhook_id, ReplayRequest(since=since))
        rounds.append(done.deliveries)
        since = done.next_since
    assert rounds == [3, 2]


async def test_a_secret_that_can_not_be_opened_is_named(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    await core.pool.execute("UPDATE webhooks SET sealed = $1", b"x" * 64)
    await announce(core)
    await sent(core, courier(core, receiver))
    assert (await log(core, webhook_id))[0].error_code == "secret_unreadable"
    assert receiver.received == []


async def test_the_log_is_paged_and_narrowed(core: Core, receiver: Receiver) -> None:
    webhook_id, _ = await endpoint(core, receiver.url())
    await announce(core, 5)
    await sent(core, courier(core, receiver))
    found: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor is not None:
        page = await deliveries.find_page(core.pool, OWNER, webhook_id, None, limit=2, cursor=cursor)
        found += [one.delivery_id for one in page.items]
        cursor, pages = page.next_cursor, pages + 1
    assert (pages, len(set(found)), len(found)) == (3, 5, 5)
    page = await deliveries.find_page(core.pool, OWNER, webhook_id, DeliveryStatus.DELIVERED, limit=200, cursor=None)
    assert len(page.items) == 2


def test_attempts_come_ever_later_and_no_sooner_than_asked_for() -> None:
    waits = [retry_seconds(attempts, None, 1.0) for attempts in range(1, 20)]
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (RETRY_SECONDS[0], RETRY_SECONDS[-1])
    assert retry_seconds(1, 60.0, 1.0) == 60
    assert retry_seconds(1, None, 0.8) == 4


async def sequentially_read(connection: Any) -> int:
    read: int = await connection.fetchval("SELECT pg_stat_get_xact_tuples_returned('webhook_deliveries'::regclass)")
    return read


async def test_looks_and_lists_read_by_index_however_long_the_log_is(own_core: Core) -> None:
    webhook_id, _ = await endpoint(own_core, "http://receiver.test/")
    await own_core.pool.execute(
        """INSERT INTO webhook_deliveries (owner, webhook_id, type, data, status, created_at)
           SELECT $1, CASE WHEN n % 100 = 0 THEN $2 ELSE gen_random_uuid() END, 'run.ended', '{}', 'delivered',
               now() - n * interval '1 second' FROM generate_series(1, 20000) n""",
        *(OWNER, webhook_id),
    )
    await own_core.pool.execute("ANALYZE webhook_deliveries")
    since = ReplayRequest(since=datetime.now(UTC) - timedelta(seconds=3_650))
    async with own_core.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT * FROM claim_deliveries(2, 10, 30)")
        assert await sequentially_read(connection) == 0
        for status in (None, DeliveryStatus.DELIVERED):
            page = await deliveries.find_page(connection, OWNER, webhook_id, status, limit=50, cursor=None)
            assert len(page.items) == 50
            await deliveries.find_page(connection, OWNER, webhook_id, status, limit=50, cursor=page.next_cursor)
            assert await sequentially_read(connection) == 0
        assert (await deliveries.replay_since(connection, OWNER, webhook_id, since)).deliveries == 36
        assert await sequentially_read(connection) == 0
        await connection.execute("SELECT forget_deliveries(now() - interval '5 hours', 10)")
        assert await sequentially_read(connection) == 0
