"""The questions, with the passages that answer them.

They are of our own making: written by a reader of the pages, in the words of somebody who does not know them. A passage is a phrase of
the page's Markdown; blanks and line ends in it stand for any. A question may have several answers.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from bench.extraction.pages import Half

FOLDER: Final = Path(__file__).with_name("questions")


class Place(NamedTuple):
    """Where a chunk stands: a page, and offsets in its text."""

    page: str
    start: int
    end: int


class Answer(BaseModel):
    """A passage that answers, and the page that has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page: str
    passage: str = Field(min_length=1)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where the passage stands in the page's text."""
        pattern = r"\s+".join(map(re.escape, self.passage.split()))
        return [found.span() for found in re.finditer(pattern, text)]


class Question(BaseModel):
    """What somebody asks, and what answers it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    query: str = Field(min_length=1)
    answers: list[Answer] = Field(min_length=1)

    @property
    def half(self) -> Half:
        """Whether it may be looked at."""
        return Half.of(self.id)

    def missing(self, texts: Mapping[str, str]) -> list[Answer]:
        """Return the answers that their pages, by name, don't have."""
        return [answer for answer in self.answers if not answer.spans(texts.get(answer.page, ""))]

    def right(self, texts: Mapping[str, str], places: Sequence[Place]) -> frozenset[Place]:
        """Return the chunks that answer: those with a whole passage, and where it was cut in two, with most of it."""
        right: set[Place] = set()
        for answer in self.answers:
            there = [place for place in places if place.page == answer.page]
            for span in answer.spans(texts.get(answer.page, "")):
                shares = {place: _overlap(place, span) for place in there}
                most = max(shares.values(), default=0)
                right |= {place for place, share in shares.items() if 0 < share == most}
        return frozenset(right)


def _overlap(place: Place, span: tuple[int, int]) -> int:
    return min(place.end, span[1]) - max(place.start, span[0])


def read_questions(name: str) -> list[Question]:
    """Return the questions of a set."""
    lines = (FOLDER / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [Question.model_validate_json(line) for line in lines]
