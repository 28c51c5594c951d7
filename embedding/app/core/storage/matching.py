"""Finding chunks by their words: BM25 out of the text index alone.

Reading what a common word matches costs time and tells little. So words are counted first, the common ones in a sample; candidates are
what the rarest match; and the other words are only looked for among these.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from app.core.queries import ParsedQuery, WeightedTerm
from app.core.ranking import Candidate
from app.core.storage.older_words import older_matching
from app.core.storage.search import Scope, candidate_of, count_left
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
MAX_PHRASED: Final = 10_000
# passages with all words of a phrase, in whose texts it is looked for: 30 µs each
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
# these few's own numbers are read; and of a word alone those that say it most often are read first, and then no more than it takes:
# who reaches a step reaches those below, so that of as many rows as `limit` for each step, at least `limit` are of one.
HITS_BY_INDEX: Final = """
asked AS (SELECT * FROM unnest($3::int[], $4::float8[], $5::text[]) AS given (number, frequency, numbers)),
hits AS MATERIALIZED (
    SELECT asked.number, asked.frequency, found.corpus, found.document_id, found.id, found.length
    FROM asked CROSS JOIN LATERAL (
        SELECT c.corpus, c.document_id, c.id, c.length
        FROM chunk_terms c
        WHERE c.numbers && asked.numbers::bigint[] AND {where}
        LIMIT {max_rows}
    ) AS found
)"""
HITS_BY_ROW: Final = """
asked AS (
    SELECT number, frequency, unnest(numbers::bigint[]) AS one
    FROM unnest($3::int[], $4::float8[], $5::text[]) AS given (number, frequency, numbers)
),
candidates AS MATERIALIZED ({candidates} LIMIT {max_rows}),
hits AS MATERIALIZED (
    SELECT asked.number, asked.frequency, corpus, document_id, id, length
    FROM candidates
    CROSS JOIN LATERAL (
        SELECT one FROM unnest(candidates.numbers) AS said (one) WHERE one = ANY({every}::bigint[])
    ) AS said JOIN asked USING (one)
)"""
CANDIDATES: Final = "SELECT c.corpus, c.document_id, c.id, c.length, c.numbers FROM chunk_terms c WHERE {where}"
HAVING_PHRASES: Final = """
SELECT c.* FROM ({candidates} LIMIT {max_rows}) AS c CROSS JOIN LATERAL (
    SELECT FROM chunks
    WHERE owner = $1 AND corpus = c.corpus AND document_id = c.document_id AND id = c.id {phrases} OFFSET 0
) AS said
"""
# OFFSET 0 keeps a planner from reading all of an owner's texts at once
SAYS_PHRASE: Final = """EXISTS (
    SELECT FROM chunks
    WHERE owner = $1 AND corpus = c.corpus AND document_id = c.document_id AND id = c.id AND {phrase} OFFSET 0
)"""
MATCHES_PHRASE: Final = "concat_ws(E'\\n', array_to_string(heading_path, E'\\n'), text) ~ {pattern}"
PHRASED: Final = "SELECT count(*) FROM (SELECT FROM chunk_terms c WHERE {where} LIMIT {max_rows}) AS read"
HITS_BY_STEP: Final = """
hits AS MATERIALIZED (SELECT * FROM ({steps}) AS found LIMIT {max_rows})"""
STEP: Final = """
SELECT ($3::int[])[{place}] AS number, ($4::float8[])[{place}] AS frequency, c.corpus, c.document_id, c.id, c.length
FROM chunk_terms c
WHERE c.numbers && (($5::text[])[{place}])::bigint[] AND {where}
"""
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
    HAVING NOT ({left_out})
    ORDER BY score DESC, id LIMIT $7
)
SELECT document_id, id, score FROM best ORDER BY score DESC, id
"""
LEFT_OUT: Final = -1
# the number of the first word of what a passage must not have; the next have -2 and so on

AMONG: Final = """
SELECT found.id FROM unnest($3::uuid[], $4::bigint[]) AS found (document_id, id)
CROSS JOIN LATERAL (
    SELECT corpus, document_id, id, numbers FROM chunk_terms
    WHERE owner = $1 AND corpus = ANY($2::text[]) AND document_id = found.document_id AND chunk_terms.id = found.id OFFSET 0
) AS c
WHERE {condition}
"""


@dataclass(frozen=True, slots=True)
class _Counted:
    term: Term
    weight: float
    matches: int
    whole: bool


class Matching(NamedTuple):
    """Chunks that have words of a query, best first.

    Attributes
    ----------
    whole
        Whether all were looked at that may have the query's phrases.
    """

    candidates: list[Candidate]
    whole: bool


async def matching(
    connection: Any, scope: Scope, query: ParsedQuery, languages: Sequence[str], *, rows: int, limit: int
) -> Matching:
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
    found, whole = await _matching(connection, scope, query, languages, rows=rows, limit=limit)
    older = await older_matching(connection, scope, query, limit=limit)
    best = sorted((*found, *older), key=lambda candidate: (-candidate.score, candidate.id))[:limit]
    return Matching(best, whole or len(best) == limit)


async def _matching(
    connection: Any, scope: Scope, query: ParsedQuery, languages: Sequence[str], *, rows: int, limit: int
) -> tuple[list[Candidate], bool]:
    keys = [corpus_key(scope.owner, corpus) for corpus in scope.corpora]
    counted = await _counted(connection, scope, query.terms(languages), keys, rows)
    if not counted:
        return [], True
    every = sum(one.weight for one in counted)
    heaviest = sorted((one for one in counted if one.matches), key=lambda one: -one.weight)[:MAX_TERMS]
    there = sorted(heaviest, key=lambda one: one.matches)
    if not there:
        return [], True
    asking = _Asking(connection, scope, query, there, keys, languages, every, limit)
    if required := [term.numbers(keys) for term in query.required]:
        found = await asking.found(_Plan(required, by_row=True))
        return found, len(found) == limit or not await asking.are_more_than(MAX_PHRASED, required)
    best: dict[int, Candidate] = {}
    for plan in _plans(there, keys, rows, (await count_left(connection, scope, rows)).rows):
        for candidate in await asking.found(plan):
            best.setdefault(candidate.id, candidate)
        if len(best) >= limit:
            break
    return list(best.values()), True


@dataclass(frozen=True, slots=True)
class _Plan:
    """What candidates must have: of each list of numbers, one."""

    required: Sequence[list[int]]
    by_row: bool = False
    alone: int | None = None
    """The place of the word which is all that is looked at."""


def _plans(there: Sequence[_Counted], keys: Sequence[CorpusKey], rows: int, left: int) -> list[_Plan]:
    """Return how candidates are found, the best way first; what the next one finds as well is added where that is too little.

    First any of the rarest words, so many as match few enough together. Then, of the common ones, several at once, and of one word
    alone the passages that say it most often. Of all rows the filters leave `left`.
    """
    rare: list[int] = []
    matches = 0
    for place, one in enumerate(there):
        if matches + one.matches > MAX_CANDIDATES:
            common = there[place:]
            break
        matches += one.matches
        rare += one.term.numbers(keys)
    else:
        return [_Plan([rare])]
    together: list[Term] = []
    several: list[_Plan] = []
    expected = float(rows)
    for one in [one for one in common if one.whole][:MAX_REQUIRED]:
        expected *= one.matches / max(rows, 1)
        together.append(one.term)
        if len(together) > 1:
            several[:0] = _together(together, keys, expected * left / max(rows, 1))
        if expected <= MAX_CANDIDATES:
            break
    return [*([_Plan([rare])] if rare else []), *several, _Plan([], alone=len(there) - len(common))]


def _together(terms: Sequence[Term], keys: Sequence[CorpusKey], expected: float) -> list[_Plan]:
    """Return how passages that have all of some words are found: any of many will do, so a sample of these is asked first."""
    samples = [size for size in reversed(SAMPLES) if expected >= MAX_READ * size][:1]
    sampled = [_Plan([term.sampled(keys, size) for term in terms], by_row=True) for size in samples]
    return [*sampled, _Plan([term.numbers(keys) for term in terms], by_row=True)]


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


@dataclass(slots=True)
class _Parameters:
    """A statement's parameters from a number on."""

    first: int
    values: list[Any] = field(default_factory=list)

    @property
    def next(self) -> int:
        return self.first + len(self.values)

    def placed(self, value: Any) -> str:
        """Add a parameter, and return how it is spelled."""
        self.values.append(value)
        return f"${self.next - 1}"


@dataclass(frozen=True, slots=True)
class _Asking:
    """A query, of whose words `there` are looked for, and by each plan."""

    connection: Any
    scope: Scope
    query: ParsedQuery
    there: Sequence[_Counted]
    keys: Sequence[CorpusKey]
    languages: Sequence[str]
    every: float
    """What all of the query's words weigh."""
    limit: int

    async def found(self, plan: _Plan) -> list[Candidate]:
        """Return what a plan finds, best first."""
        asked = [
            (number, float(frequency), one.term.numbers(self.keys, step))
            for number, one in enumerate(self.there)
            for step, frequency in enumerate(FREQUENCIES)
            if plan.alone in {None, number}
        ]
        left_out = self.query.left_out(self.languages)
        distinct = dict.fromkeys(term for terms in left_out for term in terms)
        numbered = {term: LEFT_OUT - place for place, term in enumerate(distinct)}
        parameters = _Parameters(8)
        where = self._where(parameters, plan.required)
        if plan.alone is not None:
            if left_out:
                where += f" AND NOT ({_said(left_out, self.keys, parameters)})"
            steps = [STEP.format(place=place, where=where) for place in range(len(FREQUENCIES), 0, -1)]
            hits = HITS_BY_STEP.format(steps=" UNION ALL ".join(steps), max_rows=len(steps) * self.limit)
        else:
            asked += [(number, 0.0, term.numbers(self.keys)) for term, number in numbered.items()]
            if plan.by_row:
                every = parameters.placed([number for _, _, numbers in asked for number in numbers])
                candidates = self._having_phrases(CANDIDATES.format(where=where), parameters)
                hits = HITS_BY_ROW.format(candidates=candidates, every=every, max_rows=MAX_READ)
            else:
                hits = HITS_BY_INDEX.format(where=where, max_rows=2 * MAX_CANDIDATES)
        statement = MATCHES.format(
            hits=hits,
            left_out=_any_of(left_out, lambda term: f"bool_or(number = {numbered[term]})"),
            saturation=SATURATION,
            length_share=LENGTH_SHARE,
        )
        found = await self.connection.fetch(
            statement,
            self.scope.owner,
            self.scope.corpora,
            [number for number, _, _ in asked],
            [frequency for _, frequency, _ in asked],
            [_array(numbers) for _, _, numbers in asked],
            [one.weight / self.every for one in self.there],
            self.limit,
            *parameters.values,
        )
        return [candidate_of(row) for row in found]

    async def are_more_than(self, most: int, required: Sequence[list[int]]) -> bool:
        """Return whether more chunks have one of each of some lists of numbers."""
        parameters = _Parameters(3)
        where = self._where(parameters, required)
        statement = PHRASED.format(where=where, max_rows=most + 1)
        owner, corpora = self.scope.owner, self.scope.corpora
        found: int = await self.connection.fetchval(statement, owner, corpora, *parameters.values)
        return found > most

    def _where(self, parameters: _Parameters, required: Sequence[list[int]]) -> str:
        conditions = self.scope.conditions(parameters.next)
        parameters.values += conditions.parameters
        said = "".join(f" AND c.numbers && {parameters.placed(numbers)}::bigint[]" for numbers in required)
        if phrases := self.query.left_out_phrases:
            said += f" AND NOT ({_said_phrases(phrases, self.keys, parameters)})"
        return f"{_SCOPE} {said} {conditions.looked_up(owner=1)}"

    def _having_phrases(self, candidates: str, parameters: _Parameters) -> str:
        if not self.query.patterns:
            return candidates
        phrases = "".join(
            f" AND {MATCHES_PHRASE.format(pattern=parameters.placed(pattern))}" for pattern in self.query.patterns
        )
        return HAVING_PHRASES.format(candidates=candidates, phrases=phrases, max_rows=MAX_PHRASED)


def _any_of(groups: Sequence[Sequence[Term]], spelled: Callable[[Term], str]) -> str:
    """Return SQL that has all terms of any of some groups, each spelled so."""
    return " OR ".join(f"({' AND '.join(map(spelled, group))})" for group in groups) or "false"


def _said(groups: Sequence[Sequence[Term]], keys: Sequence[CorpusKey], parameters: _Parameters) -> str:
    """Return SQL of a chunk `c` that has all terms of any of some groups."""
    return _any_of(groups, lambda term: f"c.numbers && {parameters.placed(term.numbers(keys))}::bigint[]")


def _said_phrases(
    phrases: Sequence[tuple[Sequence[Term], str]], keys: Sequence[CorpusKey], parameters: _Parameters
) -> str:
    """Return SQL of a chunk `c` that has any of some phrases: their words, by which few are left, and then their text."""
    spelled = []
    for terms, pattern in phrases:
        words = _said([terms], keys, parameters)
        phrase = SAYS_PHRASE.format(phrase=MATCHES_PHRASE.format(pattern=parameters.placed(pattern)))
        spelled.append(f"{words} AND {phrase}")
    return " OR ".join(f"({one})" for one in spelled) or "false"


async def having(
    connection: Any,
    scope: Scope,
    groups: Sequence[Sequence[Term]],
    candidates: Sequence[Candidate],
    *,
    phrases: Sequence[tuple[Sequence[Term], str]] = (),
) -> frozenset[int]:
    """Return which of these chunks have all terms of any of some groups, or any of some phrases."""
    keys = [corpus_key(scope.owner, corpus) for corpus in scope.corpora]
    parameters = _Parameters(5)
    found = await connection.fetch(
        AMONG.format(condition=f"{_said(groups, keys, parameters)} OR {_said_phrases(phrases, keys, parameters)}"),
        scope.owner,
        scope.corpora,
        [candidate.document_id for candidate in candidates],
        [candidate.id for candidate in candidates],
        *parameters.values,
    )
    return frozenset(row["id"] for row in found)


def _array(numbers: Sequence[int]) -> str:
    """Return numbers as PostgreSQL spells an array of them."""
    return f"{{{','.join(map(str, numbers))}}}"
