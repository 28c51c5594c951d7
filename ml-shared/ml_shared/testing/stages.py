"""Stand-ins for the services that run the stages: they take what the orchestrator hands out, and work when told to."""

import hashlib
import json
import re
import secrets
import uuid
from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Generic, TypeVar

from pydantic import SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ml_shared.clients.orchestrator import OrchestratorClient
from ml_shared.contracts.base import RequestModel
from ml_shared.contracts.chunking import Chunk, ChunkRequest, ChunkResult
from ml_shared.contracts.embedding import EmbedAction, EnqueueEmbed, EnqueueEmbeds, PageOutcome
from ml_shared.contracts.jobs import (
    CallbackAnswer,
    CallbackStatus,
    ProgressPhase,
    ProgressReport,
    StageCallback,
)
from ml_shared.contracts.looks import Look
from ml_shared.contracts.queueing import EnqueueAnswer, StageFields
from ml_shared.contracts.scraping import EnqueueScrape, EnqueueScrapes, RobotsVerdict, ScrapeResult
from ml_shared.names import Service, Stage
from ml_shared.testing.fake_peer import Handler, problem
from ml_shared.testing.fake_stage import FakeStage, ReceivedRequest

MAX_QUEUE_DEPTH: Final = 1_000
FULL_RETRY_SECONDS: Final = 30
SPECIAL_TOKENS: Final = 2
FETCHED_AT: Final = "2026-01-01T00:00:00Z"
_WORD: Final = re.compile(r"\S+")

Handed = TypeVar("Handed", bound=StageFields)


@dataclass(frozen=True)
class FakeTask(Generic[Handed]):
    """A task that waits in a queue."""

    task_id: str
    request: Handed


class _FakeQueue(FakeStage[Handed]):
    """A stage with a queue, whose worker is the test: `finish`, `fail` or `defer` a job that was handed out.

    Attributes
    ----------
    tasks
        What waits, oldest first.
    max_depth
        With so many tasks waiting, the next is answered `429 queue_full`.
    queue_epoch
        Answered with each task. `wipe` makes a new one.
    takes_several
        Whether there is a route for several jobs at once; an earlier version had none.
    """

    path = "/enqueue"
    several_path: ClassVar = "/enqueue/batch"
    hand_outs: ClassVar[type[RequestModel]]
    service: ClassVar[Service]
    stage: ClassVar[Stage]
    _reports_to: tuple[str, SecretStr] | None = None

    def reset(self) -> None:
        """Forget what was taken, and serve, with an empty queue of a new life."""
        super().reset()
        self.max_depth = MAX_QUEUE_DEPTH
        self.takes_several = True
        self.wipe()

    def _more_routes(self) -> list[tuple[str, str, Handler]]:
        return [("POST", self.several_path, self._take_several)]

    def _take_several(self, request: Request, body: bytes, caller: str) -> Response:
        if not self.takes_several:
            return problem(404, "not_found", "there is no such route")
        if caller not in ("", Service.ORCHESTRATOR):
            return problem(403, "internal_only", "only the orchestrator may call this")
        try:
            asked: Any = self.hand_outs.model_validate_json(body)
        except ValidationError:
            return problem(422, "invalid_request", "one of them is wrong")
        return JSONResponse({"answers": [self._take_one(request, each) for each in asked.hand_outs]})

    def _take_one(self, request: Request, asked: Any) -> Any:
        answer = json.loads(bytes(self._answer(asked).body))
        if answer["status"] == "queued":
            raw = asked.model_dump(mode="json", exclude_unset=True)
            self.calls.append(ReceivedRequest(self.several_path, dict(request.headers), raw, asked))
            return answer
        return answer | {"retry_after_seconds": FULL_RETRY_SECONDS}

    def wipe(self) -> None:
        """Lose the queue, as a Redis that is emptied does."""
        self.tasks: list[FakeTask[Handed]] = []
        self.queue_epoch = secrets.token_hex(16)

    def works_for(self, url: str, key: str) -> None:
        """Say to which orchestrator, and with which key, its worker reports."""
        self._reports_to = url, SecretStr(key)

    async def finish(self, job_id: str, **made: Any) -> CallbackAnswer | None:
        """Do a job as a worker does, and report its success. What it makes can be given field by field."""
        task, orchestrator = self._pop(job_id), self._orchestrator()
        async with orchestrator as client:
            await self._say(client, task, ProgressPhase.STARTED)
            done = await self._work(client, task, made)
            return await client.complete(job_id, self._callback(task, CallbackStatus.SUCCESS, **done))

    async def fail(self, job_id: str, error_code: str, error_message: str = "it failed") -> CallbackAnswer | None:
        """Start a job, and report that it failed for good."""
        return await self._give_up(job_id, CallbackStatus.FAILED, error_code=error_code, error_message=error_message)

    async def defer(self, job_id: str, error_code: str, **fields: Any) -> CallbackAnswer | None:
        """Start a job, and report that it is to be tried again."""
        return await self._give_up(job_id, CallbackStatus.DEFERRED, error_code=error_code, **fields)

    async def _give_up(self, job_id: str, status: CallbackStatus, **fields: Any) -> CallbackAnswer | None:
        task = self._pop(job_id)
        async with self._orchestrator() as client:
            await self._say(client, task, ProgressPhase.STARTED)
            return await client.complete(job_id, self._callback(task, status, **fields))

    @abstractmethod
    async def _work(self, client: OrchestratorClient, task: FakeTask[Handed], made: dict[str, Any]) -> dict[str, Any]:
        """Do the stage's work; return what the callback says of it."""

    async def _say(self, client: OrchestratorClient, task: FakeTask[Handed], phase: ProgressPhase) -> None:
        report = ProgressReport(attempt_id=_attempt_of(task), stage=self.stage, phase=phase)
        await client.progress(_job_of(task), report)

    def _callback(self, task: FakeTask[Handed], status: CallbackStatus, **fields: Any) -> StageCallback:
        return StageCallback(attempt_id=_attempt_of(task), stage=self.stage, status=status, **fields)

    def _orchestrator(self) -> AbstractAsyncContextManager[OrchestratorClient]:
        if self._reports_to is None:
            raise RuntimeError("tell the fake which orchestrator it works for")
        return OrchestratorClient.connect(*self._reports_to)

    def _pop(self, job_id: str) -> FakeTask[Handed]:
        with self._changed:
            task = next(task for task in self.tasks if task.request.job_id == job_id)
            self.tasks.remove(task)
        return task

    def _answer(self, asked: Any) -> Response:
        handed_out = asked.job_id or asked.attempt_id or getattr(asked, "content_ref", None)
        missing = [name for name in ("job_id", "attempt_id", "owner") if getattr(asked, name) is None]
        if handed_out and missing:
            return problem(422, "incomplete_hand_out", f"a hand-out lacks {', '.join(missing)}")
        if len(self.tasks) >= self.max_depth:
            return problem(429, "queue_full", "the queue is full", headers={"Retry-After": str(FULL_RETRY_SECONDS)})
        task = FakeTask(str(uuid.uuid4()), asked)
        self.tasks.append(task)
        answer = EnqueueAnswer(job_id=asked.job_id, task_id=task.task_id, queue_epoch=self.queue_epoch)
        return JSONResponse(answer.model_dump(mode="json"), 202)


class FakeScraper(_FakeQueue[EnqueueScrape]):
    """The scraper's `POST /enqueue`, and its worker: `await fake.finish(job_id, content="# Title")`."""

    contract = EnqueueScrape
    hand_outs = EnqueueScrapes
    service = Service.SCRAPER
    stage = Stage.SCRAPING

    async def _work(
        self, client: OrchestratorClient, task: FakeTask[EnqueueScrape], made: dict[str, Any]
    ) -> dict[str, Any]:
        result = a_page(task.request.url, **made)
        page = result.model_dump_json().encode()
        stats = {"bytes": len(page), "extraction": result.model_dump(mode="json")["extraction"]}
        stats["look"] = Look.of(result).model_dump(mode="json")
        if result.not_modified:
            return {"stats": stats | {"bytes": 0, "not_modified": True}}
        stored = await client.put_content(_job_of(task), _attempt_of(task), self.stage, page)
        return {"content_ref": stored.content_ref, "stats": stats}


class FakeEmbedding(_FakeQueue[EnqueueEmbed]):
    """The embedding service's `POST /enqueue`, and its worker.

    Attributes
    ----------
    indexed
        What `finish` made searchable: the chunks that it read, by the document's URL.
    """

    contract = EnqueueEmbed
    hand_outs = EnqueueEmbeds
    service = Service.EMBEDDING
    stage = Stage.EMBEDDING

    def reset(self) -> None:
        """Forget what was taken and indexed, and serve."""
        super().reset()
        self.indexed: dict[str, ChunkResult] = {}

    async def _work(
        self, client: OrchestratorClient, task: FakeTask[EnqueueEmbed], made: dict[str, Any]
    ) -> dict[str, Any]:
        asked = task.request
        if asked.action is not EmbedAction.INDEX:
            return {"stats": self._look(asked) | made}
        read = await client.get_content(task.request.content_ref or "", _attempt_of(task))
        chunks = ChunkResult.model_validate_json(read)
        await self._say(client, task, ProgressPhase.COMMITTING)
        outcome = PageOutcome.CHANGED if asked.document.url in self.indexed else PageOutcome.NEW
        self.indexed[asked.document.url] = chunks
        counts = {"chunks": len(chunks.chunks), "tokens": chunks.token_total, "outcome": outcome.value}
        return {"stats": counts | made}

    def _look(self, asked: EnqueueEmbed) -> dict[str, Any]:
        """Touch a document, which is believed to be as it was, or remove it."""
        if asked.action is EmbedAction.REMOVE:
            gone = self.indexed.pop(asked.document.url, None)
            return {"outcome": PageOutcome.REMOVED.value if gone else None}
        chunks = self.indexed[asked.document.url]
        counts = {"chunks": len(chunks.chunks), "tokens": chunks.token_total, "reused": len(chunks.chunks)}
        return counts | {"outcome": PageOutcome.UNCHANGED.value}


class FakeChunking(FakeStage[ChunkRequest]):
    """Chunking's `POST /chunk`. It cuts at every `max_tokens` words, without overlap: a word is its token.

    Attributes
    ----------
    extra
        Further fields of the next answers, by job: as of a later version.
    """

    contract = ChunkRequest
    path = "/chunk"
    echoes_job_id = True

    def reset(self) -> None:
        """Forget what was taken, and serve."""
        super().reset()
        self.extra: dict[str, dict[str, Any]] = {}

    def _answer(self, asked: ChunkRequest) -> Response:
        words, size = list(_WORD.finditer(asked.text)), asked.max_tokens - SPECIAL_TOKENS
        groups = [words[first : first + size] for first in range(0, len(words), size)]
        chunks = [_chunk(index, asked.text, group) for index, group in enumerate(groups)]
        result = ChunkResult(
            job_id=asked.job_id,
            chunks=chunks,
            token_total=sum(chunk.token_count for chunk in chunks),
            tokenizer="words",
            strategy=asked.strategy,
        )
        return JSONResponse(result.model_dump(mode="json") | self.extra.get(asked.job_id or "", {}))


def a_page(url: str, **fields: Any) -> ScrapeResult:
    """Return what a scraper would make of a page; any field of it can be given. Its hash is its content's."""
    usual = {
        "url": url,
        "final_url": url,
        "status_code": 200,
        "title": "Title",
        "content": "# Title\n\nBody.",
        "content_type": "text/html",
        "content_hash": "",
        "bytes_fetched": 12,
        "fetched_at": FETCHED_AT,
        "robots": RobotsVerdict(allowed=True),
    }
    made = usual | fields
    made["content_hash"] = made["content_hash"] or hashlib.sha256(str(made["content"]).encode()).hexdigest()
    return ScrapeResult.model_validate(made)


def _chunk(index: int, text: str, words: list[re.Match[str]]) -> Chunk:
    start, end = words[0].start(), words[-1].end()
    tokens = len(words) + SPECIAL_TOKENS
    return Chunk(index=index, text=text[start:end], start=start, end=end, token_count=tokens)


def _job_of(task: FakeTask[Any]) -> str:
    return str(task.request.job_id)


def _attempt_of(task: FakeTask[Any]) -> str:
    return str(task.request.attempt_id)
