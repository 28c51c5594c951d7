"""The bench's figures as one table, ratios first, and beside an earlier run's."""

from collections.abc import Iterator, Mapping
from typing import Final

AIMS: Final = {
    "a pass at most jobs ÷ at fewest, worst": "≤ 2",
    "a newcomer's wait, in durations of a job": "< 2",
    "a batch of 1,000 ÷ one job, time": "< 10",
    "hand-outs a second": "≥ 200",
    "the API's memory for them, MB": "< 100",
    "connections to PostgreSQL beside them": "≤ 10",
}
RATIOS: Final = ("÷", "in durations")


def lines(now: Mapping[str, float], earlier: Mapping[str, float] | None) -> Iterator[str]:
    """Yield the table's lines; a change is a figure as a multiple of the earlier one."""
    width = max(map(len, now)) + 2
    yield f"{'':{width}}{'':>12}{'aim':>8}" + (f"{'earlier':>12}{'×':>8}" if earlier is not None else "")
    ratios = [name for name in now if any(sign in name for sign in RATIOS)]
    for name in [*ratios, *(name for name in now if name not in ratios)]:
        line = f"{name:{width}}{_number(now[name]):>12}{AIMS.get(name, ''):>8}"
        then = (earlier or {}).get(name)
        yield (line + (f"{_number(then):>12}{now[name] / then:>8.2f}" if then else "")).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
