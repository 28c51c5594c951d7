"""Secrets whose key was taken out, and what a refused webhook leaves behind."""

import logging
from typing import Any
from uuid import UUID

import httpx
import pytest
from conftest import ALICE, Core
from pydantic import SecretStr

from app.core.notices import deliveries, webhooks
from app.core.notices.courier import Courier
from app.core.notices.sealing import Sealer
from app.core.notices.sending import Attempt
from ml_shared.contracts.webhooks import WebhookEvent, WebhookRequest

OLD, NEW = SecretStr("o" * 32), SecretStr("n" * 32)
OWNER = "key:a"


class Signed:
    """A sender that notes which secrets each message is signed with."""

    def __init__(self) -> None:
        self.secrets: list[list[str]] = []

    async def send(self, url: str, message: Any, secrets: list[str]) -> Attempt:
        self.secrets.append(secrets)
        return Attempt(None, 0.1, 200, "thanks")


async def sealed_with(core: Core, *keys: SecretStr) -> UUID:
    made = await webhooks.create(
        core.pool,
        OWNER,
        WebhookRequest(url="http://receiver.test/", events=[WebhookEvent.RUN_ENDED]),
        Sealer(keys),
        max_webhooks=20,
    )
    return UUID(made.webhook_id)


async def tried(core: Core, webhook_id: UUID, *keys: SecretStr) -> tuple[str | None, list[list[str]]]:
    """Send a test under some keys; return its error, and the secrets that it was signed with."""
    sender = Signed()
    courier = Courier(core.pool, sender, Sealer(keys))  # type: ignore[arg-type]
    await deliveries.send_test(core.pool, OWNER, webhook_id)
    await courier.take()
    await courier.settled()
    page = await deliveries.find_page(core.pool, OWNER, webhook_id, None, limit=1, cursor=None)
    return page.items[0].error_code, sender.secrets


@pytest.mark.parametrize("rotated_under", [(NEW, OLD), (NEW,)], ids=["both keys", "the new one alone"])
async def test_a_secret_before_that_can_not_be_opened_silences_no_delivery(
    core: Core, rotated_under: tuple[SecretStr, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    webhook_id = await sealed_with(core, OLD)
    if OLD not in rotated_under:
        assert await tried(core, webhook_id, NEW) == ("secret_unreadable", [])
    rotated, _ = await webhooks.rotate(core.pool, OWNER, webhook_id, Sealer(rotated_under))
    assert await tried(core, webhook_id, NEW) == (None, [[rotated.secret]])
    assert "previous_secret_unreadable" in caplog.text


async def test_a_webhook_that_is_refused_leaves_no_key(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "MAX_WEBHOOKS_PER_OWNER", 1)
    asked = {"url": "http://receiver.test/", "events": ["job.completed"]}
    headers = {"X-API-Key": ALICE}
    first = (await api.post("/webhooks", json=asked, headers=headers)).json()["webhook_id"]
    keyed = headers | {"Idempotency-Key": "once"}
    refused = await api.post("/webhooks", json=asked, headers=keyed)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")
    assert (await api.delete(f"/webhooks/{first}", headers=headers)).status_code == 204
    made = await api.post("/webhooks", json=asked, headers=keyed)
    assert made.status_code == 201, made.text
    assert (await api.post("/webhooks", json=asked, headers=keyed)).status_code == 200
