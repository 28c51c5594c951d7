"""The operator's routes for changes of model, and what carries them out."""

import asyncio
import contextlib
from typing import Any

import httpx
import pytest

from app.core import changes
from app.core.changes import Wanted, ask_for_change, cancel_change, carry_out_next, keep_changing, read_change
from app.core.errors import ChangeUnderWayError, ModelStillAnswersError
from app.core.reembedding import Pacer
from app.core.service import Embedding
from ml_shared.testing.endpoint import DEFAULT_MODEL, EndpointMode, FakeEndpoint
from tests.conftest import OPERATOR, ORCHESTRATOR
from tests.documents import add
from tests.test_core_reembedding import (  # noqa: F401 - fixtures
    NEW,
    _new_endpoint,
    both,
    fill,
    models,
    new_endpoint,
    no_rest,
    vectors,
)


def wanted(model: str = NEW, **options: Any) -> Wanted:
    return Wanted(**{"model": model, "owner": None, "corpus": None, "min_recall": 0.5, **options})


async def carried_out(service: Embedding, change: Wanted) -> dict[str, Any]:
    noted = await ask_for_change(service, change)
    assert noted["state"] == "waiting"
    assert await carry_out_next(service, sleep=no_rest, watch_seconds=0.05)
    assert not await carry_out_next(service)
    return await read_change(service, noted["id"])


async def test_a_change_is_carried_out_taken_back_and_its_vectors_deleted(both: Embedding) -> None:  # noqa: F811
    await fill(both)
    made = await carried_out(both, wanted(switch=False))
    assert (made["state"], made["corpora_left"], made["chunks_left"]) == ("completed", 1, 20)
    assert await models(both) == {"docs": DEFAULT_MODEL}
    assert await vectors(both) == {DEFAULT_MODEL: 20, NEW: 20}
    switched = await carried_out(both, wanted())
    assert (switched["state"], switched["corpora_left"]) == ("completed", 0)
    assert any("answers from new-model" in line for line in switched["said"])
    assert await models(both) == {"docs": NEW}
    with pytest.raises(ModelStillAnswersError):
        await ask_for_change(both, wanted(forget=True))
    assert (await carried_out(both, wanted(DEFAULT_MODEL)))["state"] == "completed"
    assert await models(both) == {"docs": DEFAULT_MODEL}
    assert (await carried_out(both, wanted(forget=True)))["said"] == ["20 vectors of new-model deleted"]
    assert await vectors(both) == {DEFAULT_MODEL: 20}


async def test_one_change_at_a_time_and_a_cancelled_one_stops(
    both: Embedding,  # noqa: F811
    new_endpoint: FakeEndpoint,  # noqa: F811
) -> None:
    await fill(both)
    noted = await ask_for_change(both, wanted())
    with pytest.raises(ChangeUnderWayError):
        await ask_for_change(both, wanted())
    new_endpoint.behave(EndpointMode.SLOW)
    new_endpoint.delay_seconds = 600  # it does not end before it is cancelled
    work = asyncio.create_task(carry_out_next(both, watch_seconds=0.05))
    while (await read_change(both, noted["id"]))["state"] != "running":
        await asyncio.sleep(0.01)
    assert (await cancel_change(both, noted["id"]))["state"] == "cancelled"
    assert await work
    assert (await read_change(both, noted["id"]))["state"] == "cancelled"
    assert await models(both) == {"docs": DEFAULT_MODEL}


async def test_only_the_operator_may_change_models(client: httpx.AsyncClient) -> None:
    await add(client, "words")
    body = {"model": DEFAULT_MODEL}
    for headers in (None, ORCHESTRATOR):
        refused = await client.post("/models/changes", json=body, headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "internal_only")
    unknown = await client.post("/models/changes", json={"model": "another"}, headers=OPERATOR)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_served")
    plan = await client.post("/models/changes/plan", json=body, headers=OPERATOR)
    assert plan.json() == {"corpora": [], "chunks": 0, "tokens": 0}
    asked = await client.post("/models/changes", json=body, headers=OPERATOR)
    assert asked.status_code == 201
    number = asked.json()["id"]
    told = await client.get(f"/models/changes/{number}", headers=OPERATOR)
    assert (told.json()["model"], told.json()["corpora_left"]) == (DEFAULT_MODEL, 0)
    listed = await client.get("/models/changes", headers=OPERATOR)
    assert [one["id"] for one in listed.json()["items"]] == [number]
    stopped = await client.post(f"/models/changes/{number}/cancel", headers=OPERATOR)
    assert stopped.json()["state"] in ("cancelled", "completed")
    missing = await client.get("/models/changes/999", headers=OPERATOR)
    assert (missing.status_code, missing.json()["code"]) == (404, "change_not_found")


async def test_what_interrupts_a_look_or_a_change_ends_no_later_one(
    both: Embedding,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks = 0

    async def interrupted(service: Embedding, **_: Any) -> bool:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("the database starts")
        return await carry_out_next(service, sleep=no_rest, watch_seconds=0.05)

    async def broken(_: Any) -> bool:
        raise KeyError("of ours")

    monkeypatch.setattr(changes, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(changes, "carry_out_next", interrupted)
    monkeypatch.setattr("app.core.changes.Change.carry_out", broken)
    noted = await ask_for_change(both, wanted())
    keeping = asyncio.create_task(keep_changing(both))
    try:
        async with asyncio.timeout(60):
            while (await read_change(both, noted["id"]))["state"] != "failed":
                await asyncio.sleep(0.02)
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
    assert "internal_error" in str((await read_change(both, noted["id"]))["said"])
    assert {"model_change_interrupted", "model_change_failed"} <= {record.message for record in caplog.records}


async def test_a_change_whose_process_ended_is_taken_over_where_it_was(
    both: Embedding,  # noqa: F811
    new_endpoint: FakeEndpoint,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.core.reembedding.TEXTS_AT_ONCE", 4)
    await fill(both)
    noted = await ask_for_change(both, wanted())
    rested, resting = 0, asyncio.Event()

    async def rests_once_for_ever(_: Pacer) -> None:
        nonlocal rested
        rested += 1
        if rested == 3:
            resting.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(Pacer, "rest", rests_once_for_ever)
    first = asyncio.create_task(carry_out_next(both, watch_seconds=0.05))
    async with asyncio.timeout(60):
        await resting.wait()
    done = sum(map(len, new_endpoint.inputs))
    assert not await carry_out_next(both, sleep=no_rest), "while one is at it, no other is"
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    assert (await read_change(both, noted["id"]))["state"] == "running"
    assert await carry_out_next(both, sleep=no_rest, watch_seconds=0.05)
    assert (await read_change(both, noted["id"]))["state"] == "completed"
    assert await models(both) == {"docs": NEW}
    assert 0 < done < sum(map(len, new_endpoint.inputs)) == 20, "no text is embedded twice"
