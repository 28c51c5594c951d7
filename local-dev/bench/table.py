"""One table of all figures: the ratios first, a column a fleet, and what changed since an earlier run."""

from collections.abc import Iterator
from typing import Final

from bench.figures import AIMS, Aim, Results

NUMBER: Final = 9


def lines(now: Results, earlier: Results | None, *, detail: bool) -> Iterator[str]:
    """Yield the table's lines."""
    rows = [(title, name, _told(name)) for title, name in now.names(detail=detail)]
    width = max(len(told) for _, _, told in rows) + 2
    heads = "".join(f"{fleet:>{NUMBER + 10}}" + (f"{'':>18}" if earlier else "") for fleet in now.fleets)
    yield f"{'':{width}}{heads}{'aim':>{NUMBER}}"
    above = ""
    for title, name, told in rows:
        if title != above:
            yield f"\n{title}"
            above = title
        cells = "".join(_cell(now, fleet, name, earlier) for fleet in now.fleets)
        yield f"{told:{width}}{cells}{_aim(AIMS.get(name)):>{NUMBER}}".rstrip()


def _told(name: str) -> str:
    whole, _, part = name.strip().partition("  ")
    return f"      {part}" if part else f"  {whole}"


def _cell(now: Results, fleet: str, name: str, earlier: Results | None) -> str:
    value = now.fleets[fleet].get(name)
    cell = f"{'' if value is None else _number(value):>{NUMBER + 10}}"
    if earlier is None:
        return cell
    change = now.change(fleet, name, earlier) if value is not None else None
    told = "" if change is None else f"× {change:.2f} {now.verdict(fleet, name, earlier)}"
    return f"{cell}  {told:<16}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _aim(aim: Aim | None) -> str:
    return "" if aim is None else f"{'≥' if aim.at_least else '≤'} {aim.value:g}"
