"""A task's message as kombu keeps it in a Redis list, written without a connection to put it there.

Celery's own way is a producer that blocks, on a thread, over a second pool of connections; a hand-out's message travels with the
script that decides whether there is room for it. Everything else about it is Celery's: what it says of the task, and the signals
by which it is traced.
"""

import base64
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import orjson

CONTENT_TYPE: Final = "application/json"
ENCODING: Final = "utf-8"
BODY_ENCODING: Final = "base64"
PERSISTENT: Final = 2
# AMQP's delivery mode; Redis has but one


class _NoConnection:
    """What Celery asks of a producer's connection."""

    @staticmethod
    def _reraise_as_library_errors() -> AbstractContextManager[None]:
        return nullcontext()


class WrittenMessage:
    """A producer of Celery's that keeps the one message that it is given: `task.apply_async(producer=…)`.

    Attributes
    ----------
    message
        As a worker finds it in its list.
    """

    connection = _NoConnection()

    def __init__(self) -> None:
        self.message = b""

    def publish(
        self,
        body: Any,
        *,
        exchange: str,
        routing_key: str,
        headers: Mapping[str, Any],
        priority: int,
        correlation_id: str,
        reply_to: str,
        **_: Any,
    ) -> None:
        """Celery's hook: send a message. What it says of retries and declarations is for a broker."""
        self.message = orjson.dumps(
            {  # the headers stand near the end, where `queue_oldest.lua` looks for them
                "body": base64.b64encode(orjson.dumps(body)).decode(),
                "content-encoding": ENCODING,
                "content-type": CONTENT_TYPE,
                "headers": headers,
                "properties": {
                    "correlation_id": correlation_id,
                    "reply_to": reply_to,
                    "delivery_mode": PERSISTENT,
                    "delivery_info": {"exchange": exchange, "routing_key": routing_key},
                    "priority": priority,
                    "body_encoding": BODY_ENCODING,
                    "delivery_tag": str(uuid.uuid4()),
                },
            }
        )
