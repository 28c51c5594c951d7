"""What a run of the demo found out, and how it is shown."""

import textwrap
from dataclasses import dataclass, field

from demo.expectations import Question
from demo.indexing import Say
from demo.outcomes import PageOutcome
from ml_shared.contracts.crawls import RunView
from ml_shared.contracts.embedding import Corpus, SearchHit
from ml_shared.names import Stage

PASSAGE_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the demo, and whether it was kept."""

    name: str
    ok: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class EndpointCounts:
    """What the embedding endpoint had been sent at some moment: texts, and those of them that are longer than headings."""

    texts: int
    passages: int
    distinct_passages: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A question with the passages that were found, best first."""

    question: Question
    hits: list[SearchHit]

    @property
    def right(self) -> bool:
        """Whether the page that answers it came first."""
        if not self.hits:
            return False
        return self.question.url is None or self.hits[0].url == self.question.url


@dataclass(slots=True)
class DemoReport:
    """Everything that a run found out.

    Attributes
    ----------
    outcomes
        The pages, in the order of the site's list.
    run
        What the site's run came to, if it was one.
    corpus_before, corpus_after
        The corpus before the first page was submitted and after the last one ended.
    endpoint_before, endpoint_after
        The endpoint's counts around the indexing, searches left out; None where it keeps none.
    throttled
        How many requests were answered with a time to wait.
    whole_site
        Whether the site's own pages were indexed, which no other corpus holds; any page may be in another one too, and
        its passages were then sent before.
    """

    corpus_name: str
    whole_site: bool = True
    outcomes: list[PageOutcome] = field(default_factory=list)
    run: RunView | None = None
    answers: list[Answer] = field(default_factory=list)
    corpus_before: Corpus | None = None
    corpus_after: Corpus | None = None
    endpoint_before: EndpointCounts | None = None
    endpoint_after: EndpointCounts | None = None
    throttled: int = 0
    seconds: float = 0.0
    checks: list[Check] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return bool(self.checks) and all(check.ok for check in self.checks)

    @property
    def trace_id(self) -> str | None:
        """The trace of the first page that became searchable, or else of the first one."""
        searchable_first = sorted(self.outcomes, key=lambda one: one.searchable_seconds is None)
        return next((one.job.trace_id for one in searchable_first if one.job is not None), None)

    @property
    def is_refresh(self) -> bool:
        """Whether the site was looked at before."""
        return self.run is not None and self.run.run > 1


def shortened(text: str) -> str:
    """Return the start of a passage on one line, without the headings that stand above it anyway."""
    words = "\n".join(line for line in text.splitlines() if not line.startswith("#")) or text
    return textwrap.shorten(words, PASSAGE_CHARACTERS, placeholder=" …")


def say_answer(answer: Answer, say: Say) -> None:
    """Show a question and its best passage."""
    say("")
    say(f"  {answer.question.query}")
    if not answer.hits:
        say("    nothing was found")
        return
    best = answer.hits[0]
    where = " › ".join(best.heading_path) or best.title or ""
    say(f"    {best.score:.4f}  {best.title or 'without a title'}  {best.url}")
    if where and where != best.title:
        say(f"    {where}")
    say(textwrap.indent(textwrap.fill(shortened(best.text), 100), "      "))


def say_table(outcomes: list[PageOutcome], say: Say) -> None:
    """Show how long each page took, and each of its stages."""
    width = max([4, *(len(one.page.label) for one in outcomes)])
    say("")
    say(f"  {'page':{width}}  searchable  scraping  chunking  embedding  chunks")
    for one in outcomes:
        took = one.searchable_seconds
        if took is None or one.job is None:
            say(f"  {one.page.label:{width}}  {one.ending}")
            continue
        stages = {view.stage: view.duration_seconds for view in one.job.stages}
        parts = [_seconds(stages.get(stage)) for stage in (Stage.SCRAPING, Stage.CHUNKING, Stage.EMBEDDING)]
        say(
            f"  {one.page.label:{width}}  {took:8.2f} s  {parts[0]:>8}  {parts[1]:>8}  {parts[2]:>9}  "
            f"{one.job.counts.chunks if one.job.counts.chunks is not None else '–':>6}"
        )


def say_run(run: RunView, say: Say) -> None:
    """Show what a run came to, and what it did not have to do again."""
    counts = ", ".join(f"{count} {name}" for name, count in run.outcomes.model_dump().items() if count)
    say("")
    say(f"  run {run.run}: {run.state}; {counts}; {run.bytes} bytes fetched")
    if run.run > 1:
        saved = run.saved
        say(
            f"  a refresh: {saved.requests} pages were not asked for, since the sitemap says that they are as they were; "
            f"{saved.bodies} were answered with 304"
        )
        say(f"  saved: {saved.bytes} bytes, the embedding of {saved.embeddings} pages ({saved.chunks} chunks)")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def say_checks(report: DemoReport, say: Say) -> None:
    """Show each check, the failed ones with what was found."""
    say("")
    for check in report.checks:
        say(f"  {'ok  ' if check.ok else 'FAIL'}  {check.name}" + ("" if check.ok else f": {check.detail}"))
