"""One peer of ours over HTTP: pooled connections, times that are kept, bounded answers, and repeats of what is safe.

The clients beside this module say what a call is and what its answers mean; how it is carried out is here.
"""

import asyncio
import json
import random
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar

from pydantic import BaseModel, SecretStr, ValidationError

from ml_shared.names import Header
from ml_shared.web.wire import ExchangeError as ExchangeError
from ml_shared.web.wire import Loss as Loss
from ml_shared.web.wire import ReplyHeaders, Wire
from ml_shared.web.wire import Timeouts as Timeouts

Model = TypeVar("Model", bound=BaseModel)

BACKOFF_SECONDS: Final = 0.25
# doubled each time, with full jitter: callers that failed together do not come back together
REPORT_MAX_BYTES: Final = 65_536
# an answer of some fields, or a problem document
RETRY_AFTER_MAX_SECONDS: Final = 3_600.0
RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Repeat:
    """What a call may be repeated after.

    Attributes
    ----------
    attempts
        In all, the first one included.
    losses, statuses
        After which the same again is safe, and may help.
    """

    attempts: int
    losses: frozenset[Loss]
    statuses: frozenset[int] = frozenset()


UNSENT_ONLY: Final = Repeat(2, frozenset({Loss.UNREACHED}))
"""For what must not be carried out twice: a connection that was refused carried nothing."""
PURE: Final = Repeat(2, frozenset({Loss.UNREACHED, Loss.BROKEN}))
"""For what changes nothing and costs much: a lost connection is worth another try, a slow or busy peer is not."""


def idempotent(attempts: int) -> Repeat:
    """For what has the same effect however often it arrives."""
    return Repeat(attempts, frozenset({Loss.UNREACHED, Loss.BROKEN, Loss.TIMED_OUT}), RETRIED_STATUSES)


@dataclass(frozen=True, slots=True)
class Call:
    """A request, and how much is done for an answer."""

    method: str
    path: str
    timeouts: Timeouts
    repeat: Repeat
    parameters: Mapping[str, str] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    max_answer_bytes: int = REPORT_MAX_BYTES


@dataclass(frozen=True, slots=True)
class PeerAnswer:
    """An answer, whole, whatever its status."""

    status: int
    headers: ReplyHeaders
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether it is a 2xx."""
        return 200 <= self.status < 300

    @property
    def retry_after_seconds(self) -> float | None:
        """When it may work, from `Retry-After` as seconds or as a date; at most an hour."""
        return retry_after_seconds(self.headers.get(Header.RETRY_AFTER, ""))

    def problem(self, *, otherwise: str) -> tuple[str, str]:
        """Return code and detail of a problem document; `otherwise` is the code of what is none."""
        try:
            document = json.loads(self.body)
            code, detail = document["code"], document["detail"]
        except (ValueError, KeyError, TypeError):
            code = detail = None
        if not isinstance(code, str) or _CODE.fullmatch(code) is None or not isinstance(detail, str):
            return otherwise, f"it answered {self.status}"
        return code, detail

    def parse(self, model: type[Model]) -> Model | None:
        """Return the body as a model, `None` if it is not one."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError:
            return None


def retry_after_seconds(value: str) -> float | None:
    """Read a `Retry-After`: `30`, or `Wed, 21 Oct 2026 07:28:00 GMT`."""
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), RETRY_AFTER_MAX_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - datetime.now(UTC)).total_seconds(), 0.0), RETRY_AFTER_MAX_SECONDS)


class Peer:
    """A peer that is called with this service's own key. Make it with `open_peer`."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def exchange(self, call: Call) -> PeerAnswer:
        """Carry out a call, repeated as far as it may be.

        Returns
        -------
        PeerAnswer
            Of any status: the last one, where a repeated call goes on being answered with one that it is repeated for.

        Raises
        ------
        ExchangeError
            If there is no answer, and the call may not be repeated for that, or not any more.
        """
        attempt = 1
        while True:
            final = attempt >= call.repeat.attempts
            try:
                answer = await self._once(call)
            except ExchangeError as error:
                if final or error.loss not in call.repeat.losses:
                    raise
            else:
                if final or answer.status not in call.repeat.statuses:
                    return answer
            await asyncio.sleep(random.uniform(0, BACKOFF_SECONDS * 2**attempt))  # noqa: S311 - jitter
            attempt += 1

    async def _once(self, call: Call) -> PeerAnswer:
        reply = await self._wire.exchange(
            call.method,
            call.path,
            call.timeouts,
            parameters=call.parameters,
            content=call.content,
            headers=call.headers,
            max_bytes=call.max_answer_bytes,
        )
        return PeerAnswer(reply.status, reply.headers, reply.body)


@asynccontextmanager
async def open_peer(url: str, key: SecretStr, *, max_connections: int) -> AsyncIterator[Peer]:
    """Open a pool of connections to a peer.

    Parameters
    ----------
    url
        Its address, and any path before its routes.
    key
        This service's own: what the peer knows it by.
    """
    headers = {Header.API_KEY: key.get_secret_value(), "Accept": "application/json", "Accept-Encoding": "identity"}
    async with Wire.open(url, headers, connections=max_connections) as wire:
        yield Peer(wire)


def json_of(model: BaseModel) -> bytes:
    """Return a request's body. What is `None` is left out; within the caller's own metadata it stays."""
    return model.model_dump_json(exclude_none=True).encode()
