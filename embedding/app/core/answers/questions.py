"""What a search looks for, made of its request: parsed, cut where it is too long, and with its vectors."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import asyncpg
from pgvector import HalfVector

from app.config import Settings
from app.core.endpoint import Embedded, EmbeddingEndpoint
from app.core.errors import InputTooLongError
from app.core.queries import ParsedQuery, parse_query
from app.core.searching import Beside, Query
from app.core.storage.reading import read_vector
from app.core.storage.search import Passed, Scope
from app.core.tokens import ModelTokenizer
from ml_shared.contracts.answers import LikeChunk, SearchWarning
from ml_shared.contracts.embedding import SearchMode, SearchRequest
from ml_shared.contracts.values import storable
from ml_shared.names import Operation

HALVINGS: Final = 8
# of a query that the endpoint finds too long, where no tokenizer tells how long it may be


@dataclass
class Questions:
    """What is looked for, and where.

    Attributes
    ----------
    texts
        As they were asked, for a reranker.
    parsed
        Of the same, for highlights.
    """

    scope: Scope
    queries: list[Query]
    mode: SearchMode
    texts: list[str] = field(default_factory=list)
    parsed: list[ParsedQuery] = field(default_factory=list)
    warnings: list[SearchWarning] = field(default_factory=list)

    def ask_beside(self, other: "Questions", rows: int) -> None:
        """Look for the same in corpora that answer from another model.

        Parameters
        ----------
        other
            What is looked for there: the same queries, with that model's vectors.
        rows
            How many chunks these corpora hold.
        """
        self.queries = [
            one
            if beside.vector is None
            else replace(
                one,
                beside=(*one.beside, Beside(other.scope.corpora, other.scope.model, beside.vector, rows)),
            )
            for one, beside in zip(self.queries, other.queries, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class Asker:
    """Makes questions of requests.

    Parameters
    ----------
    embedding
        What a query's embedding is done in: a span, and the step's time.
    """

    settings: Settings
    pool: asyncpg.Pool
    endpoint: EmbeddingEndpoint
    tokenizer: ModelTokenizer | None
    embedding: Callable[[], AbstractContextManager[None]]

    async def asked(self, request: SearchRequest, scope: Scope, languages: Sequence[str]) -> Questions:
        """Return what a request looks for in a scope.

        Raises
        ------
        DocumentNotFoundError
            If it is like a chunk that is not there.
        """
        if request.like is not None:
            return await self._like(request.like, scope, languages)
        texts = [storable(text) for text in request.queries or [request.query or ""]]
        parsed = [parse_query(text) for text in texts]
        questions = Questions(scope, [], request.mode, texts, parsed)
        if request.mode is not SearchMode.VECTOR:  # there neither words nor phrases are looked for, or left out
            questions.warnings += _left_out(parsed)
        vectors: Sequence[HalfVector | None] = [None] * len(parsed)
        if request.mode is not SearchMode.TEXT:
            vectors = await self._vectors(parsed, questions.warnings)
        questions.queries = [
            Query(one, vector, request.mode, languages) for one, vector in zip(parsed, vectors, strict=True)
        ]
        return questions

    async def _like(self, chunk: LikeChunk, scope: Scope, languages: Sequence[str]) -> Questions:
        corpora = scope.corpora if chunk.corpus_name is None else [chunk.corpus_name]
        itself, vector = await read_vector(self.pool, scope, corpora, UUID(chunk.document_id), chunk.chunk_index)
        beside = replace(scope, passed=Passed(chunks=frozenset({itself})))
        return Questions(beside, [Query(parse_query(""), vector, SearchMode.VECTOR, languages)], SearchMode.VECTOR)

    async def _vectors(self, parsed: Sequence[ParsedQuery], warnings: list[SearchWarning]) -> list[HalfVector]:
        whole = [self.settings.EMBEDDING_QUERY_PREFIX + query.meaning for query in parsed]
        sent: Sequence[str] = whole
        if self.tokenizer is not None:
            sent = [self.tokenizer.cut(text, self.settings.EMBEDDING_MAX_TOKENS) for text in whole]
        with self.embedding():
            sent, embedded = await self._embedded(sent)
        warnings += [
            SearchWarning(
                code="query_cut",
                message=f"{'the query' if len(parsed) == 1 else f'query {number}'} is longer than the model reads: by meaning, "
                f"only its first {max(0, len(text) - len(whole[number]) + len(query.meaning))} characters were looked for",
            )
            for number, (query, text) in enumerate(zip(parsed, sent, strict=True))
            if len(text) < len(whole[number])
        ]
        return [HalfVector(vector) for vector in embedded.vectors]

    async def _embedded(self, texts: Sequence[str]) -> tuple[Sequence[str], Embedded]:
        """Return texts as the endpoint took them, the longest ones halved until it does, and their vectors."""
        for _ in range(HALVINGS):
            try:
                return texts, await self.endpoint.embed(texts, operation=Operation.READ)
            except InputTooLongError:
                half = max(map(len, texts)) // 2
                texts = [text[:half] for text in texts]
        return texts, await self.endpoint.embed(texts, operation=Operation.READ)


def _left_out(parsed: Sequence[ParsedQuery]) -> list[SearchWarning]:
    """Return what tells what queries leave out: `java -version` may have meant to find it."""
    said = dict.fromkeys(f'"{one}"' for query in parsed for one in (*query.excluded, *query.excluded_phrases))
    if not said:
        return []
    message = (
        f"passages with {', '.join(said)} are left out, for a minus stands before that; what is to be found has none"
    )
    return [SearchWarning(code="words_excluded", message=message)]
