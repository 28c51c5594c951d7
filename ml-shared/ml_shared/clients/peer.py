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
from enum import StrEnum
from typing import Final, TypeVar

import httpx
from opentelemetry import propagate
from pydantic import BaseModel, SecretStr, ValidationError

from ml_shared.clients.tls import shared_tls
from ml_shared.names import Header

Model = TypeVar("Model", bound=BaseModel)

BACKOFF_SECONDS: Final = 0.25
# doubled each time, with full jitter: callers that failed together do not come back together
CONNECT_TIMEOUT_SECONDS: Final = 2.0
REPORT_MAX_BYTES: Final = 65_536
# an answer of some fields, or a problem document
RETRY_AFTER_MAX_SECONDS: Final = 3_600.0
RETRIED_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class Loss(StrEnum):
    """How an exchange came to have no answer."""

    UNREACHED = "unreached"  # nothing was sent, so nothing was done
    BROKEN = "broken"  # sent, and the connection ended before a whole answer came
    TIMED_OUT = "timed_out"  # sent, and no whole answer came in time
    TOO_LONG = "too_long"  # an answer of more bytes than are read


class ExchangeError(Exception):
    """There is no answer.

    Attributes
    ----------
    loss
        How, which says whether the request may have been carried out.
    """

    def __init__(self, loss: Loss, reason: str) -> None:
        super().__init__(f"{loss} ({reason})")
        self.loss = loss


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long an exchange may take.

    Attributes
    ----------
    connect_seconds
        To get a connection: from the pool, and again to make one.
    silence_seconds
        The longest pause of the peer while it reads or answers.
    whole_seconds
        From asking for a connection to the answer's last byte; a peer that drips is not waited for.
    """

    silence_seconds: float
    whole_seconds: float
    connect_seconds: float = CONNECT_TIMEOUT_SECONDS


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
    headers: httpx.Headers
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


_UNREACHED: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)


async def _inject_trace_context(request: httpx.Request) -> None:
    """For processes whose httpx is not instrumented: the one that Celery forks from exports no spans."""
    if "traceparent" not in request.headers:
        propagate.inject(request.headers)


class Peer:
    """A peer that is called with this service's own key. Make it with `open_peer`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

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
        times = call.timeouts
        try:
            async with (
                asyncio.timeout(times.whole_seconds),
                self._http.stream(
                    call.method,
                    call.path,
                    params=call.parameters,
                    content=call.content,
                    headers=call.headers,
                    timeout=httpx.Timeout(
                        times.silence_seconds, connect=times.connect_seconds, pool=times.connect_seconds
                    ),
                ) as response,
            ):
                return PeerAnswer(response.status_code, response.headers, await _read(response, call.max_answer_bytes))
        except _UNREACHED as error:
            raise ExchangeError(Loss.UNREACHED, type(error).__name__) from error
        except (httpx.TimeoutException, TimeoutError) as error:
            raise ExchangeError(Loss.TIMED_OUT, type(error).__name__) from error
        except httpx.HTTPError as error:
            raise ExchangeError(Loss.BROKEN, type(error).__name__) from error


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        # not asked for, and a few bytes of it may unpack to gigabytes
        raise ExchangeError(Loss.BROKEN, "an answer in an encoding that was not asked for")
    parts, length = [], 0
    async for part in response.aiter_raw():
        length += len(part)
        if length > max_bytes:
            raise ExchangeError(Loss.TOO_LONG, f"more than {max_bytes} bytes")
        parts.append(part)
    return b"".join(parts)


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
    async with httpx.AsyncClient(
        base_url=url,
        headers={Header.API_KEY: key.get_secret_value(), "Accept": "application/json", "Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=max_connections),
        event_hooks={"request": [_inject_trace_context]},
        follow_redirects=False,
        trust_env=False,  # the fleet's own traffic goes through no proxy of the environment's
        verify=shared_tls(),
    ) as http:
        yield Peer(http)


def json_of(model: BaseModel) -> bytes:
    """Return a request's body. What is `None` is left out; within the caller's own metadata it stays."""
    return model.model_dump_json(exclude_none=True).encode()
