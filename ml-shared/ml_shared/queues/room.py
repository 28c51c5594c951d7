"""Room in a queue: how many tasks and bytes it takes, and how much of that one owner may have.

Counted in Redis by one script, so that the bounds hold over all processes. A direct task is counted for its owner until
it ends; hand-outs of the orchestrator's are bounded by the whole queue alone, and a quarter of it is only theirs.
"""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from ml_shared.names import Queue
from ml_shared.queues.lists import FIRST_TASKS, PRIORITY_STEPS, queue_lists
from ml_shared.storage.lua import LuaScript

EPOCH_KEY: Final = "ml:queue_epoch"
UNACKED_KEY: Final = "unacked"
# the hash in which kombu keeps what workers hold and have not acknowledged
PARTS: Final = 4
# an owner may have one of so many, all direct tasks together the whole less one
ARRIVAL_SECONDS: Final = 30
# longer than publishing may take; then a process that died meanwhile is not counted for
HOLD_SECONDS: Final = 3600
# a task that waits longer is not counted for its owner any more; it is in the queue's own depth and bytes
EMPTY_SECONDS: Final = 60
# where nothing is queued, what is older was released by nobody: a worker that was killed, or one of an earlier version
HAND_OUTS_A_DIRECT_TASK: Final = 8
# While hand-outs keep coming, direct tasks get a ninth of the places. The orchestrator hands out about twice what the
# workers hold at once, so that no hand-out has more than one of them before it

_ARRIVING: Final = "ml:queue:arriving"
_HAND_OUTS: Final = "ml:queue:hand_outs"
_DIRECT: Final = ("ml:queue:direct", "ml:queue:direct_tasks", "ml:queue:owner_bytes", "ml:queue:owner_tasks")
_reserve: Final = LuaScript("ml_shared.queues", "queue_reserve.lua")
_release: Final = LuaScript("ml_shared.queues", "queue_release.lua")


class Verdict(IntEnum):
    """What the script says of a task; the numbers are the script's."""

    TAKEN = 1
    QUEUE_TASKS = 0
    QUEUE_BYTES = -1
    DIRECT_TASKS = -2
    DIRECT_BYTES = -3
    OWNER_TASKS = -4
    OWNER_BYTES = -5


@dataclass(frozen=True, slots=True)
class Room:
    """What there was for a task.

    Attributes
    ----------
    counted
        Tasks or bytes, as the verdict goes by.
    epoch
        Names this life of the queue's Redis.
    priority
        Of the message, where it was taken.
    """

    verdict: Verdict
    counted: int
    epoch: str
    priority: int


class QueueRoom:
    """The room in one queue."""

    def __init__(self, redis: Redis, queue: Queue, *, max_tasks: int, max_bytes: int) -> None:
        self._redis = redis
        self._keys = [UNACKED_KEY, EPOCH_KEY, _ARRIVING, *_DIRECT, _HAND_OUTS, *queue_lists(queue)]
        self._max_tasks = max_tasks
        self._max_bytes = max_bytes

    async def reserve(self, task_id: str, size: int, owner: str) -> Room:
        """Take room for a direct task, if there is some. Whoever got it says `arrived` once the task is queued.

        Parameters
        ----------
        size
            Bytes of its message.
        owner
            Who asks.
        """
        return _room(await _reserve(self._redis, self._keys, *self._question(task_id, size, owner, b"")))

    async def hand_out(self, messages: Sequence[tuple[str, bytes]]) -> list[Room]:
        """Queue hand-outs of the orchestrator's, each if there is room, in the same step.

        Parameters
        ----------
        messages
            Each with its task's id before it.
        """
        asked = [self._question(task_id, len(message), "", message) for task_id, message in messages]
        if len(asked) == 1:
            return [_room(await _reserve(self._redis, self._keys, *asked[0]))]
        return [_room(answer) for answer in await _reserve.several(self._redis, self._keys, asked)]

    def _question(self, task_id: str, size: int, owner: str, message: bytes) -> list[str | int | bytes]:
        return [
            task_id,
            size,
            owner,
            uuid.uuid4().hex,
            self._max_tasks,
            self._max_bytes,
            PARTS,
            ARRIVAL_SECONDS,
            HOLD_SECONDS,
            EMPTY_SECONDS,
            HAND_OUTS_A_DIRECT_TASK,
            message,
            *FIRST_TASKS,
        ]

    async def arrived(self, task_id: str, size: int) -> None:
        """Say that a task is in the queue and counted there, or will not be. If that is lost, it is soon forgotten."""
        with suppress(RedisError):
            await self._redis.zrem(_ARRIVING, f"{size}:{task_id}")


def _room(answer: tuple[int, int, bytes, int]) -> Room:
    verdict, counted, epoch, place = answer
    return Room(Verdict(verdict), int(counted), epoch.decode(), PRIORITY_STEPS[place - 1] if place else 0)


async def release(redis: Redis, task_id: str) -> None:
    """Count a task for its owner no longer."""
    await _release(redis, list(_DIRECT), task_id)
