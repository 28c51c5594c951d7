"""The window in Redis, shared by every process and VM of the service."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context
from functools import lru_cache
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError

from ml_shared.auth.breaker import CircuitBreaker
from ml_shared.ratelimit.local_window import Hit
from ml_shared.ratelimit.strategies import Limit
from ml_shared.storage.lua import LuaScript
from ml_shared.storage.redis_client import open_sibling

REDIS_TIMEOUT_SECONDS: Final = 0.1
# a limit is not worth a slow answer; what is kept in memory stands in
REDIS_PAUSE_SECONDS: Final = 1.0
# after a failure; or every request would wait for the timeout
MAX_ROUND_TRIPS: Final = 4
# at a time, each on a connection of its own; requests that come meanwhile share the next one

COMMANDS_KEPT: Final = 1_024
# one a caller, 500 bytes each

_SCRIPT: Final = LuaScript("ml_shared.ratelimit", "sliding_window.lua")
_logger = logging.getLogger(__name__)


class _Command(NamedTuple):
    """What counts one caller's requests: the same for each of them."""

    packed: bytes
    keys: tuple[str, ...]
    arguments: tuple[bytes, ...]


class _Call(NamedTuple):
    """One request to be counted, and where its answer goes: what the script said, or what went wrong."""

    command: _Command
    answer: "asyncio.Future[list[int] | Exception]"


class SharedWindow:
    """Counts requests with `sliding_window.lua`: one script call each.

    Requests that arrive in the same turn of the event loop travel together. Each is still counted and decided by
    itself, in one atomic step; what they share is the work of a round trip, which is most of what a check costs. That
    is made of what redis-py's connections offer: its client and its pool take as long again as the rest.
    """

    def __init__(self, redis: Redis, service: str, window_seconds: float) -> None:
        self._redis = redis
        # the braces keep a service's keys in one slot of a Redis Cluster
        self._prefix = f"ratelimit:{{{service}}}"
        self._window = b"%d" % int(window_seconds * 1_000_000)
        self._breaker = CircuitBreaker(failures=1, open_seconds=REDIS_PAUSE_SECONDS)
        self._failing_since: float | None = None
        self._command = lru_cache(maxsize=COMMANDS_KEPT)(self._command_of)
        self._idle: list[AbstractConnection] = []
        self._waiting: list[_Call] = []
        self._under_way: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, redis: Redis, service: str, window_seconds: float) -> "AsyncIterator[SharedWindow]":
        """Open a window in the Redis that a client talks to, on connections of its own."""
        async with open_sibling(redis, max_connections=MAX_ROUND_TRIPS) as own:
            window = cls(own, service, window_seconds)
            try:
                yield window
            finally:
                await window._close()

    async def hit(self, caller: str, limits: Sequence[Limit]) -> Hit | None:
        """Count one request; `None` when Redis does not answer in time, or did not a moment ago."""
        attempt = self._breaker.begin()
        if attempt is None:
            return None
        loop = asyncio.get_running_loop()
        call = _Call(self._command(caller, tuple(limits)), loop.create_future())
        self._waiting.append(call)
        if len(self._waiting) == 1:
            loop.call_soon(self._send)
        succeeded: bool | None = None
        try:
            said = await call.answer
            if isinstance(said, Exception):
                succeeded = False
                self._failed(said)
                return None
            succeeded = True
        finally:
            attempt.end(succeeded)
        self._answered()
        allowed, index, limit, remaining, reset_us = said
        return Hit(allowed == 1, index, limit, remaining, reset_us / 1_000_000)

    def _command_of(self, caller: str, limits: tuple[Limit, ...]) -> _Command:
        keys = (f"{self._prefix}:log:{caller}", f"{self._prefix}:callers")
        numbers = (number for limit in limits for number in (limit.requests, int(limit.shared), limit.floor))
        arguments = (self._window, caller.encode(), *(b"%d" % number for number in numbers))
        return _Command(_SCRIPT.packed(keys, *arguments), keys, arguments)

    def _send(self) -> None:
        if not self._waiting or len(self._under_way) >= MAX_ROUND_TRIPS:
            return
        calls, self._waiting = self._waiting, []
        # in no request's context: it works for several
        task = asyncio.get_running_loop().create_task(self._count(calls), context=Context())
        self._under_way.add(task)
        task.add_done_callback(self._returned)

    def _returned(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        self._send()

    async def _count(self, calls: list[_Call]) -> None:
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                answers = await self._ask(calls)
        except Exception as error:  # noqa: BLE001 - each request that waits for it raises what it does not know
            # those who came meanwhile too: they would only wait for the same
            calls = [*calls, *self._waiting]
            self._waiting = []
            answers = [error] * len(calls)
        except asyncio.CancelledError:
            for call in calls:
                call.answer.cancel()
            raise
        for call, answer in zip(calls, answers, strict=True):
            if not call.answer.done():  # else its request was given up
                call.answer.set_result(answer)

    async def _ask(self, calls: list[_Call]) -> list[Any]:
        packed = [call.command.packed for call in calls]
        connection = self._idle.pop() if self._idle else self._new_connection()
        try:
            try:
                answers = await _exchange(connection, packed)
            except RedisConnectionError:  # the server closed it while it idled, or is gone
                answers = await _exchange(connection, packed)
        except BaseException:
            await connection.disconnect(nowait=True)  # an answer may still be on its way
            raise
        finally:
            self._idle.append(connection)
        for place, answer in enumerate(answers):
            if isinstance(answer, NoScriptError):  # nothing was run; this sends the source
                answers[place] = await self._ask_with_source(calls[place].command)
        return answers

    def _new_connection(self) -> AbstractConnection:
        connection: AbstractConnection = self._redis.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        return connection

    async def _ask_with_source(self, command: _Command) -> Any:
        try:
            return await _SCRIPT(self._redis, list(command.keys), *command.arguments)
        except ResponseError as error:  # about this call only
            return error

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, (RedisError, OSError)):  # TimeoutError is an OSError
            raise error
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            _logger.warning("ratelimit_redis_failed", extra={"error": type(error).__name__})

    def _answered(self) -> None:
        if self._failing_since is not None:
            seconds = round(time.monotonic() - self._failing_since, 1)
            self._failing_since = None
            _logger.warning("ratelimit_redis_back", extra={"seconds": seconds})

    async def _close(self) -> None:
        tasks = list(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._idle:
            await connection.disconnect(nowait=True)


async def _exchange(connection: AbstractConnection, packed: list[bytes]) -> list[Any]:
    await connection.send_packed_command(packed, check_health=False)
    answers = []
    for _ in packed:
        try:
            answers.append(await connection.read_response())
        except ResponseError as error:  # about this command only
            answers.append(error)
    return answers
