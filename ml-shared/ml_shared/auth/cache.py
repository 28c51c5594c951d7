"""What Membership said of a key, kept for a short while: in the process, then in Redis."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.breaker import CircuitBreaker
from ml_shared.auth.verdict import Verdict

VALID_SECONDS: Final = 60.0
# counted from when the call to Membership began: how long a revoked key may still work
INVALID_SECONDS: Final = 10.0
# how long a new key may be refused, if it was tried before Membership knew it
MAX_VALID_ENTRIES: Final = 10_000
MAX_INVALID_ENTRIES: Final = 10_000
# apart from the valid ones, so that a flood of made-up keys pushes none of these out

REDIS_TIMEOUT_SECONDS: Final = 0.1
REDIS_PAUSE_SECONDS: Final = 1.0
# a cache that does not answer is not asked again for a moment: Membership is
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` measures; `wall` is only for what is compared between machines."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time


class VerdictCache:
    """Verdicts by the hash of their key, each with an absolute deadline that every copy inherits.

    Invalid keys are remembered in the process only: anyone can make them up, and the Redis is the broker's too.

    Parameters
    ----------
    redis
        Shared by the service's processes; `None` where there is none.
    clock
        Replaced in tests.
    """

    def __init__(self, redis: Redis | None, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._breaker = CircuitBreaker(failures=1, open_seconds=REDIS_PAUSE_SECONDS, clock=clock.monotonic)
        self._valid: OrderedDict[str, tuple[Verdict, float]] = OrderedDict()
        self._invalid: OrderedDict[str, tuple[Verdict, float]] = OrderedDict()

    def local(self, key_hash: str) -> Verdict | None:
        """Return what this process knows of a key."""
        for entries in (self._valid, self._invalid):
            entry = entries.get(key_hash)
            if entry is None:
                continue
            if entry[1] > self._clock.monotonic():
                entries.move_to_end(key_hash)
                return entry[0]
            del entries[key_hash]
        return None

    async def shared(self, key_hash: str) -> Verdict | None:
        """Return what another process has learnt of a key, and keep a copy until the same deadline."""
        if self._redis is None:
            return None
        asked_at = self._clock.monotonic()
        answer = await self._bounded(self._read(key_hash))
        if answer is None or answer[0] is None:
            return None
        try:
            entry = orjson.loads(answer[0])
            verdict = Verdict(True, entry["account_id"], entry["tier"], tuple(entry["scopes"]))
            # two bounds, for clocks that disagree and for a write that reached Redis late
            left = min(float(entry["deadline"]) - self._clock.wall(), answer[1] / 1000)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            _logger.warning("auth_cache_entry_unreadable")
            return None
        if asked_at + left <= self._clock.monotonic():
            return None
        self._keep(key_hash, verdict, asked_at + left)
        return verdict

    async def put(self, key_hash: str, verdict: Verdict, asked_at: float) -> None:
        """Keep what Membership said; `asked_at` is when the call to it began, on the monotonic clock."""
        deadline = asked_at + (VALID_SECONDS if verdict.valid else INVALID_SECONDS)
        left = deadline - self._clock.monotonic()
        if left <= 0:
            return
        self._keep(key_hash, verdict, deadline)
        if self._redis is not None and verdict.valid:
            entry = {**asdict(verdict), "deadline": self._clock.wall() + left}
            milliseconds = max(1, int(left * 1000))
            await self._bounded(self._redis.set(_name(key_hash), orjson.dumps(entry), px=milliseconds))

    def _keep(self, key_hash: str, verdict: Verdict, deadline: float) -> None:
        entries, most = (self._valid, MAX_VALID_ENTRIES) if verdict.valid else (self._invalid, MAX_INVALID_ENTRIES)
        entries[key_hash] = (verdict, deadline)
        entries.move_to_end(key_hash)
        while len(entries) > most:
            entries.popitem(last=False)

    async def _read(self, key_hash: str) -> tuple[bytes | None, int]:
        assert self._redis is not None  # noqa: S101 - shared() has looked
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.get(_name(key_hash))
            pipeline.pttl(_name(key_hash))
            value, left_ms = await pipeline.execute()
        return value, left_ms

    async def _bounded(self, command: Any) -> Any:
        """Await a Redis command for a moment; `None` when Redis does not answer, or did not just now."""
        attempt = self._breaker.begin()
        if attempt is None:
            command.close()
            return None
        succeeded: bool | None = None
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                answer = await command
            succeeded = True
            return answer
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            succeeded = False
            _logger.warning("auth_cache_redis_failed", extra={"error": type(error).__name__})
            return None
        finally:
            attempt.end(succeeded)


def _name(key_hash: str) -> str:
    return f"auth:verdict:{key_hash}"
