"""What chunking does, without HTTP."""

import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import Final

from pydantic import TypeAdapter

from app.config import Settings
from app.core.cancellation import Cancellation
from app.core.errors import ModelLimitError
from app.core.fitting import fitted, with_less_overlap
from app.core.metrics import count_result, counted
from app.core.paths import heading_paths, table_headers, with_pages
from app.core.pool import WorkPool
from app.core.rows import Rows
from app.core.splitting import Limits, Splitter
from app.core.structure import scan_markdown, scan_text, with_plain_line_ends
from app.core.tokenising import Tokenizer
from ml_shared.contracts.chunking import Chunk, ChunkRequest, ChunkResult, ChunkStrategy, TextFormat
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import work_span

SPLIT_SPAN: Final = "chunk.split"
SWITCH_SECONDS: Final = 0.0005
# How long a thread that runs Python keeps the lock from others: with Python's own 5 ms, two threads that cut into small
# chunks held up each request's few steps on the event loop by 54 ms, with this one by 29 (medians, one run)
CHUNKS_BETWEEN_CHECKS: Final = 200
_CHUNKS: Final = TypeAdapter(list[Chunk])


@dataclass(frozen=True, slots=True)
class Chunker:
    """What chunking a text needs: opened once, for the life of the process."""

    tokenizer: Tokenizer
    pool: WorkPool
    model_max_tokens: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a text was cut into: counts, and the whole result as JSON."""

    chunks: int
    tokens: int
    body: bytes

    @property
    def result(self) -> ChunkResult:
        """The result, read again."""
        return ChunkResult.model_validate_json(self.body)


@dataclass(frozen=True, slots=True)
class Asker:
    """For whom a text is cut, and whether that is the orchestrator for a job."""

    caller: str = ""
    internal: bool = False


ANYBODY: Final = Asker()


@asynccontextmanager
async def open_chunker(settings: Settings) -> AsyncIterator[Chunker]:
    """Read the tokenizer and start the threads.

    Raises
    ------
    TokenizerFileError
        If the tokenizer's file is not the one that was meant.
    """
    tokenizer = Tokenizer.load(settings.TOKENIZER_FILE, settings.TOKENIZER_SHA256, settings.TOKENIZER_NAME)
    tokenizer.put_before(settings.EMBEDDING_PASSAGE_PREFIX)
    pool = WorkPool(settings.CHUNK_WORKERS, settings.CHUNK_WAITING, settings.CHUNK_WAITING_CHARACTERS)
    switch_before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield Chunker(tokenizer, pool, settings.EMBEDDING_MAX_TOKENS)
    finally:
        sys.setswitchinterval(switch_before)
        pool.close()


async def execute_chunk(request: ChunkRequest, chunker: Chunker, asker: Asker = ANYBODY) -> Answer:
    """Cut a text in a thread.

    Raises
    ------
    ModelLimitError
        If `max_tokens` is above what the serving model reads.
    CharacterTooLongError
        If one character alone is over `max_tokens`.
    TooManyTextsError
        If as many of the caller's texts as may be are being cut or wait.
    BusyError
        If no more texts may be held for anybody.
    """
    known = {
        attributes.JOB_STAGE: attributes.JobStage.CHUNK,
        attributes.REQUEST_MODE: RequestMode.SYNC.value,
        attributes.OPERATION: Operation.WRITE.value,
    }
    with work_span(SPLIT_SPAN, attributes=known, stage=Stage.CHUNKING) as span, counted():
        _check_limit(request, chunker)
        answer = await chunker.pool.run(
            lambda cancellation: chunk_text(request, chunker.tokenizer, cancellation),
            len(request.text),
            caller=asker.caller,
            internal=asker.internal,
        )
        span.set_attribute(attributes.CHUNK_COUNT, answer.chunks)
        count_result(answer.chunks, answer.tokens)
        return answer


def _check_limit(request: ChunkRequest, chunker: Chunker) -> None:
    if request.max_tokens > chunker.model_max_tokens:
        raise ModelLimitError(
            f"max_tokens is {request.max_tokens}, and the embedding model reads at most {chunker.model_max_tokens} tokens"
        )


def chunk_text(request: ChunkRequest, tokenizer: Tokenizer, cancellation: Cancellation) -> Answer:
    """Cut a text, here and now. The steps: line ends, structure, tokens, cuts, counts, heading paths, JSON."""
    plain = with_plain_line_ends(request.text)
    markdown = request.format is TextFormat.MARKDOWN
    structure = scan_markdown(plain, cancellation) if markdown else scan_text(plain, cancellation)
    tokens = tokenizer.tokens(request.text, cancellation)
    limits = Limits(tokens=request.max_tokens - tokenizer.special_tokens, overlap=request.overlap_tokens)
    blocks = structure.blocks if request.strategy is ChunkStrategy.MARKDOWN else ()
    rows = Rows(plain, blocks, limits.characters)
    spans = Splitter(plain, tokens.starts, structure, rows, request.strategy, limits, cancellation).spans()
    if limits.overlap:
        spans = with_less_overlap(request.text, spans, rows, tokenizer, tokens, limits.overlap, cancellation)
    counted = fitted(request.text, spans, rows, tokenizer, tokens, request.max_tokens, cancellation)
    paths = with_pages(heading_paths(structure, counted), counted, request.pages)
    headers = table_headers(request.text, structure, counted) if request.repeat_table_header else repeat(None)
    return _answer(request, tokenizer.name, counted, zip(paths, headers, strict=False), cancellation)


def _answer(
    request: ChunkRequest,
    tokenizer: str,
    counted: Sequence[tuple[int, int, int]],
    above: Iterator[tuple[list[str], str | None]],
    cancellation: Cancellation,
) -> Answer:
    """Write the result as JSON, a few chunks at a time.

    All of them at once would be a million objects, which the garbage collector stops everything for, and megabytes of
    JSON, for which Python's lock is held, and so the event loop.
    """
    whole = ChunkResult(
        job_id=request.job_id,
        chunks=[],
        token_total=sum(count for _, _, count in counted),
        tokenizer=tokenizer,
        strategy=ChunkStrategy(request.strategy),
    )
    before, mark, after = whole.model_dump_json().encode().partition(b'"chunks":[')
    parts = []
    for first in range(0, len(counted), CHUNKS_BETWEEN_CHECKS):
        cancellation.check()
        few = [
            Chunk(
                index=index,
                text=request.text[start:end],
                start=start,
                end=end,
                token_count=count,
                heading_path=path,
                context=context,
            )
            for index, ((start, end, count), (path, context)) in enumerate(
                zip(counted[first : first + CHUNKS_BETWEEN_CHECKS], above, strict=False), first
            )
        ]
        parts.append(_CHUNKS.dump_json(few)[1:-1])
    return Answer(len(counted), whole.token_total, b"".join((before, mark, b",".join(parts), after)))
