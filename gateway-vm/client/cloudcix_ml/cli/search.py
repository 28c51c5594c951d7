"""`search`."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from cloudcix_ml.cli.shell import Shell, command
from cloudcix_ml.cli.values import pairs_of
from cloudcix_ml.models.search import Hit, SearchFilters, SearchMode
from cloudcix_ml.texts import one_line, plain

INDENT = "  "
MOST_LINES = 12
HIGHLIGHT = "bold yellow"
HEADER = "dim"


def search(
    shell: Shell,
    query: Annotated[str, typer.Argument(help="What is asked, in your own words.")],
    corpus: Annotated[
        list[str] | None, typer.Option("--corpus", "-c", help="Where: default unless said; repeat it for up to 20.")
    ] = None,
    mode: Annotated[SearchMode, typer.Option(help="By meaning, by words, or by both.")] = SearchMode.HYBRID,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", "-f", metavar="KEY=VALUE", help="Of the documents' metadata, text or JSON."),
    ] = None,
    url_prefix: Annotated[str | None, typer.Option(help="Of documents whose URL begins so.")] = None,
    language: Annotated[str | None, typer.Option(help="Of documents in this language.")] = None,
    top: Annotated[int, typer.Option("--top", "-n", min=1, max=100, help="How many passages.")] = 5,
    context: Annotated[int, typer.Option(min=0, max=5, help="Chunks to show before and after each.")] = 0,
    explain: Annotated[
        bool, typer.Option("--explain", help="Tell each passage's rank by meaning and by words.")
    ] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Show passages to their end.")] = False,
) -> None:
    """Find the passages that answer a question best; where the question's words stand is marked."""
    metadata = pairs_of(filters, "--filter")
    chosen = {"metadata": metadata or None, "url_prefix": url_prefix, "language": language}
    given = SearchFilters.of(chosen) if any(value is not None for value in chosen.values()) else None
    answer = shell.client.search(
        query,
        corpora=corpus or None,
        mode=mode,
        top_k=top,
        filters=given,
        context=context or None,
        explain=explain or None,
        highlights=True,
    )
    if shell.out.as_json:
        shell.out.data(answer)
        return
    for number, hit in enumerate(answer.results, 1):
        if number > 1:
            shell.out.text("")
        _show(shell, number, hit, whole=whole)
    for warning in answer.warnings:
        shell.out.note(f"{warning.code}: {warning.message}", "yellow")
    found = _many(len(answer.results))
    shell.out.note(f"{found} in {answer.took_ms:.0f} ms, by {answer.mode} of {answer.model}")


def _show(shell: Shell, number: int, hit: Hit, *, whole: bool) -> None:
    shell.out.text(Text.assemble((f"{number}. ", "bold"), (one_line(hit.title or hit.url, 200), "bold cyan")))
    place = " › ".join(one_line(part, 100) for part in hit.heading_path)
    shell.out.text(f"{INDENT}{hit.score:.4f}  {one_line(hit.url)}{f'  {place}' if place else ''}")
    if hit.why is not None:
        legs = {"meaning": hit.why.vector, "words": hit.why.text, "reranker": hit.why.rerank}
        told = (f"{name}: rank {leg.rank} ({leg.score:.4f})" for name, leg in legs.items() if leg is not None)
        shell.out.text(f"{INDENT}{', '.join(told)}")
    shown = hit.context if hit.context is not None else hit
    passage = marked(shown.text, shown.highlights or [])
    lines = [line for line in passage.split("\n", allow_blank=True) if line.plain.strip()]
    # of a passage that goes on with a table: else nobody knows what is in which column
    if hit.table_header and hit.table_header not in shown.text:
        for name in plain(hit.table_header).split("\n"):
            shell.out.text(Text(INDENT).append(name, HEADER))
    first = 0 if whole else best_of(lines, MOST_LINES)
    last = len(lines) if whole else first + MOST_LINES
    if first > 0:
        shell.out.text(f"{INDENT}… {_lines(first)} before (--whole)")
    for line in lines[first:last]:
        shell.out.text(Text(INDENT).append_text(line))
    if last < len(lines):
        shell.out.text(f"{INDENT}… {_lines(len(lines) - last, 'more ')} (--whole)")


def best_of(lines: Sequence[Text], most: int) -> int:
    """Return where to begin with so many lines of a passage, to show as many different marked words as can be."""
    words = [{line.plain[span.start : span.end].casefold() for span in line.spans} for line in lines]
    counts = [len(set().union(*words[at : at + most])) for at in range(max(len(lines) - most, 0) + 1)]
    best = max(counts)
    first = counts.index(best)
    alike = next((at for at, count in enumerate(counts[first:]) if count < best), len(counts) - first)
    # in the middle of what is as good: that which is looked for has something around it; but what begins well begins
    return first + (alike - 1) // 2 if first else 0


def _lines(number: int, what: str = "") -> str:
    return f"{number} {what}line" if number == 1 else f"{number} {what}lines"


def _many(number: int) -> str:
    return {0: "Nothing was found", 1: "1 passage"}.get(number, f"{number} passages")


def marked(text: str, places: Sequence[Sequence[int]]) -> Text:
    """Return a passage, made plain, with these places of the original marked."""
    made, at = Text(), 0
    for begin, end in sorted((place[0], place[1]) for place in places if len(place) == 2):
        begin, end = max(begin, at), min(end, len(text))
        if begin < end:
            made.append(plain(text[at:begin])).append(plain(text[begin:end]), HIGHLIGHT)
            at = end
    return made.append(plain(text[at:]))


def add_to(app: typer.Typer) -> None:
    """Add these commands."""
    command(app, "search")(search)
