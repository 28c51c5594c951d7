"""The robots.txt files that are known, for all processes on all VMs together."""

import asyncio
import time
import zlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import LockError, RedisError

from app.core.errors import (
    FetchTimeoutError,
    HostBusyError,
    PacingUnavailableError,
    RobotsUnreachableError,
    TooManyRedirectsError,
)
from app.core.fetching.requests import Answer, origin_of
from app.core.robots.rules import RobotsFile
from ml_shared.errors import UpstreamError
from ml_shared.storage.lua import LuaScript
from ml_shared.web.errors import DnsError, TlsError

_KEPT_MAX_BYTES: Final = 16 * 1024
# compressed; a longer one is kept by this process alone
_KEPT_MAX_SITES: Final = 4_000
# with the limit above, at most 64 MiB of the Redis that the queue lives in
_PROCESS_MAX_SITES: Final = 64
_QUICK_BYTES: Final = 32_768
# read in a few milliseconds; a longer file is read beside the event loop
_LOCK_SECONDS: Final = 30.0
# longer than reading a robots.txt takes; if its reader dies, the next one may try after this
_PATIENCE_SECONDS: Final = 2.0
# the longest that a worker waits while another one reads the same file
_KEY: Final = "scraper:robots:"
_LOCK: Final = "scraper:robots-lock:"
_INDEX: Final = "scraper:robots-sites"

Reader = Callable[[], Awaitable[Answer]]


class RobotsStore:
    """Reads each site's robots.txt once in a while, and once at a time.

    Parameters
    ----------
    agent
        The token that a robots.txt names us by.
    ttl_seconds
        How long a file, or its absence, is believed.
    """

    def __init__(self, redis: Redis, *, agent: str, ttl_seconds: int) -> None:
        self._redis = redis
        self._agent = agent
        self._ttl = ttl_seconds
        self._store = LuaScript("app.core.robots", "store.lua")
        self._long_ones: OrderedDict[str, tuple[float, RobotsFile]] = OrderedDict()

    async def file(self, origin: str, read: Reader) -> RobotsFile:
        """Return a site's robots.txt, from the cache or by `read`.

        Raises
        ------
        RobotsUnreachableError
            If the site has one, or may have, and does not give it out: 429, 5xx, no answer, a redirect to where nothing
            can be read.
        HostBusyError
            If another worker has been reading it for longer than this one may wait.
        PacingUnavailableError
            If Redis does not answer.
        """
        known = await self._known(origin)
        if known is not None:
            return known
        async with self._alone(origin):
            known = await self._known(origin)
            if known is not None:
                return known
            answer = await _asked(origin, read)
            file = RobotsFile() if answer is None else await self._taken_in(answer.body)
            await self._keep(origin, file)
            if answer is not None and answer.url == f"{origin_of(answer.url)}/robots.txt":
                # http:// sends us on to https:// for it, as it will for the page: that spares the second reading
                await self._keep(origin_of(answer.url), file)
        return file

    async def _taken_in(self, body: bytes) -> RobotsFile:
        if len(body) <= _QUICK_BYTES:
            return RobotsFile.read(body, self._agent)
        return await asyncio.to_thread(RobotsFile.read, body, self._agent)

    async def _known(self, origin: str) -> RobotsFile | None:
        long_one = self._long_ones.get(origin)
        if long_one is not None and long_one[0] > time.monotonic():
            return long_one[1]
        try:
            kept: Any = await self._redis.get(_KEY + origin)
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        if kept is None:
            return None
        return RobotsFile(**orjson.loads(zlib.decompress(kept)))

    async def _keep(self, origin: str, file: RobotsFile) -> None:
        value = zlib.compress(orjson.dumps({"text": file.text, "digest": file.digest}))
        if len(value) > _KEPT_MAX_BYTES:
            self._long_ones[origin] = (time.monotonic() + self._ttl, file)
            self._long_ones.move_to_end(origin)
            while len(self._long_ones) > _PROCESS_MAX_SITES:
                self._long_ones.popitem(last=False)
            return
        try:
            await self._store(self._redis, [_KEY + origin, _INDEX], value, self._ttl, _KEPT_MAX_SITES)
        except (RedisError, OSError) as error:
            raise _unavailable() from error

    @asynccontextmanager
    async def _alone(self, origin: str) -> AsyncIterator[None]:
        lock = self._redis.lock(_LOCK + origin, timeout=_LOCK_SECONDS, blocking_timeout=_PATIENCE_SECONDS)
        try:
            ours = await lock.acquire()
        except (RedisError, OSError) as error:
            raise _unavailable() from error
        if not ours:
            raise HostBusyError(f"the robots.txt of {origin} is being read", retry_after_seconds=_PATIENCE_SECONDS)
        try:
            yield
        finally:
            with suppress(LockError, RedisError, OSError):
                await lock.release()


async def _asked(origin: str, read: Reader) -> Answer | None:
    """Return the site's answer if that holds a robots.txt, `None` if it says that there is none."""
    try:
        answer = await read()
    except TooManyRedirectsError:
        return None  # RFC 9309, 2.3.1.2: as if there were none
    except (DnsError, TlsError, RobotsUnreachableError):
        raise  # the first two are true of the page as well, and more telling
    except (UpstreamError, FetchTimeoutError) as error:
        raise RobotsUnreachableError(f"{origin}/robots.txt could not be read: {error.detail}") from error
    if answer.status == 429 or answer.status >= 500:
        raise RobotsUnreachableError(
            f"{origin}/robots.txt could not be read: HTTP status {answer.status}",
            retry_after_seconds=answer.retry_after_seconds,
        )
    return answer if 200 <= answer.status < 300 else None


def _unavailable() -> PacingUnavailableError:
    return PacingUnavailableError("the store that keeps robots.txt files does not answer", retry_after_seconds=5.0)
