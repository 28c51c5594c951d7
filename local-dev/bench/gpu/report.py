"""What the bench found, as one table, and what follows from it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

NEAR: Final = 0.98
# of the best: less waiting is worth the rest
AIM: Final = 0.95


def chosen_budget(mixed: Sequence[Mapping[str, Any]]) -> int:
    """Return the fewest tokens a batch that come near the best rate."""
    sorted_ones = [one for one in mixed if one["by_length"]]
    best = max(one["tokens_per_second"] for one in sorted_ones)
    return min(int(one["budget"]) for one in sorted_ones if one["tokens_per_second"] >= NEAR * best)


def capacity_of(mixed: Sequence[Mapping[str, Any]], budget: int) -> float:
    """Return the encoder's tokens a second on our chunks, in batches of so many tokens."""
    return max(float(one["tokens_per_second"]) for one in mixed if one["by_length"] and one["budget"] == budget)


def capacity_at(cells: Sequence[Mapping[str, Any]], tokens: int, budget: int) -> float:
    """Return the same for texts of one length: the best of the batches that the server may make; 0 if none was measured."""
    fitting = [one for one in cells if one["tokens"] == tokens and one["batch"] * tokens <= max(budget, tokens)]
    return max((float(one["tokens_per_second"]) for one in fitting), default=0.0)


def show(found: Mapping[str, Any]) -> str:
    """Return everything as text."""
    capacity = found["capacity"]
    return "\n".join(
        [
            f"{capacity['encoder']}; weights {capacity['weights']}",
            "",
            *_grid(capacity["cells"]),
            "",
            *_mixed(capacity["mixed"], found["batch_tokens"]),
            "",
            *_shares(found),
            "",
            *(found["left_out"] and [f"left out, for want of time: {len(found['left_out'])} rows", ""]),
            *_verdict(found),
        ]
    )


def _grid(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"{'the encoder alone':>20}{'batch':>7}{'tokens/s':>12}{'vectors/s':>12}{'p50 ms':>10}{'p99 ms':>10}{'runs':>7}"
    ]
    lines.extend(
        f"{one['tokens']:>13} tokens{one['batch']:>7}{one['tokens_per_second']:>12,.0f}{one['vectors_per_second']:>12,.1f}"
        f"{one['p50_ms']:>10.2f}{one['p99_ms']:>10.2f}{one['runs']:>7}"
        for one in cells
    )
    return lines


def _mixed(mixed: Sequence[Mapping[str, Any]], chosen: int) -> list[str]:
    lines = [f"{'our chunks, a batch':>20}{'tokens/s, by length':>22}{'padding':>9}{'as they come':>15}{'padding':>9}"]
    for budget in sorted({one["budget"] for one in mixed}):
        ordered, given = (
            next(one for one in mixed if one["budget"] == budget and one["by_length"] is by_length)
            for by_length in (True, False)
        )
        lines.append(
            f"{budget:>13} tokens{ordered['tokens_per_second']:>22,.0f}{ordered['padding']:>9.2f}"
            f"{given['tokens_per_second']:>15,.0f}{given['padding']:>9.2f}{'  ← the server makes these' if budget == chosen else ''}"
        )
    return lines


def _shares(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{'our client':34}{'of encoder':>11}{'of HTTP':>9}{'vectors/s':>11}{'tokens a batch':>16}{'padding':>9}"
        f"{'query ms':>10}{'cores: its':>12}{'ours':>6}"
    ]
    for row in found["rows"]:
        case, rate = row["case"], row["rate"]
        length = f" of {case['tokens']}" if case["tokens"] else ""
        name = f"{case['documents']} × {case['chunks']} chunks{length}"
        settings = ", ".join(f"{name.removeprefix('EMBEDDING_')} {value}" for name, value in case["settings"].items())
        query = "" if rate["query_ms"] is None else f"{rate['query_ms']:.1f}"
        lines.append(
            f"{name if not settings else f'  {settings.lower()}':34}{_ratio(row['of_encoder']):>11}{_ratio(row['of_http']):>9}"
            f"{rate['vectors_per_second']:>11,.0f}{rate['tokens_per_batch']:>16,.0f}{rate['padding']:>9.2f}{query:>10}"
            f"{rate['server_cores']:>12.2f}{rate['client_cores']:>6.2f}"
        )
    return lines


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _verdict(found: Mapping[str, Any]) -> list[str]:
    over_http = _ratio(found["of_encoder_over_http"])
    lines = [f"the server: batches of {found['batch_tokens']:,} padded tokens, {over_http} of the encoder over HTTP"]
    for row in (row for row in found["rows"] if row["aimed"]):
        held = "reached" if row["of_encoder"] >= AIM else "missed"
        lines.append(
            f"{row['case']['documents']} in flight: {row['of_encoder']:.3f} of the encoder (aim {AIM}: {held})"
        )
    tried = [row for row in found["rows"] if row["tried"]]
    if tried:
        best = max(row["of_encoder"] for row in tried)
        near = [row for row in tried if row["of_encoder"] >= NEAR * best]
        least = min(near, key=lambda row: float(row["rate"]["query_ms"] or 0))
        named = ", ".join(f"{name}={value}" for name, value in least["case"]["settings"].items())
        lines.append(
            f"within {1 - NEAR:.0%} of the best share among the settings tried, a query waits least with {named}"
        )
    if found["failed"]:
        lines.append(f"FAILED: {found['failed']}")
    return lines
