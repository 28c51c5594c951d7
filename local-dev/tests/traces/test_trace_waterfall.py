"""What is shown of a trace, in words and bars."""

import os
import pty
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from fleet.layout import LOCAL_DEV
from trace_sink import BEGAN_NS, JOB, MILLISECOND, TRACE, RunningSink, log_line, made_job, running_sink, show
from traces.columns import Scale
from traces.lines import Line
from traces.reading import Summary
from traces.spans import Kind, Span
from traces.store import Worth
from traces.terminal import Terminal, duration, fitted, padded, shown, width_of
from traces.tree import forest_of
from traces.waterfall import LINES_OF_A_SPAN, MOST_SPANS, Waterfall

GOLDEN = """
POST /jobs  2.00 s, 12 spans, 2 services, 2 errors, nothing ran for 1.72 s
trace  abcdef00000000000000000000000000  began 2026-03-01 10:00:00.000+00:00
job    0f0e0d0c-0b0a-4908-8706-050403020100  https://example.org/page?token=***

      at      took  service         span                                             0        2.00 s
  0.0 ms     12 ms  orchestrator    POST /jobs  202                                  ▏
                    gateway           │ 202 in 0.013 s POST /api/orchestrator/jobs
  6.0 ms            orchestrator      │ job_submitted outcome=success corpus_name=demo
  2.0 ms    6.0 ms  orchestrator      job.submit  3 statements 1.5 ms                ▏
   12 ms    500 ms                    waited 500 ms                                  ··
  512 ms     18 ms  orchestrator      dispatch.job  dispatch.stage=scraping            █
                                        linked to trace 123400000000
  515 ms    8.0 ms  scraper             POST /enqueue  202                             ▏
  520 ms    1.23 s                        waited 1.23 s in queue scraper               ··
  1.75 s    250 ms  scraper               ✗ run/scraper.scrape_url                       ██████████
                                            error.code=extraction_failed
  2.00 s            scraper-worker          │ ERROR the task failed: no text
  1.76 s    140 ms  scraper                 scrape.fetch                                  ██████
                                              scrape.response_bytes=4096
  1.90 s     90 ms  scraper                 ✗ scrape.extract  error: internal_error            ████
  1.99 s                                      ValueError: no text in https://example.org/page?token…
5 spans without a line here; ARGS=--all shows all, with every attribute
"""


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSink]:
    """A sink that has the made job, and its log lines."""
    with running_sink(tmp_path_factory.mktemp("fleet") / "state") as running:
        running.send(made_job().spans)
        layout = running.layout
        log_line(layout, "orchestrator", 6, 1, "job_submitted", outcome="success", job_id=JOB, corpus_name="demo")
        log_line(layout, "scraper-worker", 1_995, 0xA, "the task failed: no text", level="ERROR")
        (layout.logs / "gateway").mkdir()
        access = {"request_id": "request-1", "method": "POST", "uri": "/api/orchestrator/jobs", "status": "202"}
        log_line(layout, "gateway/access", 0, None, "", **access, request_time=0.013, upstream_status="202")
        yield running


def test_a_trace_is_a_waterfall_with_its_waits_errors_and_log_lines(sink: RunningSink) -> None:
    done = show(sink.layout, "abcd")
    assert done.stderr == ""
    assert done.stdout.strip() == GOLDEN.strip()
    assert done.returncode == 0


def test_everything_is_each_span_on_a_line_with_every_attribute(sink: RunningSink) -> None:
    said = show(sink.layout, "abcd", "--all", columns=160).stdout
    assert "without a line" not in said
    assert said.count("INSERT INTO jobs VALUES ($1)") == 3
    for wanted in (
        "http.request_id=request-1",
        "apply_async/scraper.scrape_url",
        "db.system=postgresql",
        "logger=audit",
    ):
        assert wanted in said, wanted


@pytest.mark.parametrize("columns", [60, 80, 133, 400])
@pytest.mark.parametrize("more", [[], ["--all"]])
def test_no_line_is_wider_than_the_terminal(sink: RunningSink, columns: int, more: list[str]) -> None:
    lines = show(sink.layout, "abcd", *more, columns=columns).stdout.splitlines()
    assert max(map(len, lines[3:-1])) <= min(columns, 200)
    assert any("█" in line for line in lines)


def in_a_terminal(sink: RunningSink, **environment: str) -> str:
    """Return what is written to a terminal."""
    owner, terminal = pty.openpty()
    command = [sys.executable, "-m", "traces", "--state", str(sink.layout.state), "abcd"]
    known = {"PATH": os.environ["PATH"], "TERM": "xterm", "COLUMNS": "100", "TZ": "UTC", **environment}
    with subprocess.Popen(command, cwd=LOCAL_DEV, env=known, stdout=terminal) as process:
        os.close(terminal)
        said = b""
        while True:
            try:
                part = os.read(owner, 65_536)
            except OSError:  # what Linux says where others say that it is the end
                break
            if not part:
                break
            said += part
        assert process.wait(60) == 0
    os.close(owner)
    return said.decode().replace("\r\n", "\n")


def test_a_terminal_gets_the_same_in_colours(sink: RunningSink) -> None:
    said = in_a_terminal(sink)
    assert "\x1b[31m✗ run/scraper.scrape_url\x1b[0m" in said
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert [line.rstrip() for line in plain.strip().splitlines()] == GOLDEN.strip().splitlines()


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_that_wants_no_colours_gets_none(sink: RunningSink, environment: dict[str, str]) -> None:
    assert "\x1b" not in in_a_terminal(sink, **environment)


def span(number: int, parent: int = 0, begin: float = 0, end: float = 1, **given: Any) -> Span:
    """A span with times in milliseconds."""
    given = {"service": "scraper", "name": f"span-{number}", "kind": Kind.INTERNAL, **given}
    return Span(
        trace_id=f"{TRACE:032x}",
        span_id=f"{number:016x}",
        parent_id=f"{parent:016x}" if parent else "",
        start_ns=BEGAN_NS + int(begin * MILLISECOND),
        end_ns=BEGAN_NS + int(end * MILLISECOND),
        **given,
    )


def told(*spans: Span, lines: tuple[Line, ...] = (), **given: Any) -> list[str]:
    """Return the lines below the head."""
    summary = Summary(f"{TRACE:032x}", Worth.WORK, 0, 0, len(spans), 0, 0, "scraper", "root", {})
    waterfall = Waterfall(summary, list(spans), list(lines), Terminal(100), **given)
    return list(waterfall.show())[4:]


def names(lines: list[str]) -> list[str]:
    """Return names with their indentation, or waits."""
    return [line[29:].rstrip(" █▏·") for line in lines]


def test_a_span_whose_parent_is_missing_is_shown_and_marked() -> None:
    lines = told(span(1, end=9), span(2, parent=77, begin=2, end=3), span(3, parent=2, begin=2, end=3))
    assert names(lines) == ["span-1", "span-2  (its parent is not here)", "  span-3"]


def test_spans_that_are_each_others_parents_are_all_shown() -> None:
    lines = told(span(1, parent=2), span(2, parent=1), span(3, parent=3), span(4, parent=1))
    assert sorted(name.strip().split()[0] for name in names(lines)) == ["span-1", "span-2", "span-3", "span-4"]


def test_thousands_of_spans_inside_each_other_are_shown() -> None:
    chain = [span(number, parent=number - 1, end=5_000 - number) for number in range(1, 2_001)]
    assert len(told(*chain, everything=True)) == 2_000
    lines = told(*chain)
    assert len(lines) == MOST_SPANS


def test_thousands_of_late_children_take_no_long_time() -> None:
    late = [span(number, parent=1, begin=number, end=number + 0.5) for number in range(2, 2_001)]
    roots = forest_of([span(1), *late])
    assert len(roots[0].children) == 1_999


def test_a_queued_task_waits_from_when_it_was_queued() -> None:
    publish = span(1, end=4, kind=Kind.PRODUCER, name="apply_async/t")
    run = span(2, parent=1, begin=1_238, end=1_300, kind=Kind.CONSUMER, name="run/t", attributes={"queue.name": "q"})
    elsewhere = span(3, begin=100, end=1_400)
    assert names(told(publish, run, elsewhere))[:2] == ["waited 1.23 s in queue q", "run/t"]


def test_a_later_part_waits_from_the_end_of_what_came_before_it() -> None:
    request = span(1, end=10)
    first = span(2, parent=1, begin=5, end=500)
    second = span(3, parent=1, begin=2_500, end=2_600)
    assert names(told(request, first, second)) == ["span-1", "  span-2", "  waited 2.00 s", "  span-3"]


def test_what_began_while_its_forerunner_was_running_has_not_waited() -> None:
    request, first = span(1, end=10), span(2, parent=1, begin=5, end=500)
    second = span(3, parent=1, begin=499, end=600)
    assert not [line for line in told(request, first, second) if "waited" in line]


def test_an_idle_time_is_drawn_short() -> None:
    scale = Scale([span(1, end=100), span(2, begin=100_000, end=100_100)])
    assert scale.place_of(BEGAN_NS) == 0
    assert 0.4 < scale.place_of(BEGAN_NS + 100 * MILLISECOND) < 0.5
    assert 0.5 < scale.place_of(BEGAN_NS + 100_000 * MILLISECOND) < 0.6
    assert scale.place_of(BEGAN_NS + 200_000 * MILLISECOND) == 1
    assert Scale([span(1, begin=5, end=5)]).place_of(BEGAN_NS) == 0


def test_a_slow_or_failed_statement_has_a_line_of_its_own() -> None:
    statement = {"kind": Kind.CLIENT, "attributes": {"db.system": "postgresql", "db.statement": "SELECT\n  1"}}
    lines = told(
        span(1, end=200),
        span(2, parent=1, **statement),
        span(3, parent=1, begin=1, end=2, **statement),
        span(4, parent=1, begin=3, end=103, name="SELECT", **statement),
        span(5, parent=1, begin=110, end=111, name="UPDATE", error=True, message="deadlock", **statement),
    )
    assert names(lines) == [
        "span-1  2 statements 2.0 ms",
        "  SELECT  SELECT 1",
        "  ✗ UPDATE  SELECT 1  error: deadlock",
    ]


def test_a_failed_call_is_shown_beside_the_answer() -> None:
    call = span(1, kind=Kind.CLIENT, name="POST", error=True, attributes={"http.url": "http://h/p?sig=abcdef"})
    answer = span(2, parent=1, kind=Kind.SERVER, name="POST /p", attributes={"http.response.status_code": 500})
    assert names(told(call, answer)) == ["✗ POST  http://h/p?sig=***  error", "  POST /p  500"]


def test_nothing_of_a_text_reaches_the_terminal_that_would_steer_it() -> None:
    nasty = "a\x1b[2Jb\x07c\u202ed\u200be\x9bf\ng\x00"
    line = Line("scraper\x1b[2J", BEGAN_NS, {"event": nasty, nasty: nasty})
    lines = told(
        span(
            1, name=nasty, service=nasty, attributes={"http.url": nasty, "error.code": nasty}, error=True, message=nasty
        ),
        lines=(line, Line("scraper", None, text=nasty)),
        everything=True,
    )
    assert all(text.isprintable() for text in lines), lines
    assert "a\\x1b[2Jb\\x07c\\u202ed\\u200be\\x9bf g\\x00" in lines[0] + "".join(lines[1:])


def test_of_urls_no_values_are_shown_wherever_they_stand() -> None:
    url = "https://u:p@example.org/a?X-Amz-Signature=abcdef&q=private"
    line = Line("scraper", BEGAN_NS, {"event": f"fetching {url}", "address": url, "span_id": f"{1:016x}"})
    said = "\n".join(
        told(span(1, name=url, attributes={"http.url": url, "job.url": url, "x": url}), lines=(line,), everything=True)
    )
    joined = re.sub(r"\s+", "", said)
    assert "https://example.org/a?X-Amz-Signature=***&q=***" in joined
    assert not [secret for secret in ("abcdef&", "private", "u:p@") if secret in joined]


def test_of_many_log_lines_the_loudest_are_shown_and_the_others_counted() -> None:
    def line(number: int, level: str = "INFO") -> Line:
        fields = {"event": f"line-{number}", "level": level, "span_id": f"{1:016x}"}
        return Line("scraper", BEGAN_NS + number * 1_000, fields)

    lines = tuple(line(number, "ERROR" if number in (7, 9) else "INFO") for number in range(LINES_OF_A_SPAN + 12))
    short = told(span(1), lines=lines)
    assert [part for part in names(short) if "line-" in part] == [
        *("  │ line-0", "  │ line-1", "  │ ERROR line-7", "  │ ERROR line-9"),
    ]
    assert short[-1].strip() == "… 12 more"
    assert sum("line-" in part for part in told(span(1), lines=lines, everything=True)) == len(lines)


def test_lines_of_the_trace_that_belong_to_no_span_come_last() -> None:
    lines = told(span(1), lines=(Line("scraper", BEGAN_NS, {"event": "alone", "span_id": ["odd"]}),))
    assert names(lines) == ["span-1", "logged outside of these spans", "  │ alone"]


@pytest.mark.parametrize(
    ("nanoseconds", "words"),
    [
        (0, "0.0 ms"),
        (1_234_000, "1.2 ms"),
        (56_789_000, "57 ms"),
        (1_234_567_890, "1.23 s"),
        (754 * 10**9, "12 min 34 s"),
    ],
)
def test_durations_have_three_digits_that_matter(nanoseconds: int, words: str) -> None:
    assert duration(nanoseconds) == words
    assert len(words) <= 12


def test_texts_are_cut_by_the_columns_that_they_take() -> None:
    assert fitted("漢字漢字", 5) == "漢字…"
    assert padded("漢字", 5) == "漢字 "
    assert width_of("e\u0301") == 1
    assert fitted("abc", 3) == "abc"
    assert fitted("abcd", 0) == ""
    assert shown("tab\there") == "tab here"
    assert textwrap.dedent(shown("é漢")) == "é漢"
