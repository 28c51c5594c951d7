"""What the bench found, as text."""

from collections.abc import Mapping
from typing import Any, Final

MEGABYTE: Final = 2**20
AIM_P95_MS, AIM_RECALL = 15.0, 0.95
"""One client's; at 16 clients three times the first."""


def show(found: Mapping[str, Any]) -> str:
    """Return everything as tables."""
    lines = [
        f"{found['cores']} cores, load average {found['load_average']:.1f} before and {found['load_average_after']:.1f} after"
    ]
    if "load" in found:
        lines += ["", *_load(found["load"]), "", *_asked(found)]
    if "churn" in found:
        lines += ["", *_churn(found["churn"])]
    return "\n".join(lines)


def _load(load: Mapping[str, Any]) -> list[str]:
    built = load["build_rows_per_second"]
    return [
        f"{load['chunks']:,} chunks written at {load['rows_per_second']:,} a second by {load['writers']} writers; "
        f"{load['chunks_in_indexes']:,} of them built into {load['indexes']} indexes"
        + (f" at {built:,} a second" if built else ""),
        *_bytes(load["bytes"]),
    ]


def _bytes(sizes: Mapping[str, int]) -> list[str]:
    return ["  " + ", ".join(f"{name} {size / MEGABYTE:,.0f} MB" for name, size in sizes.items())]


def _asked(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{'scope':<32}{'chunks':>9}  {'mode':<20}{'clients':>8}{'p50 ms':>9}{'p95 ms':>9}{'×':>7}{'recall@10':>11}{'short':>7}"
    ]
    for one in found["asked"]:
        recall = "" if one["recall"] is None else f"{one['recall']:.3f}"
        times = one["p50_ms"] / one["exact_ms"]
        lines.append(
            f"{one['scope']:<32}{one['chunks']:>9,}  {one['mode']:<20}{one['clients']:>8}{one['p50_ms']:>9.1f}"
            f"{one['p95_ms']:>9.1f}{times:>7.2f}{recall:>11}{one['short']:>7}"
        )
    vectors = [one for one in found["asked"] if one["recall"] is not None]
    slowest, least = max(one["p95_ms"] for one in vectors), min(one["recall"] for one in vectors)
    lines.append(
        f"vector, one client: p95 at most {slowest:.1f} ms (aim {AIM_P95_MS:.0f}), recall at least {least:.3f} "
        f"(aim {AIM_RECALL}); answers with fewer results than there are: {sum(one['short'] for one in found['asked'])}"
    )
    return lines


def _churn(churn: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{churn['chunks']:,} chunks, {churn['refreshes']} refreshes, {churn['changed_chunks']:,} chunks changed in all: "
        f"{churn['write_seconds']:.0f} s of writing, {churn['build_seconds']:.0f} s of building"
    ]
    for name in ("before", "after"):
        one = churn[name]
        lines += [
            f"{name:<8} p50 {one['p50_ms']:.1f} ms, p95 {one['p95_ms']:.1f} ms, recall@10 {one['recall']:.3f}, short {one['short']}",
            *_bytes(one["bytes"]),
        ]
    return lines
