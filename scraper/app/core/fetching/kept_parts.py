"""What the pages of a site are made of, kept from one page to the next: a script is fetched once, not for each page.

Kept are answers of status 200, for as long as HTTP says that they are fresh and an hour at most, in the Redis that all processes
share: for one owner's pages of one site. So nobody learns what somebody else had rendered, and no site what another has.
"""

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.fetching.freshness import fresh_seconds
from app.core.fetching.requests import Answer, origin_of
from ml_shared.storage.lua import LuaScript

logger = logging.getLogger(__name__)

ALL_MAX_BYTES: Final = 24 * 2**20
# of the Redis that the queue lives in, and that results and robots.txt files have at most half of
PART_MAX_BYTES: Final = 2**20
# compressed: with it one has room for 24 of the longest, of most sites hundreds
_BODY_MAX_BYTES: Final = 8 * 2**20
# before it is compressed
_QUICK_BYTES: Final = 65_536
# compressed within a millisecond; a longer body is compressed beside the event loop
_LEVEL: Final = 1
_PREFIX: Final = "scraper:part:"
_INDEX: Final = "scraper:parts"
_LENGTHS: Final = "scraper:parts-lengths"
_TOTAL: Final = "scraper:parts-bytes"


@dataclass(frozen=True)
class Place:
    """Where a part is kept: whose page of which site asks for it, how.

    Attributes
    ----------
    owner
        Whose page.
    page_url
        Which one; its site counts.
    url
        Of the part.
    headers
        Sent with the request; what is sent with every one needs not be named.
    """

    owner: str
    page_url: str
    url: str
    headers: Mapping[str, str]

    @property
    def key(self) -> str:
        """Its key; it tells neither owner nor address."""
        told = [self.owner, origin_of(self.page_url), self.url, sorted(self.headers.items())]
        return _PREFIX + hashlib.sha256(orjson.dumps(told)).hexdigest()


class KeptParts:
    """Parts that are fresh. Without Redis there are none: what can't be kept is fetched again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._keep = LuaScript("app.core.fetching", "parts_keep.lua")

    async def find(self, place: Place) -> Answer | None:
        """Return what is kept at a place."""
        try:
            kept: Any = await self._redis.get(place.key)
        except (RedisError, OSError) as error:
            logger.warning("kept parts of pages cannot be read", extra={"reason": type(error).__name__})
            return None
        if kept is None:
            return None
        headers, _, body = (await _beside(zlib.decompress, kept)).partition(b"\n")
        return Answer(place.url, 200, orjson.loads(headers), body)

    async def keep(self, place: Place, answer: Answer, *, guess: bool) -> None:
        """Keep an answer, if it is one that may be.

        Parameters
        ----------
        guess
            Whether its age may decide for how long.
        """
        seconds = fresh_seconds(answer.headers, guess=guess) if answer.status == 200 else 0
        if not seconds or len(answer.body) > _BODY_MAX_BYTES:
            return
        packed = await _beside(_packed, orjson.dumps(answer.headers) + b"\n" + answer.body)
        if len(packed) > PART_MAX_BYTES:
            return
        try:
            await self._keep(self._redis, [place.key, _INDEX, _LENGTHS, _TOTAL], packed, seconds, ALL_MAX_BYTES)
        except (RedisError, OSError) as error:
            logger.warning("a part of a page cannot be kept", extra={"reason": type(error).__name__})


def _packed(body: bytes) -> bytes:
    return zlib.compress(body, _LEVEL)


async def _beside(work: Any, data: bytes) -> bytes:
    result: bytes = work(data) if len(data) <= _QUICK_BYTES else await asyncio.to_thread(work, data)
    return result
