"""Making a document searchable: embed what is new, then replace its rows."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import asyncpg
from opentelemetry import trace
from pgvector import HalfVector

from app.core.difference import NewChunk, Piece, new_chunks
from app.core.endpoint import EmbeddingEndpoint
from app.core.errors import InputTooLongError
from app.core.metrics import WRITE_SECONDS
from app.core.storage.documents import DocumentWrite, known_vectors, replace_document
from app.core.storage.models import Model
from ml_shared import attributes
from ml_shared.contracts.embedding import IndexResult
from ml_shared.names import Operation

tracer = trace.get_tracer(__name__)


@dataclass(frozen=True, slots=True)
class Indexer:
    """What a document's way into the database needs."""

    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    model: Model
    max_tokens: int

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
        wanted = new_chunks(chunks)
        self._check_lengths(wanted)
        vectors, sent = await self._vectors(write, wanted)
        if before_write is not None:
            await before_write()
        with (
            tracer.start_as_current_span("vectors.write") as span,
            WRITE_SECONDS.labels(operation=Operation.WRITE).time(),
        ):
            span.set_attribute(attributes.CORPUS_NAME, write.corpus)
            span.set_attribute(attributes.JOB_URL, write.url)
            span.set_attribute(attributes.JOB_STAGE, attributes.JobStage.EMBED)
            span.set_attribute(attributes.OPERATION, Operation.WRITE)
            span.set_attribute(attributes.EMBEDDING_MODEL, self.model.name)
            written = await replace_document(self.pool, write, self.model, wanted, vectors)
            span.set_attribute(attributes.CHUNK_COUNT, len(written.change.added))
        return IndexResult(
            document_id=None if written.document_id is None else str(written.document_id),
            chunks=len(wanted),
            tokens=sum(chunk.token_count for chunk in wanted),
            embedded=len(sent),
            reused=sum(chunk.text_hash not in sent for chunk in wanted),
            superseded=written.document_id is None,
            model=self.model.name,
        )

    def _check_lengths(self, chunks: Sequence[NewChunk]) -> None:
        for chunk in chunks:
            if chunk.token_count > self.max_tokens:
                raise InputTooLongError(
                    f"chunk {chunk.index} has {chunk.token_count} tokens and the model {self.model.name!r} takes "
                    f"{self.max_tokens}; split with max_tokens={self.max_tokens}"
                )

    async def _vectors(
        self, write: DocumentWrite, chunks: Sequence[NewChunk]
    ) -> tuple[dict[bytes, HalfVector], frozenset[bytes]]:
        """Return a vector for each text, by its hash, and the hashes of those that were sent for."""
        texts = {chunk.text_hash: chunk.text for chunk in chunks}
        vectors = await known_vectors(self.pool, write.owner, write.corpus, self.model, list(texts))
        new = [text_hash for text_hash in texts if text_hash not in vectors]
        if new:
            embedded = await self.endpoint.embed([texts[text_hash] for text_hash in new], operation=Operation.WRITE)
            vectors.update(zip(new, map(HalfVector, embedded.vectors), strict=True))
        return vectors, frozenset(new)
