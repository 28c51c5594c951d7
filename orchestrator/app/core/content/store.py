"""Pages and chunks on their way between stages: compressed, hashed, readable for the job they belong to only."""

import asyncio
import hashlib
import math
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import asyncpg

from ml_shared.contracts.jobs import ContentStored
from ml_shared.errors import InternalError, TooLargeError
from ml_shared.names import Stage

COMPRESSION_LEVEL: Final = 1
# text shrinks to about a third at any level; this one does 100 MB/s
AT_ONCE_BYTES: Final = 2**17
# takes a millisecond or two; a thread for it costs a fifth of one
PURGE_BATCH: Final = 500
JOBLESS_MINUTES: Final = 10.0
# that content is kept whose job is not there (yet): an upload's bytes are put before its job is inserted
_BEFORE_ALL: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class StoredContent:
    """Content as it was put: `body` decompressed and checked against `sha256`."""

    owner: str
    job_id: UUID
    stage: Stage
    body: bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class KeptPiece:
    """That something is kept, whose, and since when."""

    ref: str
    owner: str
    job_id: UUID
    created_at: datetime
    stored_bytes: int


class ContentStore(Protocol):
    """Where content is kept. PostgreSQL today; a bucket would be a second implementation."""

    async def put(self, owner: str, job_id: UUID, attempt_id: UUID, stage: Stage, body: bytes) -> ContentStored:
        """Keep content of an attempt; a second put of the same attempt replaces the first."""

    async def get(self, ref: str) -> StoredContent | None:
        """Return content, or `None` if there is none under this reference."""

    async def total_bytes(self) -> int:
        """Return how many bytes are kept."""

    async def older_than(self, age: timedelta, after: KeptPiece | None = None) -> list[KeptPiece]:
        """Return a bounded number of pieces of at least this age, oldest first, from the one after `after` on."""

    async def forget(self, refs: list[str]) -> int:
        """Delete pieces; return how many there were."""


class PostgresContentStore:
    """Content in a PostgreSQL database of its own.

    Parameters
    ----------
    pool
        Of the content database.
    max_bytes
        Longest content, before compression.
    """

    def __init__(self, pool: asyncpg.Pool, *, max_bytes: int) -> None:
        self._pool = pool
        self._max_bytes = max_bytes

    async def put(self, owner: str, job_id: UUID, attempt_id: UUID, stage: Stage, body: bytes) -> ContentStored:
        """See `ContentStore`.

        Raises
        ------
        TooLargeError
            If the body is longer than `max_bytes`.
        """
        if len(body) > self._max_bytes:
            raise TooLargeError(f"the content has {len(body)} bytes; {self._max_bytes} is the most")
        digest, packed = await asyncio.to_thread(_pack, body) if len(body) > AT_ONCE_BYTES else _pack(body)
        ref = ref_of(job_id, attempt_id, stage)
        await self._pool.execute(
            """INSERT INTO content (ref, owner, job_id, attempt_id, stage, sha256, body, stored_bytes)
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
               ON CONFLICT (ref) DO UPDATE SET sha256 = excluded.sha256, body = excluded.body,
                   stored_bytes = excluded.stored_bytes, created_at = now()""",
            *(ref, owner, job_id, attempt_id, stage, digest, packed, len(packed)),
        )
        return ContentStored(content_ref=ref, sha256=digest)

    async def get(self, ref: str) -> StoredContent | None:
        """See `ContentStore`.

        Raises
        ------
        InternalError
            If what is kept no longer has the hash that it was put with.
        """
        row = await self._pool.fetchrow("SELECT owner, job_id, stage, sha256, body FROM content WHERE ref = $1", ref)
        if row is None:
            return None
        packed = row["body"]
        if (
            len(packed) > AT_ONCE_BYTES // 4
        ):  # text shrinks to a third; what shrinks to nothing is no larger than its limit
            body, digest = await asyncio.to_thread(_unpack, packed, self._max_bytes)
        else:
            body, digest = _unpack(packed, self._max_bytes)
        if digest != row["sha256"]:
            raise InternalError("kept content does not have its hash any more", code="content_corrupt")
        return StoredContent(row["owner"], row["job_id"], Stage(row["stage"]), body, row["sha256"])

    async def total_bytes(self) -> int:
        """See `ContentStore`."""
        total: int = await self._pool.fetchval("SELECT coalesce(sum(stored_bytes), 0)::bigint FROM content")
        return total

    async def older_than(self, age: timedelta, after: KeptPiece | None = None) -> list[KeptPiece]:
        """See `ContentStore`."""
        place = (after.created_at, after.ref) if after else (_BEFORE_ALL, "")
        rows = await self._pool.fetch(
            """SELECT ref, owner, job_id, created_at, stored_bytes FROM content
               WHERE created_at < now() - $1::interval AND (created_at, ref) > ($2, $3)
               ORDER BY created_at, ref LIMIT $4""",
            *(age, *place, PURGE_BATCH),
        )
        return [KeptPiece(**row) for row in rows]

    async def forget(self, refs: list[str]) -> int:
        """See `ContentStore`."""
        status: str = await self._pool.execute("DELETE FROM content WHERE ref = ANY($1)", refs)
        return int(status.rpartition(" ")[2])


def ref_of(job_id: UUID, attempt_id: UUID, stage: Stage) -> str:
    """Return the reference under which content of an attempt is kept, if any is."""
    return hashlib.sha256(f"{job_id}/{attempt_id}/{stage}".encode()).hexdigest()[:40]


def _pack(body: bytes) -> tuple[str, bytes]:
    return hashlib.sha256(body).hexdigest(), zlib.compress(body, COMPRESSION_LEVEL)


def _unpack(packed: bytes, max_bytes: int) -> tuple[bytes, str]:
    try:
        body = zlib.decompressobj().decompress(packed, max_bytes)
    except zlib.error:
        body = b""  # its hash tells
    return body, hashlib.sha256(body).hexdigest()


_CURRENT_ATTEMPT = """
SELECT owner, stage, placement = 'ended' AS ended, crawl_id IS NOT NULL AS of_crawl FROM jobs WHERE id = $1 AND attempt_id = $2 AND attempt_open
"""
_ENDED_LONG_AGO = """
SELECT asked.job_id FROM unnest($1::text[], $2::uuid[], $3::timestamptz[]) AS asked(owner, job_id, created_at)
LEFT JOIN jobs ON jobs.owner = asked.owner AND jobs.id = asked.job_id
WHERE jobs.ended_at < now() - $4::interval OR jobs.id IS NULL AND asked.created_at < now() - $5::interval
"""


class CurrentAttempt(NamedTuple):
    """The job whose current attempt something is: whose, in which stage, and whether it is of a crawl."""

    owner: str
    stage: Stage
    of_crawl: bool


async def owner_of_attempt(pool: asyncpg.Pool, job_id: UUID, attempt_id: UUID) -> CurrentAttempt | None:
    """Return what is to be known of a job whose current attempt this is, or `None`."""
    row = await pool.fetchrow(_CURRENT_ATTEMPT, job_id, attempt_id)
    return None if row is None or row["ended"] else CurrentAttempt(row["owner"], Stage(row["stage"]), row["of_crawl"])


async def purge(
    jobs: asyncpg.Pool,
    store: ContentStore,
    ttl: timedelta,
    *,
    enough: float = math.inf,
    enough_bytes: float = math.inf,
) -> int:
    """Forget content of jobs that ended longer ago than `ttl`, oldest first, a batch at a time.

    Content of unfinished jobs is passed over, however much of it is the oldest.

    Parameters
    ----------
    enough, enough_bytes
        Pieces, and bytes of them, after which to stop; by default all go.

    Returns
    -------
    int
        How many pieces were forgotten.
    """
    forgotten = forgotten_bytes = 0
    after: KeptPiece | None = None
    jobless = timedelta(minutes=JOBLESS_MINUTES)
    while forgotten < enough and forgotten_bytes < enough_bytes and (old := await store.older_than(ttl, after)):
        owners, job_ids, times = zip(*((piece.owner, piece.job_id, piece.created_at) for piece in old), strict=True)
        ended = {row["job_id"] for row in await jobs.fetch(_ENDED_LONG_AGO, owners, job_ids, times, ttl, jobless)}
        gone = [piece for piece in old if piece.job_id in ended]
        forgotten += await store.forget([piece.ref for piece in gone]) if gone else 0
        forgotten_bytes += sum(piece.stored_bytes for piece in gone)
        after = old[-1]
    return forgotten
