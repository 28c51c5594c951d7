"""Attacks a fleet of its own, in a folder of its own: `python -m attack [--short] [NAME …]`.

One table: what was done, the victim's p50 and p95 before and during, memory, processes lost, and whether it stands. Exits
with 1 if something does not.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from fleet import Fleet, FleetError

from attack.ground import FULL, SHORT, Ground, Outcome, Scale, fleet_for_attacks
from attack.rows import ROWS, Row, stands

MIB = 2**20
HEAD = f"  {'attack':<14}{'before':>15}{'during':>15}{'memory, MB':>14}{'lost':>6}"


def _times(outcome: Outcome, name: str) -> str:
    series = getattr(outcome, name)
    if not series.seconds and not series.failures:
        return "-"
    p50, p95 = series.percentile(50) * 1000, series.percentile(95) * 1000
    return f"{p50:.0f} / {p95:.0f}"


def line_of(row: Row, outcome: Outcome, wrong: Sequence[str]) -> str:
    """Return a row of the table."""
    memory = f"{outcome.memory_before / MIB:.0f} → {outcome.memory_peak / MIB:.0f}" if outcome.memory_peak else "-"
    verdict = "  stands" if not wrong else "  FAILS"
    figures = f"{_times(outcome, 'before'):>15}{_times(outcome, 'during'):>15}{memory:>14}{outcome.lost:>6}"
    return f"  {row.name:<14}{figures}{verdict}  {outcome.note}"


def attack(fleet: Fleet, rows: Sequence[Row], scale: Scale) -> int:
    """Run the attacks one after the other and return how many of them came to something."""
    print(f"{HEAD}    (the victim's p50 / p95 in ms)", flush=True)
    failed = 0
    with Ground(fleet) as ground:
        for row in rows:
            outcome = row.run(ground, scale)
            wrong = stands(outcome, scale)
            failed += bool(wrong)
            print(line_of(row, outcome, wrong), flush=True)
            for why in wrong[:10]:
                print(f"                {why}", flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Attack and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m attack", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="attacks; all unless given")
    parser.add_argument("--short", action="store_true", help="as every run of the tests does it: a minute in all")
    chosen = parser.parse_args(arguments)
    rows = [row for row in ROWS if row.name in chosen.names or not chosen.names]
    if unknown := set(chosen.names) - {row.name for row in ROWS}:
        parser.error(f"no such attack: {', '.join(sorted(unknown))}; there are {', '.join(row.name for row in ROWS)}")
    with tempfile.TemporaryDirectory(prefix="ml-attack-") as folder:
        try:
            began = time.monotonic()
            with fleet_for_attacks(Path(folder) / "state", {}) as fleet:
                print(f"a fleet of its own is up after {time.monotonic() - began:.0f} s, behind {fleet.gateway}")
                failed = attack(fleet, rows, SHORT if chosen.short else FULL)
        except FleetError as error:
            print(error, file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(f"{len(rows) - failed} of {len(rows)} attacks came to nothing, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
