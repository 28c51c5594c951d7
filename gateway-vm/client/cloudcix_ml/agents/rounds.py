"""One search in more corpora than one search of the platform's takes: by rounds, as in a tournament.

Scores of two searches can't be laid side by side: nearness counts relative to what else each found, and a word's rarity is that in the
corpora searched. So nothing is merged here. Each group of corpora is searched, those that the best passages of each are from go on, until
one search takes them all; its order is the platform's own.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from cloudcix_ml.client import AsyncClient
from cloudcix_ml.models.search import SearchAnswer, SearchWarning

MOST_AT_ONCE: Final = 20
# what a search of the platform's takes
MOST_GOING_ON: Final = 10
# half of it, so that each round leaves less; and of so many passages a group's best corpora are told
MOST_CORPORA: Final = 100
# that are searched where none is named, by eleven searches at most
MOST_COUNTED: Final = 1_000
PAGE_SIZE: Final = 200
# the largest page of a list that the platform has


async def everywhere(client: AsyncClient) -> tuple[list[str], str | None]:
    """Return the corpora that are searched where none is named, and what to say if these are not all."""
    names, more = list[str](), False
    async for corpus in client.corpora.list(page_size=PAGE_SIZE):
        if len(names) == MOST_COUNTED:
            more = True
            break
        names.append(corpus.name)
    where, beyond = names[:MOST_CORPORA], len(names) - MOST_CORPORA
    if beyond <= 0:
        return where, None
    many = f"{beyond}{' or more' if more else ''} corpora were" if beyond > 1 else "1 corpus was"
    return where, (
        f"corpora_not_searched: {many} not looked at, beyond {where[-1]} by name; "
        f"list_corpora with offset {MOST_CORPORA} tells their names, to be given as corpora"
    )


async def search_in(
    client: AsyncClient, query: str, corpora: Sequence[str], *, top_k: int, **asked: Any
) -> SearchAnswer:
    """Return what a search of all of these corpora finds, however many they are.

    Parameters
    ----------
    asked
        What else the search is to be, as `AsyncClient.search` takes it.
    """
    names, warnings, stopped = list(dict.fromkeys(corpora)), list[SearchWarning](), 0
    while len(names) > MOST_AT_ONCE:
        groups = [names[at : at + MOST_AT_ONCE] for at in range(0, len(names), MOST_AT_ONCE)]
        depth = max(top_k, MOST_GOING_ON)
        answers = await asyncio.gather(*(client.search(query, corpora=group, top_k=depth, **asked) for group in groups))
        names = []
        for answer in answers:
            best = list(dict.fromkeys(hit.corpus_name for hit in answer.results))
            names += best[:MOST_GOING_ON]
            stopped += len(best[MOST_GOING_ON:])
            warnings += answer.warnings
        if not names:
            return answers[0].model_copy(update={"warnings": _once(warnings)})
    answer = await client.search(query, corpora=names, top_k=top_k, **asked)
    if stopped:
        said = f"{stopped} corpora have passages that only come after the best of the others and were left; name fewer corpora"
        warnings.append(SearchWarning(code="corpora_left", message=said))
    return answer.model_copy(update={"warnings": _once([*warnings, *answer.warnings])})


def _once(warnings: Sequence[SearchWarning]) -> list[SearchWarning]:
    return list({(one.code, one.message): one for one in warnings}.values())
