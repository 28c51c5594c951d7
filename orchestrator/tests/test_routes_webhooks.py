"""Webhooks over HTTP."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest
from conftest import ALICE, BOB

from app.core.jobs import idempotency
from ml_shared.audit.events import AuditEvent

WEBHOOK = {"url": "http://receiver.test/", "events": ["job.completed", "batch.ended"]}
USER = {"X-API-Key": ALICE}
NOBODY = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(autouse=True)
def _repeats_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeat waits for the first request, however slow that is."""
    monkeypatch.setattr(idempotency, "WAIT", "60s")


async def made(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.post("/webhooks", json=WEBHOOK, headers=USER)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_a_webhook_is_made_read_changed_and_deleted_by_its_owner_and_its_secret_is_told_once(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    created = await made(api)
    secret, path = created.pop("secret"), f"/webhooks/{created['webhook_id']}"
    assert secret.startswith("whsec_")
    listed = (await api.get("/webhooks", headers=USER)).json()["items"]
    assert listed == [created] == [(await api.get(path, headers=USER)).json()]
    changed = await api.patch(path, json={"events": ["run.ended"], "paused": True}, headers=USER)
    assert (changed.json()["events"], changed.json()["pause_reason"]) == (["run.ended"], "asked")
    test = await api.post(f"{path}/test", headers=USER)
    assert test.status_code == 202
    log = await api.get(f"{path}/deliveries", headers=USER)
    assert [one["delivery_id"] for one in log.json()["items"]] == [test.json()["delivery_id"]]
    replay = await api.post(f"{path}/replay", json={"since": "2026-01-01T00:00:00Z"}, headers=USER)
    assert (replay.status_code, replay.json()["code"]) == (409, "webhook_paused")
    await api.patch(path, json={"paused": False}, headers=USER)
    rotated = await api.post(f"{path}/rotate", headers=USER)
    assert rotated.json()["secret"] not in ("", secret)
    assert (await api.delete(path, headers=USER)).status_code == 204
    assert (await api.get(path, headers=USER)).json()["code"] == "webhook_not_found"
    told = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert secret not in told + str(listed) + changed.text + log.text
    assert rotated.json()["secret"] not in told


async def test_a_repeat_makes_no_second_webhook_and_does_not_show_the_secret_again(
    api: httpx.AsyncClient, configured: Any
) -> None:
    keyed = USER | {"Idempotency-Key": "once"}
    created = (await api.post("/webhooks", json=WEBHOOK, headers=keyed)).json()
    secret, path = created.pop("secret"), f"/webhooks/{created['webhook_id']}"
    repeats = await asyncio.gather(*(api.post("/webhooks", json=WEBHOOK, headers=keyed) for _ in range(3)))
    assert [(repeat.status_code, repeat.json()) for repeat in repeats] == [(200, created)] * 3
    assert len((await api.get("/webhooks", headers=USER)).json()["items"]) == 1
    kept = await asyncpg.connect(configured.DATABASE_URL)
    assert secret not in str(await kept.fetch("SELECT * FROM idempotency_keys"))
    await kept.close()
    other = await api.post("/webhooks", json=WEBHOOK | {"events": ["run.ended"]}, headers=keyed)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    anothers = await api.post("/webhooks", json=WEBHOOK, headers=keyed | {"X-API-Key": BOB})
    assert anothers.json()["webhook_id"] != created["webhook_id"]
    await api.delete(path, headers=USER)
    assert (await api.post("/webhooks", json=WEBHOOK, headers=keyed)).json()["code"] == "webhook_not_found"


async def test_a_repeated_rotation_makes_no_third_secret_and_does_not_show_the_second_again(
    api: httpx.AsyncClient, configured: Any
) -> None:
    webhook_id = (await made(api))["webhook_id"]
    path, keyed = f"/webhooks/{webhook_id}/rotate", USER | {"Idempotency-Key": "once"}
    kept = await asyncpg.connect(configured.DATABASE_URL)
    answers = await asyncio.gather(*(api.post(path, headers=keyed) for _ in range(4)))
    assert [answer.status_code for answer in answers] == [200] * 4
    (first,) = [answer.json() for answer in answers if "secret" in answer.json()]
    secret = first.pop("secret")
    assert [answer.json() for answer in answers if "secret" not in answer.json()] == [first] * 3
    (row,) = await kept.fetch("SELECT sealed, previous_sealed FROM webhooks")
    assert secret not in str(await kept.fetch("SELECT * FROM idempotency_keys"))
    assert (await api.post(path, headers=keyed)).json() == first
    assert await kept.fetch("SELECT sealed, previous_sealed FROM webhooks") == [row]
    other = await api.post(path, headers=keyed | {"Idempotency-Key": "another"})
    assert other.json()["secret"] not in ("", secret)
    await kept.close()
    second = (await made(api))["webhook_id"]
    assert "secret" in (await api.post(f"/webhooks/{second}/rotate", headers=keyed)).json(), "a key is one webhook's"
    missing = await api.post(f"/webhooks/{NOBODY}/rotate", headers=keyed)
    assert (missing.status_code, missing.json()["code"]) == (404, "webhook_not_found")
    await api.delete(f"/webhooks/{webhook_id}", headers=USER)
    assert (await api.post(path, headers=keyed)).json()["code"] == "webhook_not_found"


async def test_another_owners_webhook_is_none(api: httpx.AsyncClient) -> None:
    path = f"/webhooks/{(await made(api))['webhook_id']}"
    other = {"X-API-Key": BOB}
    for method, at, body in (
        ("GET", path, None),
        ("PATCH", path, {"paused": True}),
        ("DELETE", path, None),
        ("POST", f"{path}/rotate", None),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None),
        ("POST", f"{path}/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("POST", f"{path}/deliveries/{NOBODY}/replay", None),
    ):
        answer = await api.request(method, at, json=body, headers=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "webhook_not_found"), (method, at)
    assert (await api.get("/webhooks", headers=other)).json()["items"] == []
    missing = await api.post(f"{path}/deliveries/{NOBODY}/replay", headers=USER)
    assert (missing.status_code, missing.json()["code"]) == (404, "delivery_not_found")


async def test_a_webhook_that_can_not_be_is_refused_and_says_why(api: httpx.AsyncClient) -> None:
    for change, code in (
        ({"url": "http://10.0.0.1/"}, "blocked_address"),
        ({"url": "http://[::1]/"}, "blocked_address"),
        ({"url": "http://receiver.test:22/"}, "blocked_port"),
        ({"url": "ftp://receiver.test/"}, "blocked_scheme"),
        ({"events": []}, "invalid_request"),
        ({"events": ["job.failed", "job.failed"]}, "invalid_request"),
        ({"events": ["job.vanished"]}, "invalid_request"),
        ({"secret": "mine"}, "invalid_request"),
    ):
        answer = await api.post("/webhooks", json=WEBHOOK | change, headers=USER)
        assert (answer.status_code, answer.json()["code"]) == (422, code), change


async def test_webhooks_are_bounded(api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configured, "MAX_WEBHOOKS_PER_OWNER", 1)
    await made(api)
    refused = await api.post("/webhooks", json=WEBHOOK, headers=USER)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")


async def test_without_a_key_to_seal_secrets_with_there_are_no_webhooks_and_all_else_works(
    api: httpx.AsyncClient, configured: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured, "WEBHOOK_SECRET_KEY", None)
    for method, path in (("POST", "/webhooks"), ("GET", "/webhooks"), ("GET", f"/webhooks/{NOBODY}")):
        answer = await api.request(method, path, json=WEBHOOK if method == "POST" else None, headers=USER)
        assert (answer.status_code, answer.json()["code"]) == (503, "webhooks_unavailable")
        assert "WEBHOOK_SECRET_KEY" in answer.json()["detail"]
    assert (await api.post("/jobs", json={"url": "http://site.test/"}, headers=USER)).status_code == 202


async def test_making_rotating_and_deleting_leave_a_line_in_the_audit_trail(
    api: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="audit")
    created = await made(api)
    path = f"/webhooks/{created['webhook_id']}"
    await api.post(f"{path}/rotate", headers=USER)
    await api.delete(path, headers=USER)
    lines = [(record.msg, record.fields["webhook_id"]) for record in caplog.records if record.name == "audit"]  # type: ignore[attr-defined]
    assert lines == [
        (event, created["webhook_id"])
        for event in (AuditEvent.WEBHOOK_CREATED, AuditEvent.WEBHOOK_ROTATED, AuditEvent.WEBHOOK_DELETED)
    ]


def test_a_key_that_is_too_short_stops_the_service() -> None:
    from app.config import settings

    values = settings.model_dump()
    for key, keys in (("k" * 32, 1), (f"{'n' * 32}, {'k' * 40}", 2), ("", 0)):
        assert len(type(settings)(**{**values, "WEBHOOK_SECRET_KEY": key}).webhook_keys) == keys
    with pytest.raises(ValueError, match="at least 32 characters"):
        type(settings)(**{**values, "WEBHOOK_SECRET_KEY": "short"})
