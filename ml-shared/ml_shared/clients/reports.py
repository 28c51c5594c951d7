"""Reports that are made at about the same time, told in one call.

A worker that works on several jobs reports of them in bursts. Whatever goes wrong with a call of several, each of them is
told by itself then: every report has the same effect however often it arrives.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ml_shared.clients.peer import (
    RETRIED_STATUSES,
    Call,
    ExchangeError,
    Peer,
    PeerAnswer,
    Timeouts,
    idempotent,
)
from ml_shared.contracts.reports import ANSWERS, REPORTS_MAX, Report, contents_of, framed, json_bytes, unframed
from ml_shared.names import Header
from ml_shared.web.wire import ReplyHeaders

logger = logging.getLogger(__name__)

COMPANY_SECONDS: Final = 0.02
# that a report waits for others: less than the call takes on a busy machine
TIMEOUTS: Final = Timeouts(silence_seconds=4.0, whole_seconds=10.0)
MOST_BYTES: Final = 2**21
# of content that goes along with one call
ANSWER_MAX_BYTES: Final = 2**25
UNKNOWN_SECONDS: Final = 60.0
# an orchestrator of an earlier version is asked again after so long
UNKNOWN_STATUSES: Final = frozenset({404, 405})
BYTES: Final = {"Content-Type": "application/octet-stream"}
PATH: Final = "/content/reports"
_propagator: Final = TraceContextTextMapPropagator()


@dataclass(slots=True)
class _Waiting:
    report: Report
    content: bytes | None
    answer: "asyncio.Future[PeerAnswer | None]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Reporter:
    """Tells the orchestrator of several reports at once, within `together`."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._depth = 0
        self._waiting: list[_Waiting] = []
        self._bytes = 0
        self._sending: set[asyncio.Task[None]] = set()
        self._unknown_until = 0.0

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have reports within the block wait a moment for others."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    async def tell(self, report: Report, content: bytes | None = None) -> PeerAnswer | None:
        """Tell a report together with others.

        Returns
        -------
        PeerAnswer or None
            What its own route would have answered; `None` if it is to be told there.
        """
        if not self._depth or time.monotonic() < self._unknown_until or len(content or b"") > MOST_BYTES // 2:
            return None
        told: dict[str, str] = {}
        _propagator.inject(told)
        more: dict[str, str | int | None] = {"traceparent": told.get("traceparent")}
        if content is not None:
            more |= {"content_bytes": len(content), "content_sha256": hashlib.sha256(content).hexdigest()}
        waiting = _Waiting(report.model_copy(update=more), content)
        if self._bytes + len(content or b"") > MOST_BYTES or len(self._waiting) >= REPORTS_MAX:
            self._begin()
        self._waiting.append(waiting)
        self._bytes += len(content or b"")
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_later(COMPANY_SECONDS, self._begin)
        return await waiting.answer

    def _begin(self) -> None:
        waiting, self._waiting, self._bytes = self._waiting, [], 0
        waiting = [each for each in waiting if not each.answer.done()]
        if len(waiting) == 1:
            waiting[0].answer.set_result(None)
        elif waiting:
            sending = asyncio.ensure_future(self._send(waiting))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)

    async def _send(self, waiting: list[_Waiting]) -> None:
        answers: list[PeerAnswer | None] = [None] * len(waiting)
        try:
            answers = await self._answers(waiting)
        except (ExchangeError, ValueError) as error:
            logger.info("reports are told one by one", extra={"reason": str(error), "reports": len(waiting)})
        finally:
            for each, answer in zip(waiting, answers, strict=True):
                if not each.answer.done():
                    again = answer is not None and answer.status in RETRIED_STATUSES
                    each.answer.set_result(None if again else answer)

    async def _answers(self, waiting: list[_Waiting]) -> list[PeerAnswer | None]:
        body = framed((each.report for each in waiting), (each.content or b"" for each in waiting))
        call = Call(
            "POST", PATH, TIMEOUTS, idempotent(1), content=body, headers=BYTES, max_answer_bytes=ANSWER_MAX_BYTES
        )
        answer = await self._peer.exchange(call)
        if answer.status in UNKNOWN_STATUSES:
            self._unknown_until = time.monotonic() + UNKNOWN_SECONDS
        if not answer.is_success:
            raise ValueError(f"status {answer.status}")
        line, contents = unframed(answer.body)
        told = ANSWERS.validate_json(line)
        if len(told) != len(waiting):
            raise ValueError("not an answer to each")
        return [
            PeerAnswer(
                each.status,
                ReplyHeaders({Header.CONTENT_SHA256.lower(): each.content_sha256 or ""}),
                json_bytes(each.body) if content is None else content,
            )
            for each, content in zip(told, contents_of(told, contents), strict=True)
        ]


__all__ = ["Reporter"]
