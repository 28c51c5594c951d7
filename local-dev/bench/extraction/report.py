"""Tables of figures."""

import statistics
from collections.abc import Iterable, Sequence

from bench.extraction import documentation
from bench.extraction.corpora import CORPORA
from bench.extraction.extractors import REFERENCE
from bench.extraction.measures import COLUMNS
from bench.extraction.pages import Half
from bench.extraction.running import Result

NO_FIGURE = "–"
COLUMN_WIDTH = 10


def mean(results: Iterable[Result], figure: str) -> float | None:
    """Return a figure's mean over the pages that have any."""
    values = [result.measured.figures[figure] for result in results if figure in result.measured.figures]
    return statistics.fmean(values) if values else None


def percent(value: float | None) -> str:
    return NO_FIGURE if value is None else f"{value * 100:.1f}"


def _row(results: Sequence[Result], reference: dict[str, float]) -> list[str]:
    times = [result.reading.seconds for result in results]
    ratios = [result.reading.seconds / reference[result.page] for result in results if reference.get(result.page)]
    peaks = [result.reading.peak_bytes for result in results if result.reading.peak_bytes is not None]
    return [
        *(percent(mean(results, figure)) for figure in COLUMNS),
        f"{statistics.median(times) * 1e3:.1f}",
        f"{statistics.median(ratios):.2f}" if ratios else NO_FIGURE,
        f"{statistics.fmean(peaks) / 2**20:.1f}" if peaks else NO_FIGURE,
        str(sum(1 for result in results if result.error)),
    ]


def _print(heading: str, first: str, rows: Iterable[tuple[str, Sequence[str]]], first_width: int = 34) -> None:
    print(f"\n{heading}")
    columns = (*COLUMNS, "ms", "× traf.", "MB", "failed")
    print(f"{first:{first_width}}" + "".join(f"{column:>{COLUMN_WIDTH}}" for column in columns))
    for name, cells in rows:
        print(f"{name:{first_width}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells))


def show(results: Sequence[Result], names: Sequence[str], half: Half) -> None:
    """Print a table a corpus; of the half that may be looked at also one of its packages."""
    reference = {each.page: each.reading.seconds for each in results if each.extractor == REFERENCE}
    for corpus in CORPORA[:-1]:
        there = [result for result in results if result.group.split("/")[0] == corpus]
        by_name = {name: [each for each in there if each.extractor == name] for name in names}
        if there:
            rows = [(name, _row(found, reference)) for name, found in by_name.items() if found]
            _print(f"{corpus}, {half}: {len(by_name[names[0]])} pages", "%", rows)
        if there and corpus == documentation.CORPUS:
            print(f"of {', '.join(map(documentation.named, documentation.PACKAGES))}")
        groups = sorted({result.group for result in there})
        if half is Half.TUNING and len(groups) > 1:
            generators = {package.name: package.generator for package in documentation.PACKAGES}
            _print(
                f"{corpus}, {half}, {names[0]} by package",
                "%",
                [
                    (
                        generators[group.split("/")[1]],
                        _row([r for r in by_name[names[0]] if r.group == group], reference),
                    )
                    for group in groups
                ],
            )


def show_files(results: Sequence[Result], names: Sequence[str], half: Half) -> None:
    """Print a table of documents that are no HTML: a row for each maker and each who reads its kind at all."""
    rows = []
    for group in sorted({result.group for result in results}):
        for name in names:
            found = [each for each in results if each.group == group and each.extractor == name]
            if not all(each.error for each in found):
                rows.append((f"{group.partition('/')[2]}, {len(found)}: {name}"[-48:], _row(found, {})))
    _print(f"documents, {half}", "% (what, how many, who)", rows, first_width=50)


def show_worst(results: Sequence[Result], name: str, count: int) -> None:
    """Print an extractor's worst pages: by the mean of their figures."""
    ranked = sorted((result for result in results if result.extractor == name), key=_goodness)
    print(f"\nWorst of {name}")
    for result in ranked[:count]:
        figures = "  ".join(f"{what} {value * 100:.0f}" for what, value in result.measured.figures.items())
        print(f"  {_goodness(result) * 100:5.1f}  {result.page}\n         {figures}  {result.error}")


def _goodness(result: Result) -> float:
    figures = dict(result.measured.figures)
    if "furniture" in figures:
        figures["furniture"] = 1 - figures["furniture"]
    return statistics.fmean(figures.values())
