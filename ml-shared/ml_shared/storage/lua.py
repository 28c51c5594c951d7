"""Lua scripts: kept in files beside the module that loads them, run by their hash."""

from collections.abc import Sequence
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError


class LuaScript:
    """One script, for any client. Only what Redis 6.2 knows.

    Parameters
    ----------
    package, name
        Where the file is, as `importlib.resources` finds it.
    """

    def __init__(self, package: str, name: str) -> None:
        self._source = files(package).joinpath(name).read_bytes()
        self._digest = sha1(self._source, usedforsecurity=False).hexdigest()  # how Redis names a script

    def packed(self, keys: Sequence[str], *arguments: bytes) -> bytes:
        """Return the command that runs it, as it is sent: for whoever runs it again and again with the same."""
        parts = [b"EVALSHA", self._digest.encode(), b"%d" % len(keys), *(key.encode() for key in keys), *arguments]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)

    async def __call__(self, redis: Redis, keys: list[str], *arguments: str | bytes | int | float) -> Any:
        """Run it. The source is sent only to a server that has not seen it."""
        try:
            return await redis.evalsha(self._digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await redis.eval(self._source.decode(), len(keys), *keys, *arguments)

    async def several(
        self, redis: Redis, keys: list[str], calls: Sequence[Sequence[str | bytes | int | float]]
    ) -> list[Any]:
        """Run it several times, one after the other, with one round trip; return what each answered.

        Raises
        ------
        redis.exceptions.RedisError
            What the first of them that failed said; those before it, and after it, have run.
        """
        async with redis.pipeline(transaction=False) as pipeline:
            for arguments in calls:
                pipeline.evalsha(self._digest, len(keys), *keys, *arguments)
            answers = await pipeline.execute(raise_on_error=False)
        return [
            await self(redis, keys, *arguments) if isinstance(answer, NoScriptError) else _unless_error(answer)
            for answer, arguments in zip(answers, calls, strict=True)
        ]


def _unless_error(answer: Any) -> Any:
    if isinstance(answer, Exception):
        raise answer
    return answer
