"""What one owner's webhooks take of the courier: a share of it, whatever their receivers do."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest
from conftest import Core
from pydantic import SecretStr

from app.core.notices import deliveries, webhooks
from app.core.notices.courier import A_HOST, IN_FLIGHT, LEASE_SECONDS, Courier
from app.core.notices.sealing import Sealer
from app.core.notices.sending import Attempt, Message
from ml_shared.contracts.webhooks import WebhookChange, WebhookEvent, WebhookRequest

SEALER = Sealer([SecretStr("k" * 32)])
MOST_WEBHOOKS = 20


class HangingSender:
    """Takes everything at once, but for what goes to a host that hangs: that waits until it is let go."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.let_go = asyncio.Event()

    async def send(self, url: str, message: Message, secrets: Sequence[str]) -> Attempt:
        self.sent.append(url)
        if "hangs" not in url:
            return Attempt(None, 0.1, 200, "thanks")
        await self.let_go.wait()
        return Attempt("timeout", 10.0)


@pytest.fixture
async def sender() -> AsyncIterator[HangingSender]:
    opened = HangingSender()
    yield opened
    opened.let_go.set()


async def endpoint(core: Core, owner: str, url: str) -> UUID:
    made = await webhooks.create(
        core.pool, owner, WebhookRequest(url=url, events=[WebhookEvent.RUN_ENDED]), SEALER, max_webhooks=MOST_WEBHOOKS
    )
    return UUID(made.webhook_id)


async def announce(core: Core, owner: str, count: int = 1) -> None:
    await core.pool.execute(
        "SELECT announce_event($1, 'run.ended', jsonb_build_object('run', n)) FROM generate_series(1, $2::integer) n",
        *(owner, count),
    )


async def claimed(core: Core, room: int = IN_FLIGHT) -> list[str]:
    rows = await core.pool.fetch("SELECT * FROM claim_deliveries($1, $2, $3)", A_HOST, room, LEASE_SECONDS)
    return [row["owner"] for row in rows]


async def test_owners_whose_receivers_all_hang_keep_nobody_elses_deliveries(core: Core, sender: HangingSender) -> None:
    for owner in range(4):
        for number in range(MOST_WEBHOOKS):
            hanging = await endpoint(core, f"key:{owner}", f"http://{number}.{owner}.hangs.test/")
            await deliveries.send_test(core.pool, f"key:{owner}", hanging)
        await announce(core, f"key:{owner}", 3)
    courier = Courier(core.pool, sender, SEALER)  # type: ignore[arg-type]
    taken = await courier.take()
    assert taken < IN_FLIGHT
    await endpoint(core, "key:victim", "http://victim.test/")
    await announce(core, "key:victim")
    assert await courier.take() >= 1
    async with asyncio.timeout(60):
        while "http://victim.test/" not in sender.sent:
            await asyncio.sleep(0.01)
    sender.let_go.set()
    await courier.settled()


async def test_the_last_place_goes_to_whoever_has_least_under_way(core: Core) -> None:
    for number in range(5):
        await endpoint(core, "key:a", f"http://{number}.test/")
    await announce(core, "key:a", 2)
    assert await claimed(core, room=7) == ["key:a"] * 4, "half of the room, rounded up"
    await endpoint(core, "key:z", "http://z.test/")
    await announce(core, "key:z")
    assert await claimed(core, room=1) == ["key:z"]


async def test_at_one_host_owners_take_turns(core: Core) -> None:
    webhook_id = await endpoint(core, "key:a", "http://shared.test/a")
    for number in range(3):
        await endpoint(core, "key:a", f"http://shared.test/{number}")
    await announce(core, "key:a", 5)
    await deliveries.send_test(core.pool, "key:a", webhook_id)
    await endpoint(core, "key:b", "http://shared.test/b")
    await announce(core, "key:b")
    assert sorted(await claimed(core)) == ["key:a", "key:b"]


async def test_a_test_waits_like_the_rest_at_an_endpoint_that_has_just_failed(core: Core) -> None:
    webhook_id = await endpoint(core, "key:a", "http://receiver.test/")
    await core.pool.execute("UPDATE webhooks SET failures = 3, not_before = now() + interval '10 minutes'")
    await deliveries.send_test(core.pool, "key:a", webhook_id)
    assert await claimed(core) == []
    await webhooks.change(core.pool, "key:a", webhook_id, WebhookChange(paused=False))
    assert await claimed(core) == ["key:a"], "whoever resumes it need not wait"
