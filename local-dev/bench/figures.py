"""The figures of a run: kept, compared with an earlier run's, and printed as one table."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
YARDSTICK: Final = "CPU ms, a fixed piece of work"
# processor times are compared as multiples of it: so two machines, or one that is busy, can be compared. Plain calls
# would not do: they are our own functions, and get cheaper too
DETAIL: Final = "    "
# begins the name of what is only shown when details are asked for


class Figures(dict[str, float]):
    """Numbers by what they are."""

    def count(self, name: str, counts: Counter[str], pages: int) -> None:
        """Add counts of things named `where what`: as a sum, by where, and in detail."""
        self[name] = sum(counts.values()) / pages
        by_where: Counter[str] = Counter()
        for key, number in counts.items():
            by_where[key.partition(" ")[0]] += number
        for where, number in by_where.most_common():
            self[f"{name}  {where}"] = number / pages
        for key, number in counts.most_common():
            if " " in key:
                self[f"{DETAIL}{name}  {key}"] = number / pages


@dataclass(frozen=True)
class Kind:
    """What figures of one kind have in common.

    Attributes
    ----------
    title
        Heads them in the table.
    starts
        How their names begin.
    tolerance
        The share by which one may be worse than an earlier one before it is marked.
    by_yardstick
        Whether they are compared as multiples of the yardstick of their own run.
    more_is_better
        Whether less is worse.
    """

    title: str
    starts: tuple[str, ...]
    tolerance: float
    by_yardstick: bool = False
    more_is_better: bool = False


@dataclass(frozen=True)
class Aim:
    """What a figure is to come to."""

    value: float
    at_least: bool = False


KINDS: Final = (
    Kind("ratios", ("CPU a page ÷",), 0.10),
    Kind("ratios", ("pages a second ÷",), 0.35, more_is_better=True),
    Kind("ratios", ("one page of a new host, p50 ÷", "one page of a known host, p50 ÷"), 0.20),
    Kind("ratios", ("one page of a new host, p95 ÷", "one page of a known host, p95 ÷"), 0.40),
    Kind("processor time of a page, ms", ("CPU ms a page",), 0.15, by_yardstick=True),
    Kind("processor time of a page, ms", (YARDSTICK,), 0.0),
    Kind("counts of a page", ("HTTP requests", "SQL statements", "Redis commands", "Redis round trips"), 0.10),
    Kind("under load", ("pages a second",), 0.25, more_is_better=True),
    Kind("under load", ("429",), 0.0),
    Kind("one page, idle, in seconds", ("one page of",), 0.30),
    Kind("start and rest", ("start",), 0.25, by_yardstick=True),
    Kind("start and rest", ("at rest, CPU",), 0.25, by_yardstick=True),
    Kind("start and rest", ("at rest, MB", "MB"), 0.05),
)
AIMS: Final = {
    "CPU a page ÷ plain calls": Aim(2.0),
    "CPU ms a page": Aim(35.0),
    "pages a second ÷ plain calls": Aim(0.5, at_least=True),
    "one page of a new host, p50 ÷ its own 0.1 s": Aim(3.5),
    "one page of a known host, p50 ÷ its own 0.1 s": Aim(2.0),
    "start, s": Aim(8.0),
    "at rest, MB": Aim(1200.0),
}
LEAST: Final = {"CPU ms a page": 1.0, "HTTP": 0.5, "SQL": 0.5, "Redis": 0.5, "MB": 5.0}
# below these, a change of a part is not marked: a few ticks of the clock, a beat or two


def kind_of(name: str) -> Kind:
    """Return what kind of figure this is."""
    return next(kind for kind in KINDS if name.lstrip().startswith(kind.starts))


class Results:
    """The figures of the fleets that one run measured, by the fleet's name."""

    def __init__(self, fleets: Mapping[str, Mapping[str, float]]) -> None:
        self.fleets = {name: Figures(figures) for name, figures in fleets.items()}

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Read a stored result."""
        stored: Any = json.loads(path.read_text())
        if stored.get("format") != FORMAT:
            raise ValueError(f"{path} is of format {stored.get('format')}, and this reads {FORMAT}")
        return cls(stored["fleets"])

    def store(self, path: Path) -> None:
        """Keep the result."""
        path.write_text(json.dumps({"format": FORMAT, "fleets": self.fleets}, indent=1, ensure_ascii=False) + "\n")

    def change(self, fleet: str, name: str, earlier: "Results") -> float | None:
        """Return a figure as a multiple of the earlier one, in each run's own measure; None if there is none to compare."""
        now, then = self.fleets[fleet].get(name), earlier.fleets.get(fleet, Figures()).get(name)
        if now is None or not then:
            return None
        if not kind_of(name).by_yardstick or name == YARDSTICK:
            return now / then
        ours, theirs = self._yardstick(), earlier._yardstick()
        return now / then if ours is None or theirs is None else (now / ours) / (then / theirs)

    def _yardstick(self) -> float | None:
        return next((figures[YARDSTICK] for figures in self.fleets.values() if figures.get(YARDSTICK)), None)

    def verdict(self, fleet: str, name: str, earlier: "Results") -> str:
        """Return `worse` or `better` when a figure changed by more than its tolerance, and else nothing."""
        change, kind = self.change(fleet, name, earlier), kind_of(name)
        if change is None or name == YARDSTICK or self._is_slight(fleet, name, earlier):
            return ""
        if 1 / (1 + kind.tolerance) <= change <= 1 + kind.tolerance:
            return ""
        return "better" if (change > 1) is kind.more_is_better else "worse"

    def _is_slight(self, fleet: str, name: str, earlier: "Results") -> bool:
        least = next((least for start, least in LEAST.items() if name.startswith(start) and "  " in name), 0.0)
        return abs(self.fleets[fleet][name] - earlier.fleets[fleet][name]) < least

    def names(self, *, detail: bool) -> Iterator[tuple[str, str]]:
        """Yield each figure's title and name, in the table's order."""
        names = list(dict.fromkeys(name for figures in self.fleets.values() for name in figures))
        for kind in KINDS:
            for name in names:
                if kind_of(name) is kind and (detail or not name.startswith(DETAIL)):
                    yield kind.title, name
