"""The vocabulary of span attributes is one module, and nothing sets an attribute that is not in it."""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import ml_shared
from ml_shared.telemetry import attributes
from ml_shared.testing import attributes_walk
from ml_shared.testing.attributes_walk import VOCABULARY, foreign_attributes

# contracts.md: dashboards and queries of others are written with them
FIXED = {
    *("job.id", "job.url", "job.stage", "queue.name", "operation", "request.mode", "corpus.name", "embedding.model"),
    *("embedding.tokens", "search.top_k", "caller.type", "http.request_id", "failed.stage", "scrape.response_bytes"),
}
SETTINGS = {
    "key": 'span.set_attribute("job.id", "1")',
    "variable": 'key = "job.id"\nspan.set_attribute(key, "1")',
    "unknown": 'span.set_attribute(attributes.JOB_OWNER, "1")',
    "elsewhere": 'span.set_attribute(other.JOB_ID, "1")',
    "mapping": 'span.set_attributes({attributes.JOB_ID: "1", "job.url": "u"})',
    "spread": 'more = {"job.url": "u"}\nspan.set_attributes({attributes.JOB_ID: "1", **more})',
    "computed": "span.set_attributes(known())",
    "picked": 'known = {"job.id": None}\nspan.set_attributes({k: v for k, v in known.items() if v})',
    "start": 'tracer.start_as_current_span("work", attributes={"job.id": "1"})',
    "event": 'span.add_event("done", {"job.id": "1"})',
    "link": 'Link(context, attributes={"job.id": "1"})',
    "by name": 'span.set_attribute(key="job.id", value="1")',
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package on the path; a test writes its source."""
    (tmp_path / "probed").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "probed" / "__init__.py"
    sys.modules.pop("probed", None)


def _imported(source: Path, code: str) -> ModuleType:
    body = code.replace("\n", "\n    ")
    source.write_text(
        f"from ml_shared.telemetry import attributes\ndef f(span, tracer, Link, context, known, other):\n    {body}\n"
    )
    importlib.invalidate_caches()
    return importlib.import_module("probed")


def test_every_attribute_that_the_library_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(ml_shared, without=["ml_shared.testing"]) >= 10


@pytest.mark.parametrize("code", SETTINGS.values(), ids=SETTINGS.keys())
def test_an_attribute_from_elsewhere_is_found_however_it_is_set(package: Path, code: str) -> None:
    with pytest.raises(AssertionError, match="not constants of"):
        attributes_walk.walk(_imported(package, code))


def test_attributes_of_the_vocabulary_pass_however_they_are_set(package: Path) -> None:
    code = (
        'known = {attributes.JOB_ID: "1"}\nspan.set_attributes(known)\n'
        "span.set_attributes({key: value for key, value in known.items() if value})\n"
        'tracer.start_span("work", attributes={attributes.JOB_ID: "1", **known})\nspan.add_event("done")\n'
        "from opentelemetry.semconv.attributes.http_attributes import HTTP_ROUTE\nspan.set_attribute(HTTP_ROUTE, 1)"
    )
    assert attributes_walk.walk(_imported(package, code)) == 4


def test_each_attribute_is_there_once_with_type_and_meaning() -> None:
    assert set(VOCABULARY.values()) >= FIXED
    assert len(set(VOCABULARY.values())) == len(VOCABULARY)
    lines = Path(attributes.__file__).read_text().splitlines()
    for name, value in VOCABULARY.items():
        assert re.fullmatch(r"[a-z]+([._][a-z_]+)*", value)
        [line] = [line for line in lines if line.startswith(f"{name}: ")]
        assert re.fullmatch(rf'{name}: Final = "{value}"  # (str|int|float|bool): \S.*', line), line


def test_a_span_with_an_attribute_of_nobodys_is_found(spans: InMemorySpanExporter) -> None:
    with trace.get_tracer("t").start_as_current_span("work") as span:
        span.set_attribute(attributes.JOB_ID, "1")
        span.set_attribute("http.response.status_code", 200)
        span.set_attribute("job.owner", "key:a")
        span.add_event("done", {"done.how": "well"})
    assert foreign_attributes(spans.get_finished_spans()) == ["done.how on work", "job.owner on work"]
    spans.clear()  # the fixture would find it too
