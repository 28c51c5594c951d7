"""Log lines are found by their trace, in files of any size."""

import json
import os
from pathlib import Path

import pytest
from fleet.layout import Layout
from trace_sink import BEGAN_NS, TRACE, log_line
from traces import lines
from traces.lines import lines_of

TRACE_ID = f"{TRACE:032x}"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.make()
    return layout


def events(layout: Layout, since_ns: int = BEGAN_NS) -> list[tuple[str, str]]:
    return [(line.source, str(line.fields.get("event"))) for line in lines_of(layout.logs, TRACE_ID, since_ns)]


def test_lines_of_a_trace_are_found_in_every_process_log_by_time(layout: Layout) -> None:
    log_line(layout, "scraper", 20, 2, "second")
    log_line(layout, "orchestrator", 10, 1, "first")
    log_line(layout, "orchestrator", 30, 1, "another trace's", trace_id="f" * 32)
    log_line(layout, "orchestrator", 40, 3, "third")
    assert events(layout) == [("orchestrator", "first"), ("scraper", "second"), ("orchestrator", "third")]


def test_older_files_of_a_log_are_read_too(layout: Layout) -> None:
    log_line(layout, "scraper", 10, 1, "older")
    layout.log("scraper").rename(layout.logs / "scraper.log.1")
    log_line(layout, "scraper", 20, 1, "newer")
    assert events(layout) == [("scraper", "older"), ("scraper", "newer")]


def test_a_log_that_was_last_written_before_the_trace_began_is_not_read(layout: Layout) -> None:
    log_line(layout, "scraper", 10, 1, "read")
    os.utime(layout.log("scraper"), (BEGAN_NS / 1e9 + 1, BEGAN_NS / 1e9 + 1))
    assert events(layout) == [("scraper", "read")]
    assert events(layout, BEGAN_NS + 60 * 10**9) == []


def test_of_a_large_log_the_end_is_read(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BYTES_OF_A_PROCESS", 20_000)
    log_line(layout, "scraper", 10, 1, "too far back")
    with layout.log("scraper").open("a") as file:
        file.writelines("{}\n" for _ in range(10_000))
    log_line(layout, "scraper", 20, 1, "near the end")
    layout.log("scraper").replace(layout.logs / "scraper.log.1")
    log_line(layout, "scraper", 30, 1, "newest")
    assert events(layout) == [("scraper", "near the end"), ("scraper", "newest")]


def test_of_a_process_that_says_the_same_for_ever_a_bounded_number_is_taken(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 5)
    for number in range(9):
        log_line(layout, "scraper", number, 1, "again")
    log_line(layout, "orchestrator", 99, 1, "once")
    assert len(events(layout)) == 6


@pytest.mark.parametrize(
    "raw",
    [
        f"Traceback of {TRACE_ID}",
        f'{{"trace_id": "{TRACE_ID}", "timestamp": "nonsense"}}',
        f'["{TRACE_ID}"]',
        f'"{TRACE_ID}"',
        f'{{"trace_id": "{TRACE_ID}", "timestamp": 7}}',
        "[" * 90_000 + TRACE_ID,
        f"\udcff\udcfe {TRACE_ID}",
    ],
    ids=range(7),
)
def test_a_line_that_is_no_log_line_is_taken_as_it_is(layout: Layout, raw: str) -> None:
    layout.log("scraper").write_bytes(b"first\n" + raw.encode(errors="surrogateescape"))
    (line,) = lines_of(layout.logs, TRACE_ID, BEGAN_NS)
    assert (line.at_ns, line.fields) == (None, {})
    assert TRACE_ID in line.text


def test_of_a_line_without_end_only_what_is_near_is_taken(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE_BYTES", 1_000)
    layout.log("scraper").write_text("a" * 50_000 + TRACE_ID + "b" * 50_000 + "\n")
    log_line(layout, "scraper", 20, 1, "after it")
    long, short = lines_of(layout.logs, TRACE_ID, BEGAN_NS)
    assert len(long.text) <= 2_000 + len(TRACE_ID)
    assert short.fields["event"] == "after it"


def test_nginxs_access_log_is_read_as_the_gateways(layout: Layout) -> None:
    folder = layout.logs / "gateway"
    folder.mkdir()
    line = {"timestamp": "2026-03-01T10:00:00+00:00", "trace_id": TRACE_ID, "upstream_status": "200", "status": "200"}
    (folder / "access.log").write_text(json.dumps(line) + "\n")
    (found,) = lines_of(layout.logs, TRACE_ID, BEGAN_NS)
    assert (found.source, found.is_access) == ("gateway", True)


def test_no_logs_are_no_lines(tmp_path: Path) -> None:
    assert lines_of(tmp_path / "nowhere", TRACE_ID, BEGAN_NS) == []
