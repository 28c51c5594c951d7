"""Changing corpora to another model because an operator asked by a route: `app/core/reembedding.py`, carried out behind the API.

A request only notes what is wanted. Every few seconds each API process looks whether something is, and the one that gets the lock
does it. Ended at any point, it goes on in whichever process looks next: what is done is in the database.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core.errors import (
    ChangeNotFoundError,
    ChangeUnderWayError,
    ModelNotServedError,
    ModelStillAnswersError,
)
from app.core.reembedding import Change, Planned
from app.core.service import Embedding
from app.core.storage import changes as storage
from app.core.storage.pool import alone
from app.core.storage.reembedding import CHANGING, answering, remaining
from ml_shared.errors import ServiceError

LOOK_SECONDS: Final = 5.0
WATCH_SECONDS: Final = 1.0
# after which a cancellation is noticed, and what was said can be read
LATEST: Final = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator asks for.

    Parameters
    ----------
    switch
        Whether corpora answer from the model as soon as they can; else only their vectors are made and compared.
    forget
        Whether the model's vectors are deleted instead.
    """

    model: str
    owner: str | None
    corpus: str | None
    min_recall: float
    switch: bool = True
    forget: bool = False


async def ask_for_change(service: Embedding, wanted: Wanted) -> dict[str, Any]:
    """Note a change that is to be made.

    Raises
    ------
    ModelNotServedError
        If the settings name no such model.
    ModelStillAnswersError
        If the model's vectors are to be deleted, and a corpus answers from it.
    ChangeUnderWayError
        If another change has not ended.
    """
    model = Change.to(service, wanted.model).served.model
    if wanted.forget and (count := await answering(service.pool, model)):
        raise ModelStillAnswersError(f"{count} corpora answer from {model.name}; change them first")
    noted = await storage.ask_for(
        service.pool,
        model=wanted.model,
        owner=wanted.owner,
        corpus=wanted.corpus,
        min_recall=wanted.min_recall,
        switch=wanted.switch,
        forget=wanted.forget,
    )
    if noted is None:
        raise ChangeUnderWayError("another change has not ended; wait for it, or cancel it")
    return await _told(service, noted)


async def plan_change(service: Embedding, wanted: Wanted) -> list[Planned]:
    """Return what a change would take; nothing is done.

    Raises
    ------
    ModelNotServedError
        If the settings name no such model.
    """
    return await Change.to(service, wanted.model, owner=wanted.owner, corpus=wanted.corpus).plan()


async def read_change(service: Embedding, number: int) -> dict[str, Any]:
    """Return a change, with what of it is left.

    Raises
    ------
    ChangeNotFoundError
        If there is none of that number.
    """
    noted = await storage.read_change(service.pool, number)
    if noted is None:
        raise ChangeNotFoundError(f"there is no change {number}")
    return await _told(service, noted)


async def latest_changes(service: Embedding) -> list[dict[str, Any]]:
    """Return the latest changes, newest first, each with what of it is left."""
    return [await _told(service, noted) for noted in await storage.latest_changes(service.pool, LATEST)]


async def cancel_change(service: Embedding, number: int) -> dict[str, Any]:
    """Have a change stop; corpora that have changed stay so.

    Raises
    ------
    ChangeNotFoundError
        If there is none of that number.
    """
    await storage.cancel(service.pool, number)
    return await read_change(service, number)


async def _told(service: Embedding, noted: dict[str, Any]) -> dict[str, Any]:
    corpora, chunks = await remaining(service.pool, noted["model"], noted["owner"], noted["corpus"])
    return noted | {"corpora_left": corpora, "chunks_left": chunks}


async def keep_changing(service: Embedding) -> None:
    """Carry out what is asked for, until cancelled."""
    while True:
        try:
            with suppress_instrumentation():
                await carry_out_next(service)
        except Exception as error:  # noqa: BLE001 - a database that starts again has many; the next look goes on
            logger.warning("model_change_interrupted", extra={"reason": f"{type(error).__name__}: {error}"})
        await asyncio.sleep(LOOK_SECONDS)


async def carry_out_next(
    service: Embedding, *, sleep: Callable[[float], Awaitable[None]] | None = None, watch_seconds: float = WATCH_SECONDS
) -> bool:
    """Carry out the change that is open, if no other process is at it; return whether there was one."""
    wanted = await storage.open_change(service.pool)
    if wanted is None:
        return False
    said: list[str] = []
    try:
        change = Change.to(
            service,
            wanted["model"],
            owner=wanted["owner"],
            corpus=wanted["corpus"],
            min_recall=wanted["min_recall"],
            switch=wanted["switch"],
            sleep=sleep,
            tell=said.append,
        )
    except ModelNotServedError:
        return False  # by this process: another was started with other settings
    async with alone(service.settings.DATABASE_URL, CHANGING, {}) as held:
        if held is None or not await storage.begin(service.pool, wanted["id"]):
            return False
        state = await _watched(service, wanted, change, said, watch_seconds)
        await storage.say(service.pool, wanted["id"], said)
        await storage.end(service.pool, wanted["id"], state)
        logger.info("model_change_ended", extra={"change": wanted["id"], "model": wanted["model"], "state": state})
    return True


async def _watched(
    service: Embedding, wanted: dict[str, Any], change: Change, said: list[str], watch_seconds: float
) -> str:
    """Return how a change ended: it is stopped when it was cancelled."""
    work = asyncio.create_task(change.forget() if wanted["forget"] else change.carry_out())
    try:
        while not (await asyncio.wait({work}, timeout=watch_seconds))[0]:
            lines, said[:] = list(said), []
            if not await storage.say(service.pool, wanted["id"], lines):
                return "cancelled"
        return "completed" if work.result() else "incomplete"
    except ServiceError as error:
        said.append(f"{error.code}: {error.detail}")
        return "failed"
    except Exception:
        logger.exception("model_change_failed", extra={"change": wanted["id"]})
        said.append("internal_error: the log of this process has it")
        return "failed"
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
