"""Kombu's Redis transport with one client a channel, where kombu makes one for each message it takes and each that it acknowledges.

A client does no more than name the pool that its connections come from, but redis-py copies a table of four hundred commands into
each: a quarter of what a task costs a worker's main process.
"""

from collections.abc import Callable
from typing import Any

from kombu.transport import redis


class LeanChannel(redis.Channel):
    """A channel that keeps its client as long as its pool."""

    _lean: tuple[Any, Any] | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        """Kombu's hook: a client for commands, or one whose connection waits for messages."""
        create: Callable[..., Any] = super()._create_client
        if asynchronous:
            return create(asynchronous=True)
        pool = self.pool
        if self._lean is None or self._lean[0] is not pool:
            self._lean = (pool, create())
        return self._lean[1]


class LeanTransport(redis.Transport):
    """What makes Celery use it: `broker_transport`."""

    Channel = LeanChannel
