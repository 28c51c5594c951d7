"""The benchmark's figures: kept, compared by ratio, printed as one table."""

from collections import Counter
from pathlib import Path

import pytest
from bench.figures import YARDSTICK, Figures, Results, kind_of
from bench.table import lines

FLEET = "without the model"


def results(**figures: float) -> Results:
    names = {
        "cpu": "CPU ms a page",
        "part": "CPU ms a page  orchestrator",
        "yardstick": YARDSTICK,
        "speed": "pages a second ÷ plain calls",
        "requests": "HTTP requests a page",
        "memory": "at rest, MB",
    }
    return Results({FLEET: {names[name]: value for name, value in figures.items()}})


def test_counts_are_summed_by_where_and_told_in_detail() -> None:
    figures = Figures()
    figures.count(
        "HTTP requests a page", Counter({"scraper POST /enqueue": 20, "scraper GET /health": 10, "gateway": 30}), 10
    )
    assert figures == {
        "HTTP requests a page": 6.0,
        "HTTP requests a page  scraper": 3.0,
        "HTTP requests a page  gateway": 3.0,
        "    HTTP requests a page  scraper POST /enqueue": 2.0,
        "    HTTP requests a page  scraper GET /health": 1.0,
    }
    now = Results({FLEET: figures})
    told = [name for _, name in now.names(detail=False)]
    assert told == ["HTTP requests a page", "HTTP requests a page  scraper", "HTTP requests a page  gateway"]
    assert len(list(now.names(detail=True))) == len(figures)


def test_a_stored_result_is_read_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    now = results(cpu=100.0, yardstick=10.0)
    now.store(file)
    assert Results.load(file).fleets == now.fleets


def test_a_result_of_another_format_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text('{"format": 0, "fleets": {}}')
    with pytest.raises(ValueError, match="format 0"):
        Results.load(file)


def test_processor_time_is_compared_in_each_runs_own_measure() -> None:
    slow_machine, fast_machine = results(cpu=200.0, yardstick=20.0), results(cpu=100.0, yardstick=10.0)
    assert slow_machine.change(FLEET, "CPU ms a page", fast_machine) == pytest.approx(1.0)
    assert slow_machine.verdict(FLEET, "CPU ms a page", fast_machine) == ""
    heavier = results(cpu=130.0, yardstick=10.0)
    assert heavier.verdict(FLEET, "CPU ms a page", fast_machine) == "worse"
    assert fast_machine.verdict(FLEET, "CPU ms a page", heavier) == "better"


def test_fewer_pages_a_second_are_worse_and_more_requests_are() -> None:
    then, now = results(speed=0.5, requests=10.0), results(speed=0.3, requests=12.0)
    assert now.verdict(FLEET, "pages a second ÷ plain calls", then) == "worse"
    assert then.verdict(FLEET, "pages a second ÷ plain calls", now) == "better"
    assert now.verdict(FLEET, "HTTP requests a page", then) == "worse"


def test_what_is_within_its_tolerance_is_not_marked() -> None:
    then, now = results(memory=1000.0, requests=10.0), results(memory=1040.0, requests=10.5)
    assert now.verdict(FLEET, "at rest, MB", then) == ""
    assert now.verdict(FLEET, "HTTP requests a page", then) == ""


def test_a_part_of_less_than_a_millisecond_is_not_marked() -> None:
    then, now = results(part=0.5, yardstick=10.0), results(part=1.0, yardstick=10.0)
    assert now.change(FLEET, "CPU ms a page  orchestrator", then) == pytest.approx(2.0)
    assert now.verdict(FLEET, "CPU ms a page  orchestrator", then) == ""


def test_a_figure_that_only_one_run_has_is_not_compared() -> None:
    assert results(cpu=1.0).change(FLEET, "CPU ms a page", results(memory=1.0)) is None
    assert results(cpu=1.0).change(FLEET, "CPU ms a page", Results({})) is None


def test_the_table_has_ratios_first_and_marks_what_got_worse() -> None:
    then, now = results(cpu=100.0, yardstick=10.0, speed=0.5), results(cpu=150.0, yardstick=10.0, speed=0.5)
    told = list(lines(now, then, detail=False))
    assert [line.strip() for line in told if line.startswith("\n")] == ["ratios", "processor time of a page, ms"]
    assert told[2].strip().startswith("pages a second ÷ plain calls")
    (marked,) = [row for row in told if "worse" in row]
    assert marked.split()[:4] == ["CPU", "ms", "a", "page"]
    assert "× 1.50" in marked


def test_every_figure_is_of_a_kind() -> None:
    for name in ("start, s", "MB  gateway", "one page of a new host, p95, s", "429 to the client"):
        assert kind_of(name)
