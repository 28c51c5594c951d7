"""Finding chunks by their words: BM25 out of the text index alone.

Reading what a common word matches costs time and tells little. So words are counted first, the common ones in a sample; candidates are
what the rarest match; and the other words are only looked for among these.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.core.queries import ParsedQuery, WeightedTerm
from app.core.ranking import Candidate
from app.core.storage.older_words import older_matching
from app.core.storage.search import Scope, candidate_of
from app.core.terms import FREQUENCIES, SAMPLES, CorpusKey, Term, corpus_key

SATURATION: Final = 1.2
LENGTH_SHARE: Final = 0.4
# BM25's k1 and b; chunks are cut alike, so their length says less than the textbook's 0.75
MAX_CANDIDATES: Final = 1_000
# that the rarest words may match; common words' matches are bounded by twice that
MAX_READ: Final = 400
# whose own numbers are read, 45 µs each
MAX_TERMS: Final = 16
# that weigh the most are looked for; an error's text has more, and is found by these
MIN_SAMPLED: Final = 32
# matches in a sample, from which on it tells how many there are: to a fifth or so
MAX_REQUIRED: Final = 4
# of a query's common words, that a candidate needs all of

# A search must not find its rows by their key: that reads all that an owner has. So the scope is spelled in a way that no
# index but the numbers' serves.
_SCOPE: Final = "c.owner IS NOT DISTINCT FROM $1 AND array_position($2::text[], c.corpus::text) IS NOT NULL"

_COUNTED: Final = f"(SELECT count(*) FROM chunk_terms c WHERE c.numbers && {{numbers}}::bigint[] AND {_SCOPE})"  # noqa: S608 - as above
COUNTS: Final = f"""
SELECT given.number, CASE
    WHEN coarse.matches >= {MIN_SAMPLED} THEN coarse.matches * {SAMPLES[1]}
    WHEN fine.matches >= {MIN_SAMPLED} THEN fine.matches * {SAMPLES[0]}
    ELSE {_COUNTED.format(numbers="given.every")} END AS matches
FROM unnest($3::int[], $4::text[], $5::text[], $6::text[]) AS given (number, every, fine, coarse)
CROSS JOIN LATERAL (SELECT {_COUNTED.format(numbers="given.coarse")} AS matches) AS coarse
CROSS JOIN LATERAL (SELECT CASE WHEN coarse.matches < {MIN_SAMPLED}
                                THEN {_COUNTED.format(numbers="given.fine")} END AS matches) AS fine
"""  # noqa: S608 - expressions of our own

# Where few rows are candidates, each word's are asked of the index; where many have to be passed for few that have several words,
# these few's own numbers are read.
HITS_BY_INDEX: Final = """
asked AS (SELECT * FROM unnest($3::int[], $4::float8[], $5::text[]) AS given (number, frequency, numbers)),
hits AS MATERIALIZED (
    SELECT asked.number, asked.frequency, found.corpus, found.document_id, found.id, found.length
    FROM asked CROSS JOIN LATERAL (
        SELECT c.corpus, c.document_id, c.id, c.length
        FROM chunk_terms c
        WHERE c.numbers && asked.numbers::bigint[] {required} AND {scope} {where}
        LIMIT {max_rows}
    ) AS found
)"""
HITS_BY_ROW: Final = """
asked AS (
    SELECT number, frequency, unnest(numbers::bigint[]) AS one
    FROM unnest($3::int[], $4::float8[], $5::text[]) AS given (number, frequency, numbers)
),
candidates AS MATERIALIZED (
    SELECT c.corpus, c.document_id, c.id, c.length, c.numbers
    FROM chunk_terms c
    WHERE {scope} {required} {where}
    LIMIT {max_rows}
),
hits AS MATERIALIZED (
    SELECT asked.number, asked.frequency, corpus, document_id, id, length
    FROM candidates
    CROSS JOIN LATERAL (
        SELECT one FROM unnest(candidates.numbers) AS said (one) WHERE one = ANY({every}::bigint[])
    ) AS said JOIN asked USING (one)
)"""
MATCHES: Final = """
WITH {hits},
said AS (
    SELECT number, id, any_value(corpus) AS corpus, any_value(document_id) AS document_id,
           max(length)::float8 AS length, max(frequency) AS frequency
    FROM hits GROUP BY number, id
),
average AS MATERIALIZED (SELECT greatest(avg(length), 1) AS length FROM said),
best AS MATERIALIZED (
    SELECT any_value(corpus) AS corpus, any_value(document_id) AS document_id, id,
           sum(($6::float8[])[number + 1] * frequency
               / (frequency + {saturation} * (1 - {length_share} + {length_share} * said.length / average.length))) AS score
    FROM said, average GROUP BY id
    HAVING NOT bool_or(number = {left_out})
    ORDER BY score DESC, id LIMIT {max_ranked}
)
SELECT best.document_id, best.id, best.score FROM best {phrases}
ORDER BY best.score DESC, best.id
LIMIT $7
"""
HAVING_PHRASES: Final = """
JOIN chunks c ON c.owner = $1 AND c.corpus = best.corpus AND c.document_id = best.document_id AND c.id = best.id
WHERE true
"""
LEFT_OUT: Final = -1
# the number of what a passage must not have

AMONG: Final = """
SELECT c.id FROM chunk_terms c
WHERE c.owner = $1 AND c.corpus = ANY($2::text[]) AND c.document_id = ANY($3::uuid[]) AND c.id = ANY($4::bigint[])
  AND c.numbers && $5::bigint[]
"""


@dataclass(frozen=True, slots=True)
class _Counted:
    term: Term
    weight: float
    matches: int
    whole: bool


async def matching(
    connection: Any, scope: Scope, query: ParsedQuery, languages: Sequence[str], *, rows: int, limit: int
) -> list[Candidate]:
    """Return the chunks that have words of a query, best first.

    A score is the sum of BM25 over the query's words as a share of its limit, 1: each of the words once, in a chunk of average length,
    is 0.45.

    Parameters
    ----------
    languages
        Of the corpora.
    rows
        How many chunks these hold; what a word's rarity is measured against.
    """
    found = await _matching(connection, scope, query, languages, rows=rows, limit=limit)
    older = await older_matching(connection, scope, query, limit=limit)
    return sorted((*found, *older), key=lambda candidate: (-candidate.score, candidate.id))[:limit]


async def _matching(
    connection: Any, scope: Scope, query: ParsedQuery, languages: Sequence[str], *, rows: int, limit: int
) -> list[Candidate]:
    keys = [corpus_key(scope.owner, corpus) for corpus in scope.corpora]
    counted = await _counted(connection, scope, query.terms(languages), keys, rows)
    if not counted:
        return []
    every = sum(one.weight for one in counted)
    heaviest = sorted((one for one in counted if one.matches), key=lambda one: -one.weight)[:MAX_TERMS]
    there = sorted(heaviest, key=lambda one: one.matches)
    if not there:
        return []
    plans = _plans(there, keys, rows, limit)
    if required := [term.numbers(keys) for term in query.required]:
        plans = [_Plan(required)]
    found: list[Candidate] = []
    for plan in plans:
        found = await _found(connection, scope, query, there, plan, keys, languages, every=every, limit=limit)
        if len(found) >= limit:
            break
    return found


@dataclass(frozen=True, slots=True)
class _Plan:
    """What candidates must have: of each list of numbers, one."""

    required: Sequence[list[int]]
    by_row: bool = False


def _plans(there: Sequence[_Counted], keys: Sequence[CorpusKey], rows: int, limit: int) -> list[_Plan]:
    """Return how candidates are found, the best way first; the next one where that finds too little.

    Either any of the rarest words, so many as match few enough together; or, where even the rarest matches too many, several words at
    once, and of one word alone those that say it most often.
    """
    rare: list[int] = []
    matches = 0
    for one in there:
        if limit <= matches <= MAX_CANDIDATES < matches + one.matches:
            return [_Plan([rare]), _Plan([rare + one.term.numbers(keys)])]
        matches += one.matches
        rare += one.term.numbers(keys)
    if matches <= MAX_CANDIDATES or there[0].matches < limit:
        return [_Plan([rare])]
    together: list[list[int]] = []
    expected = float(rows)
    for one in filter(lambda one: one.whole, there):
        expected *= one.matches / max(rows, 1)
        together.append(one.term.numbers(keys))
        if expected <= MAX_CANDIDATES or len(together) == MAX_REQUIRED:
            break
    several = [_Plan(together[:count], by_row=True) for count in range(len(together), 1, -1)]
    return [*several, _Plan([there[0].term.numbers(keys)])]


async def _counted(
    connection: Any, scope: Scope, terms: Sequence[WeightedTerm], keys: Sequence[CorpusKey], rows: int
) -> list[_Counted]:
    """Return terms with how many chunks have them, and what they weigh."""
    found = await connection.fetch(
        COUNTS,
        scope.owner,
        scope.corpora,
        list(range(len(terms))),
        [_array(one.term.numbers(keys)) for one in terms],
        [_array(one.term.sampled(keys, SAMPLES[0])) for one in terms],
        [_array(one.term.sampled(keys, SAMPLES[1])) for one in terms],
    )
    counted = []
    for row in found:
        one, matches = terms[row["number"]], min(row["matches"], rows)
        weight = one.weight * math.log(1 + (rows - matches + 0.5) / (matches + 0.5))
        if not matches and one.optional:
            continue
        counted.append(_Counted(one.term, weight, matches, whole=not one.optional))
    return counted


async def _found(
    connection: Any,
    scope: Scope,
    query: ParsedQuery,
    there: Sequence[_Counted],
    plan: _Plan,
    keys: Sequence[CorpusKey],
    languages: Sequence[str],
    *,
    every: float,
    limit: int,
) -> list[Candidate]:
    asked = [
        (number, float(frequency), one.term.numbers(keys, step))
        for number, one in enumerate(there)
        for step, frequency in enumerate(FREQUENCIES)
    ]
    asked += [(LEFT_OUT, 0.0, term.numbers(keys)) for term in query.left_out(languages)]
    conditions = scope.conditions(8)
    first = 8 + len(conditions.parameters)
    parameters: list[Any] = [*conditions.parameters, *plan.required]
    required = "".join(f" AND c.numbers && ${first + place}::bigint[]" for place in range(len(plan.required)))
    first += len(plan.required)
    patterns = query.patterns
    parameters += patterns
    phrases = "".join(
        f" AND concat_ws(E'\\n', array_to_string(c.heading_path, E'\\n'), c.text) ~ ${first + place}"
        for place in range(len(patterns))
    )
    if plan.by_row:
        parameters.append([number for _, _, numbers in asked for number in numbers])
    hits = (HITS_BY_ROW if plan.by_row else HITS_BY_INDEX).format(
        every=f"${7 + len(parameters)}",
        scope=_SCOPE,
        where=conditions.looked_up,
        required=required,
        max_rows=MAX_READ if plan.by_row else 2 * MAX_CANDIDATES,
    )
    statement = MATCHES.format(
        hits=hits,
        phrases=HAVING_PHRASES + phrases if patterns else "",
        max_ranked=2 * MAX_CANDIDATES if patterns else limit,
        left_out=LEFT_OUT,
        saturation=SATURATION,
        length_share=LENGTH_SHARE,
    )
    found = await connection.fetch(
        statement,
        scope.owner,
        scope.corpora,
        [number for number, _, _ in asked],
        [frequency for _, frequency, _ in asked],
        [_array(numbers) for _, _, numbers in asked],
        [one.weight / every for one in there],
        limit,
        *parameters,
    )
    return [candidate_of(row) for row in found]


async def having(
    connection: Any, scope: Scope, terms: Sequence[Term], candidates: Sequence[Candidate]
) -> frozenset[int]:
    """Return which of these chunks have any of some terms."""
    keys = [corpus_key(scope.owner, corpus) for corpus in scope.corpora]
    found = await connection.fetch(
        AMONG,
        scope.owner,
        scope.corpora,
        list({candidate.document_id for candidate in candidates}),
        [candidate.id for candidate in candidates],
        [number for term in terms for number in term.numbers(keys)],
    )
    return frozenset(row["id"] for row in found)


def _array(numbers: Sequence[int]) -> str:
    """Return numbers as PostgreSQL spells an array of them."""
    return f"{{{','.join(map(str, numbers))}}}"
