"""What one look into the corpora saw, and how long each step of it took."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.core.ranking import Candidate


@dataclass(slots=True)
class Look:
    """A look of every query's legs.

    Attributes
    ----------
    seconds
        By step; of all looks that share it.
    seen
        Chunks that a leg came by, in the answer or not.
    whole
        Whether there is nothing beyond what the legs returned.
    bounded
        Whether some that have a phrase's words were not looked at.
    loosened
        Whether the phrases, which stand nowhere, were taken for words.
    """

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    seen: dict[int, Candidate] = field(default_factory=dict)
    whole: bool = True
    bounded: bool = False
    loosened: bool = False

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Count the time of a step."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] += time.perf_counter() - began

    def saw(self, found: Sequence[Candidate], depth: int) -> None:
        """Remember what a leg returned, of at most `depth`."""
        self.seen.update((candidate.id, candidate) for candidate in found)
        self.whole = self.whole and len(found) < depth
