"""What became of a task that nobody gets a callback for: kept an hour, for whoever asked and for nobody else."""

import logging
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.auth.context import CallerContext
from ml_shared.auth.request import RequestState, bound_request
from ml_shared.contracts.queueing import PendingResult
from ml_shared.errors import NotFoundError, RateLimitedError, ServiceError, TooLargeError, UnavailableError
from ml_shared.http.problem_documents import PROBLEM_MEDIA_TYPE, problem_bytes
from ml_shared.names import Header
from ml_shared.queues.room import release
from ml_shared.settings import ServiceSettings
from ml_shared.storage.lua import LuaScript
from ml_shared.telemetry.logs import REQUEST_ID
from ml_shared.telemetry.metrics import count_rejection

if TYPE_CHECKING:
    from fastapi import Response

logger = logging.getLogger(__name__)

RESULT_SECONDS: Final = 3600
PENDING_SECONDS: Final = 6 * 3600
# how long a task may wait in its queue and still be asked for
RESULT_MAX_BYTES: Final = 2**20
# of one result, compressed
HELD_BYTES: Final = 16 * 1024
# held from the moment a task is queued; room for any problem document, and for a small result
OWNER_SHARE: Final = 4
# An owner may have a quarter of the queue's tasks and of the room for results: one who floods `POST /enqueue` with tasks
# keeps nobody else out. (The queue's own room is shared out likewise, see `ml_shared.queues.room`.)
FULL_RETRY_SECONDS: Final = 60
TOO_MANY_RETRY_SECONDS: Final = 30
JSON: Final = "application/json"

_INDEX: Final = "ml:results:holds"
_TOTAL: Final = "ml:results:held_bytes"
_OWNER_BYTES: Final = "ml:results:owner_bytes"
_OWNER_TASKS: Final = "ml:results:owner_tasks"
_reserve = LuaScript("ml_shared.queues", "results_reserve.lua")
_start = LuaScript("ml_shared.queues", "results_start.lua")
_finish = LuaScript("ml_shared.queues", "results_finish.lua")
_interrupt = LuaScript("ml_shared.queues", "results_interrupt.lua")
_release = LuaScript("ml_shared.queues", "results_release.lua")


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A task's outcome: what the sync route would have answered."""

    status: int
    body: bytes
    media_type: str = JSON
    retry_after_seconds: float | None = None


class ResultStore:
    """Outcomes in the service's own Redis: compressed, at most 1 MiB each and `RESULTS_MAX_BYTES` in all.

    One owner has at most a quarter of that room, and of `MAX_QUEUE_DEPTH` tasks that have not ended.
    """

    def __init__(self, redis: Redis, settings: ServiceSettings) -> None:
        self._redis = redis
        self._max_bytes = settings.RESULTS_MAX_BYTES
        self._owner_bytes = max(HELD_BYTES, settings.RESULTS_MAX_BYTES // OWNER_SHARE)
        self._owner_tasks = max(1, settings.MAX_QUEUE_DEPTH // OWNER_SHARE)

    async def reserve(self, task_id: str, owner: str) -> None:
        """Register a task before it is queued, and hold room for its outcome.

        Raises
        ------
        RateLimitedError
            `results_full`, when what is kept leaves no room, or what is kept for this owner; `too_many_tasks`, when
            as many of the owner's tasks as may have not ended.
        """
        kept = await _reserve(
            self._redis,
            self._keys(task_id),
            task_id,
            owner,
            HELD_BYTES,
            self._max_bytes,
            PENDING_SECONDS,
            self._owner_bytes,
            self._owner_tasks,
        )
        if kept == -2:
            raise _too_many(self._owner_tasks)
        if kept != 1:
            raise _full()

    async def release(self, task_id: str) -> None:
        """Forget a task that was registered and then not queued."""
        await _release(self._redis, self._keys(task_id), task_id)

    async def start(self, task_id: str) -> int:
        """Say that the task runs. Returns which delivery of it this is; 0 when its outcome is kept already."""
        return int(await _start(self._redis, [self._key(task_id)], PENDING_SECONDS))

    async def interrupt(self, task_id: str) -> None:
        """Say that the task was interrupted by its worker's stop, and waits again: that delivery does not count."""
        await _interrupt(self._redis, [self._key(task_id)])

    async def finish(
        self,
        task_id: str,
        body: bytes,
        status: int,
        *,
        media_type: str = JSON,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep a task's outcome.

        Raises
        ------
        TooLargeError
            `result_too_large`, when it is over 1 MiB compressed.
        RateLimitedError
            `results_full`, when what is kept, or kept for its owner, leaves no room for more than a problem document.
        """
        packed = zlib.compress(body, 6)
        if len(packed) > RESULT_MAX_BYTES:
            raise TooLargeError(
                f"the result has {len(packed)} bytes compressed, {RESULT_MAX_BYTES} is the most that is kept; "
                "submit it with POST /jobs on the orchestrator",
                code="result_too_large",
            )
        retry_after = "" if retry_after_seconds is None else str(retry_after_seconds)
        kept = await _finish(
            self._redis,
            self._keys(task_id),
            task_id,
            len(packed),
            self._max_bytes,
            RESULT_SECONDS,
            packed,
            status,
            media_type,
            retry_after,
            self._owner_bytes,
        )
        if kept == 0:
            raise _full()
        await release(self._redis, task_id)  # it has ended: its owner may queue another in its place
        if kept < 0:
            logger.info("nobody waits for this task's outcome any more", extra={"task_id": task_id})

    async def finish_failed(self, task_id: str, error: ServiceError) -> None:
        """Keep the problem document of a task that failed, as the sync route would have answered it.

        Raises
        ------
        RateLimitedError
            If there is no room; there always is for a document within what was held for it.
        """
        await self.finish(
            task_id,
            _problem(error, task_id),
            error.status,
            media_type=PROBLEM_MEDIA_TYPE,
            retry_after_seconds=error.retry_after_seconds,
        )

    async def read(self, task_id: str, owner: str) -> StoredResult | PendingResult | None:
        """Return a task's outcome, or where it stands; `None` for a task that is not there or another owner's."""
        kept = cast(dict[bytes, bytes], await self._redis.hgetall(self._key(task_id)))  # decode_responses is off
        if b"owner" not in kept or kept[b"owner"].decode() != owner:
            return None
        if kept[b"state"] != b"done":
            return PendingResult(task_id=task_id, status=kept[b"state"].decode())
        return StoredResult(
            status=int(kept[b"status"]),
            body=zlib.decompress(kept[b"body"]),
            media_type=kept[b"media_type"].decode(),
            retry_after_seconds=float(kept[b"retry_after"]) if kept[b"retry_after"] else None,
        )

    @staticmethod
    def _key(task_id: str) -> str:
        return f"ml:results:task:{task_id}"

    def _keys(self, task_id: str) -> list[str]:
        return [self._key(task_id), _INDEX, _TOTAL, _OWNER_BYTES, _OWNER_TASKS]


def _problem(error: ServiceError, task_id: str) -> bytes:
    """Return the problem document, with the id of the request that asked for the task."""
    with bound_request(RequestState(request_id=REQUEST_ID.get() or "")):
        return problem_bytes(error, f"/results/{task_id}")


def _full() -> RateLimitedError:
    count_rejection("results", "results_full")
    return RateLimitedError(
        "there is no room to keep more results, each is kept for an hour; submit with POST /jobs on the orchestrator",
        code="results_full",
        retry_after_seconds=FULL_RETRY_SECONDS,
    )


def _too_many(most: int) -> RateLimitedError:
    count_rejection("results", "too_many_tasks")
    return RateLimitedError(
        f"{most} of your tasks wait or are being worked on, which is the most for one caller; POST /jobs on the "
        "orchestrator takes more",
        code="too_many_tasks",
        retry_after_seconds=TOO_MANY_RETRY_SECONDS,
    )


async def result_response(store: ResultStore, task_id: str, ctx: CallerContext) -> "Response":
    """Answer `GET /results/{task_id}`: the sync route's own answer, or `202` while the task has not ended.

    Raises
    ------
    NotFoundError
        `result_not_found`: never asked for, expired, or another owner's.
    UnavailableError
        If Redis does not answer.
    """
    from fastapi.responses import JSONResponse, Response  # a worker, which keeps results, needs neither

    try:
        found = await store.read(task_id, ctx.owner)
    except RedisError as error:
        raise UnavailableError("results can't be read at the moment", retry_after_seconds=5) from error
    if found is None:
        raise NotFoundError(
            "there is no such result: results are kept for an hour, for the caller who asked", code="result_not_found"
        )
    if isinstance(found, PendingResult):
        return JSONResponse(found.model_dump(), status_code=202, headers={Header.RETRY_AFTER: "2"})
    headers = {}
    if found.retry_after_seconds is not None:
        headers[Header.RETRY_AFTER] = str(max(1, round(found.retry_after_seconds)))
    return Response(found.body, status_code=found.status, media_type=found.media_type, headers=headers)
