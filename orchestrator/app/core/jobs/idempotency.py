"""`Idempotency-Key`: a repeat of a request gets the answer of the first one, and does nothing."""

import hashlib
from typing import Any, Final, TypeVar

import asyncpg
import orjson
from pydantic import BaseModel

from app.core.errors import IdempotencyInProgressError, IdempotencyKeyReusedError

WAIT: Final = "2s"
# how long a repeat waits for the first request to end

Answer = TypeVar("Answer", bound=BaseModel)

_CLAIM = """
INSERT INTO idempotency_keys (owner, route, key, body_hash, answer) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (owner, route, key) DO NOTHING RETURNING key
"""


async def claim_key(
    connection: Any, owner: str, route: str, key: str, request: BaseModel, answer: Answer
) -> Answer | None:
    """Take a key for the first request that has it; a request that comes meanwhile waits for that one's end.

    Part of the transaction that does what is asked: what is refused leaves no key.

    Returns
    -------
    Answer or None
        What the first request was answered, to a repeat; `None` to the first.

    Raises
    ------
    IdempotencyKeyReusedError, IdempotencyInProgressError
        If the key came with another body, or its first request is still under way after two seconds.
    """
    body_hash = _hash(request)
    await connection.execute(f"SET LOCAL lock_timeout = '{WAIT}'")
    try:
        async with connection.transaction():  # a savepoint: a time-out must not spoil the rest
            first = await connection.fetchval(_CLAIM, owner, route, key, body_hash, answer.model_dump(mode="json"))
            await connection.execute("SET LOCAL lock_timeout TO DEFAULT")  # what follows waits as it does without a key
    except asyncpg.LockNotAvailableError as error:
        raise IdempotencyInProgressError(
            "the first request with this Idempotency-Key is still under way; repeat it later"
        ) from error
    return None if first is not None else await _repeated(connection, owner, route, key, body_hash, type(answer))


def _hash(request: BaseModel) -> str:
    return hashlib.sha256(orjson.dumps(request.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _repeated(connection: Any, owner: str, route: str, key: str, body_hash: str, model: type[Answer]) -> Answer:
    row = await connection.fetchrow(
        "SELECT body_hash, answer FROM idempotency_keys WHERE owner = $1 AND route = $2 AND key = $3", owner, route, key
    )
    if row["body_hash"] != body_hash:
        raise IdempotencyKeyReusedError("this Idempotency-Key came with another body before; use a new key")
    return model.model_validate(row["answer"])
