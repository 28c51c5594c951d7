"""Making a document searchable: embed what is new, then replace its rows."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import asyncpg
from opentelemetry.trace import Span

from app.core.difference import NewChunk, Piece, new_chunks
from app.core.endpoint import EmbeddingEndpoint
from app.core.errors import InputTooLongError
from app.core.meaning import passage_vectors, path_of
from app.core.metrics import REUSED, WRITE_SECONDS
from app.core.storage.claims import DocumentWrite
from app.core.storage.documents import Known, known_vectors, replace_document
from app.core.storage.models import Model
from app.core.terms import DocumentTerms
from ml_shared.contracts.chunking import Chunk
from ml_shared.contracts.embedding import IndexResult, PageOutcome
from ml_shared.names import Operation, RequestMode, Stage
from ml_shared.telemetry import attributes
from ml_shared.telemetry.spans import Value, work_span
from ml_shared.telemetry.urls import told_url

WRITE_SPAN: Final = "vectors.write"
REUSE_SPAN: Final = "vectors.reuse"


@dataclass(frozen=True, slots=True)
class Indexer:
    """What a document's way into the database needs."""

    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    model: Model
    max_tokens: int
    prefix: str = ""

    async def index(
        self,
        write: DocumentWrite,
        chunks: Sequence[Piece],
        before_write: Callable[[], Awaitable[None]] | None,
    ) -> IndexResult:
        """Replace a document's chunks. Only texts that the corpus has no vector of go to the endpoint.

        Parameters
        ----------
        before_write
            Awaited when everything is ready and nothing is written yet; what it raises stops the write.

        Raises
        ------
        InputTooLongError
            If a chunk says of itself that it has more tokens than the model takes.
        """
        wanted = new_chunks(chunks, self.prefix)
        self._check_lengths(wanted)
        # a caller's own counts say nothing of the endpoint: they may be anything
        counted = all(isinstance(chunk, Chunk) for chunk in chunks)
        held, sent = await self._vectors(write, wanted, counted=counted)
        reused = sum(chunk.text_hash not in sent for chunk in wanted)
        REUSED.inc(reused)
        terms = DocumentTerms.of(
            write.owner,
            write.corpus,
            title=write.fields.get("title"),
            tag=write.fields.get("language"),
            texts=(chunk.text for chunk in wanted),
        )
        if before_write is not None:
            await before_write()
        with (
            self._span(WRITE_SPAN, write) as span,
            WRITE_SECONDS.time(),
        ):
            written = await replace_document(
                self.pool, write, self.model, wanted, held.vectors, terms, likely_new=not held.document
            )
            span.set_attribute(attributes.CHUNK_COUNT, len(written.change.added))
        return IndexResult(
            document_id=None if written.document_id is None else str(written.document_id),
            chunks=len(wanted),
            tokens=sum(chunk.token_count for chunk in wanted),
            embedded=len(sent),
            reused=reused,
            superseded=written.document_id is None,
            outcome=PageOutcome.CHANGED if sent and written.outcome is PageOutcome.UNCHANGED else written.outcome,
            model=self.model.name,
        )

    def _check_lengths(self, chunks: Sequence[NewChunk]) -> None:
        for chunk in chunks:
            if chunk.token_count > self.max_tokens:
                raise InputTooLongError(
                    f"chunk {chunk.index} has {chunk.token_count} tokens and the model {self.model.name!r} takes "
                    f"{self.max_tokens}; split with max_tokens={self.max_tokens}"
                )

    def _span(self, name: str, write: DocumentWrite) -> AbstractContextManager[Span]:
        known: dict[str, Value] = {
            attributes.CORPUS_NAME: write.corpus,
            attributes.JOB_ID: write.job_id,
            attributes.JOB_URL: told_url(write.url),
            attributes.JOB_STAGE: attributes.JobStage.EMBED,
            attributes.OPERATION: Operation.WRITE.value,
            attributes.REQUEST_MODE: RequestMode.ASYNC.value,
            attributes.EMBEDDING_MODEL: self.model.name,
        }
        return work_span(name, attributes=known, stage=Stage.EMBEDDING)

    async def _vectors(
        self, write: DocumentWrite, chunks: Sequence[NewChunk], *, counted: bool
    ) -> tuple[Known, frozenset[bytes]]:
        """Return a vector for each text, by its hash, and the hashes of those that were sent for."""
        texts = {chunk.text_hash: chunk for chunk in chunks}
        with self._span(REUSE_SPAN, write):
            held = await known_vectors(self.pool, write, self.model, list(texts))
        new = [text_hash for text_hash in texts if text_hash not in held.vectors]
        if new:
            made = await passage_vectors(
                self.endpoint,
                self.prefix,
                [texts[text_hash].text for text_hash in new],
                [path_of(texts[text_hash].heading_path, texts[text_hash].context) for text_hash in new],
                token_counts=[texts[text_hash].token_count for text_hash in new] if counted else None,
            )
            held.vectors.update(zip(new, made, strict=True))
        return held, frozenset(new)
