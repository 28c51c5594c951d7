"""Finding chunks that were written before `chunk_terms` was there, until `app/core/renewal.py` has come by.

They are found by PostgreSQL's own English words, in the column that holds these: not as well, but at once.
"""

from collections.abc import Sequence
from typing import Any, Final

from app.core.phrases import MAX_WORDS
from app.core.queries import ParsedQuery
from app.core.ranking import Candidate
from app.core.storage.search import JOIN_DOCUMENTS, Scope, candidate_of

WORD_ONCE: Final = 1 / 2.2
# what BM25 gives a passage of average length that says each word once
MAX_LOOKED_AT: Final = 1_000

ARE_THERE: Final = """
SELECT EXISTS (
    SELECT FROM documents
    WHERE terms_version = 0 AND owner = $1 AND corpus = ANY($2::text[]) AND indexed_at IS NOT NULL
)
"""
LEXEMES: Final = "SELECT lexeme FROM unnest(to_tsvector('english', $1)) ORDER BY positions[1] LIMIT $2"
MATCHES: Final = """
WITH found AS MATERIALIZED (
    SELECT c.document_id, c.id, c.search
    FROM chunks c {join}
    WHERE c.owner = $1 AND c.corpus = ANY($2::text[]) AND documents.terms_version = 0
      AND c.search @@ $3::tsquery AND NOT c.search @@ ANY($5::tsquery[]) AND c.text ~ ALL($6::text[])
      AND NOT c.text ~ ANY($8::text[]) {where}
    LIMIT {looked_at}
)
SELECT document_id, id, {once} * (SELECT avg((search @@ word::tsquery)::int) FROM unnest($4::text[]) AS word) AS score
FROM found ORDER BY score DESC, id LIMIT $7
"""


async def older_matching(connection: Any, scope: Scope, query: ParsedQuery, *, limit: int) -> list[Candidate]:
    """Return the chunks of older documents that have words of a query, best first; their scores are comparable with BM25's."""
    if not await connection.fetchval(ARE_THERE, scope.owner, scope.corpora):
        return []
    words = await _lexemes(connection, query.meaning)
    if not words:
        return []
    conditions = scope.conditions(9)
    corpora = " | ".join(_quoted(f"scope:{scope.owner}/{corpus}") for corpus in scope.corpora)
    found = await connection.fetch(
        MATCHES.format(
            join=JOIN_DOCUMENTS,
            where=conditions.where,
            looked_at=MAX_LOOKED_AT,
            once=WORD_ONCE,
        ),
        scope.owner,
        scope.corpora,
        f"({corpora}) & ({' | '.join(words)})",
        words,
        [" & ".join(left_out) for word in query.excluded if (left_out := await _lexemes(connection, word))],
        query.patterns,
        limit,
        [pattern for _, pattern in query.left_out_phrases],
        *conditions.parameters,
    )
    return [candidate_of(row) for row in found]


async def _lexemes(connection: Any, text: str) -> Sequence[str]:
    return [_quoted(row["lexeme"]) for row in await connection.fetch(LEXEMES, text, MAX_WORDS)]


def _quoted(lexeme: str) -> str:
    """Return a lexeme as a tsquery spells it."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
