"""Bringing the words of documents that an older version wrote to this one's, behind what else is going on.

A document at a time, under the lock that a replacement of it takes: whichever comes first, the other finds its work done. Killed, it
goes on where it was; in several processes at once, each takes another document.
"""

import asyncio
import contextlib
import logging
import time
from typing import Final

import asyncpg
from opentelemetry.instrumentation.utils import suppress_instrumentation

from app.core.errors import StoreUnavailableError
from app.core.storage.terms import FIRST, mark_wordless, renew_document

REST: Final = 4.0
# for each second of work: a fifth of one core, and of the database's time
LOOK_AGAIN_SECONDS: Final = 60.0
# another VM may still run an older version
LOOK_OVER_SECONDS: Final = 3_600.0
# after which all documents are looked over again for what such a version may have written

logger = logging.getLogger(__name__)


async def look_over(pool: asyncpg.Pool) -> int:
    """Have the words made of documents that lack some, whatever their version says; return how many there were."""
    found, after = 0, FIRST
    while True:
        began = time.monotonic()
        looked = await mark_wordless(pool, after)
        if looked is None:
            return found
        after, marked = looked
        found += marked
        await asyncio.sleep(REST * (time.monotonic() - began))


async def keep_looking_over(pool: asyncpg.Pool) -> None:
    """Look all documents over, at once and then once an hour, until cancelled."""
    while True:
        with suppress_instrumentation(), contextlib.suppress(StoreUnavailableError):
            if found := await look_over(pool):
                logger.warning("words_missing", extra={"documents": found})
        await asyncio.sleep(LOOK_OVER_SECONDS)


async def keep_renewing(pool: asyncpg.Pool) -> None:
    """Renew documents until cancelled; where none is older, look once a minute."""
    documents = chunks = 0
    while True:
        began = time.monotonic()
        try:
            with suppress_instrumentation():  # each would be a trace of its own
                renewed = await renew_document(pool)
        except StoreUnavailableError:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
            continue
        if renewed is not None:
            documents, chunks = documents + 1, chunks + renewed
            await asyncio.sleep(REST * (time.monotonic() - began))
            continue
        if documents:
            logger.info("words_renewed", extra={"documents": documents, "chunks": chunks})
            documents = chunks = 0
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
