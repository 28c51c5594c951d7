"""What a worker's main process and beat tell `ml_shared.probe`: a file, touched as long as they really work."""

import logging
import os
from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.app.events import Events
from celery.beat import Scheduler
from celery.events.dispatcher import EventDispatcher

from ml_shared.probe import HEARTBEAT_FILE, HEARTBEAT_SECONDS

logger = logging.getLogger(__name__)


class Heartbeat:
    """The file that `HEARTBEAT_FILE` names; without it nothing."""

    def __init__(self) -> None:
        name = os.environ.get(HEARTBEAT_FILE)
        self._path = Path(name) if name else None
        self._failing = False

    @property
    def wanted(self) -> bool:
        """Whether there is such a file."""
        return self._path is not None

    def touch(self) -> None:
        """Make the file new. Where it can't be, that costs the health check and not the work."""
        if self._path is None:
            return
        try:
            self._path.touch()
        except OSError as error:
            if not self._failing:
                logger.error("no heartbeat, the health check will fail: %s", error)
            self._failing = True
        else:
            self._failing = False


class PromptDispatcher(EventDispatcher):  # type: ignore[misc]
    """Celery's worker events, each published once.

    Celery's own retries without end and with a lock held. A worker whose Redis went away would neither see that in its
    loop nor, when it is told to stop, come past its last event: it would wait until it is killed.
    """

    def send(self, type: str, *args: Any, **options: Any) -> Any:  # noqa: A002
        """Celery's hook: publish an event. Without Redis the consumer's loop gets the error, and connects anew."""
        self.buffer_while_offline = False
        errors = self.connection.recoverable_connection_errors
        try:
            return super().send(type, *args, **options | {"retry": False})
        except errors as error:
            if type != "worker-offline":
                raise
            logger.info("nobody was told that this worker ends: %s", error)
            return None


class PromptEvents(Events):  # type: ignore[misc]
    """What makes Celery use it."""

    dispatcher_cls = PromptDispatcher


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]
    """Part of a worker's consumer: it starts once that is connected, and stops with it.

    Its timer is the consumer's loop, so that a loop that hangs is seen. So is a Redis that hangs: every two seconds
    that loop publishes Celery's own event heartbeat there, and waits for it.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)
    every_seconds: float = HEARTBEAT_SECONDS

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._heartbeat = Heartbeat()
        self.enabled = self._heartbeat.wanted
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Celery's hook: the consumer is connected."""
        self._timer = consumer.timer.call_repeatedly(self.every_seconds, self._heartbeat.touch)
        consumer.timer.call_after(0, self._heartbeat.touch)  # on the loop's first turn, not only seconds later

    def stop(self, consumer: Any) -> None:
        """Celery's hook: the consumer lost its connection, or ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    shutdown = stop


class HeartbeatScheduler(Scheduler):  # type: ignore[misc]
    """Beat's schedule, in memory: a file of it would be one more thing to place and to clean up."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._heartbeat = Heartbeat()
        super().__init__(*args, **options)

    def tick(self, *args: Any, **options: Any) -> float:
        """Celery's hook: send what is due. Touched after it, so that one that waits for Redis without end is seen."""
        seconds: float = super().tick(*args, **options)
        self._heartbeat.touch()
        return seconds
