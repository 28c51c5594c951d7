"""How the values of some metadata keys are spread over documents."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson

from ml_shared.contracts.answers import Facet, FacetValue

MAX_VALUES: Final = 20
# listed of a key


def count_values(keys: Sequence[str], documents: Iterable[Sequence[Any]]) -> dict[str, Facet]:
    """Return each key's values with how many documents have them: of a list each item, of an object nothing.

    Parameters
    ----------
    documents
        What each has under each key, in the keys' order.
    """
    counts: list[Counter[bytes]] = [Counter() for _ in keys]
    for values in documents:
        for count, value in zip(counts, values, strict=True):
            count.update({_spelled(item) for item in (value if isinstance(value, list) else [value]) if _counts(item)})
    return {key: _facet(count) for key, count in zip(keys, counts, strict=True)}


def _facet(count: Counter[bytes]) -> Facet:
    order = sorted(count.items(), key=lambda item: (-item[1], item[0]))
    listed = [FacetValue(value=orjson.loads(value), count=documents) for value, documents in order[:MAX_VALUES]]
    return Facet(values=listed, more=len(order) > MAX_VALUES)


def _counts(item: Any) -> bool:
    return item is not None and not isinstance(item, dict | list)


def _spelled(item: Any) -> bytes:
    return orjson.dumps(item)  # 1 and true are equal to Python
