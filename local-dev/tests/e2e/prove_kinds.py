"""Every kind of document through the running fleet, by its address and as an upload; and documents that mean harm.

The files are those of the scraper's own tests. Some minutes long, so it is no part of `make test`: `make test-kinds` runs it.
"""

import importlib
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Stage
from e2e_browser import find_chromium
from e2e_caller import Caller
from fleet.layout import REPOSITORY
from starlette.types import Receive, Scope, Send

from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.plugin import require

pytestmark = pytest.mark.xdist_group("fleet")

HOST = "127.77.0.98"
ENDED_SECONDS = 600.0


def ours(name: str) -> Any:
    """One of the scraper's test modules, which is not about pytest."""
    for folder in (REPOSITORY / "scraper" / "tests", REPOSITORY / "scraper"):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    return importlib.import_module(name)


class Files:
    """A site of files, each with the headers that a test wants; what has none of a Content-Type is sent without."""

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, tuple[bytes, list[tuple[str, str]]]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []

    def put(self, path: str, body: bytes, *headers: tuple[str, str]) -> str:
        self.files[path] = (body, list(headers))
        return self.url + path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        asked = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((path, asked))
        body, headers = self.files.get(path, (b"", [("content-type", "text/plain")]))
        validators = dict(headers).get("etag")
        status = 304 if validators and asked.get("if-none-match") == validators else 200 if path in self.files else 404
        sent = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": status, "headers": sent})
        await send({"type": "http.response.body", "body": b"" if status == 304 else body})


@pytest.fixture
def files(stage: Stage) -> Iterator[Files]:
    site = Files()
    with ThreadedServer(site, host=HOST, port=stage.web.port) as server:
        site.url = server.url
        yield site


@pytest.fixture
def corpus() -> str:
    return f"kinds-{uuid.uuid4().hex[:8]}"


def batch(caller: Caller, corpus: str, urls: list[str], **more: Any) -> dict[str, dict[str, Any]]:
    """Index pages; return their jobs by address once all have ended."""
    body = {"urls": urls, "corpus_name": corpus} | more
    answer = caller.request("POST", "/api/orchestrator/jobs/batch", json=body)
    assert answer.status_code == 202, answer.text
    return {one["url"]: caller.wait(one["job_id"], ENDED_SECONDS) for one in answer.json()["jobs"]}


def test_every_kind_is_searchable_by_its_address_and_as_an_upload(files: Files, caller: Caller, corpus: str) -> None:
    producers, documents = ours("producers").PRODUCERS, ours("documents").DOCUMENTS
    document = next(one for one in documents if one.tables)
    urls, uploads = {}, {}
    for kind, (media_type, make, _) in producers.items():
        body = make(document)
        urls[kind] = files.put(f"/{corpus}/document.{kind}", body, ("content-type", media_type))
        told = {"file": (f"document.{kind}", body, media_type)}
        answer = caller.request("POST", "/api/orchestrator/documents", files=told, data={"corpus_name": corpus})
        assert answer.status_code == 202, (kind, answer.text)
        uploads[kind] = answer.json()["job_id"]
    jobs = batch(caller, corpus, list(urls.values()))
    fetched = {kind: (jobs[url]["status"], jobs[url]["error"]) for kind, url in urls.items()}
    assert fetched == dict.fromkeys(urls, ("completed", None))
    sent = {kind: caller.wait(job_id, ENDED_SECONDS) for kind, job_id in uploads.items()}
    assert {kind: job["status"] for kind, job in sent.items()} == dict.fromkeys(uploads, "completed")
    cell = document.tables[0].rows[1][0]
    for kind, url in urls.items():
        for address in (url, f"upload:document.{kind}"):
            found = caller.search(cell, corpus, filters={"url_prefix": address})
            assert found, address
            assert cell in " ".join(hit["text"] for hit in found), address


def test_documents_that_mean_harm_are_refused_by_name_and_the_next_page_is_read(
    files: Files, caller: Caller, corpus: str
) -> None:
    hostile = ours("hostile")
    urls = {
        name: files.put(f"/{corpus}/{name.replace(' ', '-')}", make(), ("content-type", media_type))
        for name, (media_type, make, _) in hostile.HOSTILE.items()
    }
    last = files.put(f"/{corpus}/next", b"<main><h1>Next</h1><p>The next page is about a wryneck.</p></main>")
    jobs = batch(caller, corpus, [*urls.values(), last])
    told = {name: (jobs[url]["error"] or {}).get("code", jobs[url]["status"]) for name, url in urls.items()}
    wrong = {name: code for name, code in told.items() if not code.startswith(hostile.HOSTILE[name][2])}
    assert wrong == {}
    assert not [job for job in jobs.values() if hostile.SECRET in str(job)]
    assert jobs[last]["status"] == "completed"
    assert caller.search("wryneck", corpus)[0]["url"] == last


def scrape(caller: Caller, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
    answer = caller.request("POST", "/api/scraper/scrape", json={"url": url} | more)
    found: dict[str, Any] = answer.json()
    return answer.status_code, found


def test_what_a_header_says_and_does_not_say_is_heeded(files: Files, caller: Caller) -> None:
    page = b"<html lang=en><body><main><h1>Port</h1><p>Words about the port and its mole.</p></main></body></html>"
    pdf = ours("producers").make_pdf(ours("documents").DOCUMENTS[0])
    assert scrape(caller, files.put("/two", page, ("content-type", "text/html, text/html")))[1]["content"]
    twice = files.put("/twice", page, ("content-type", "text/html"), ("content-type", "text/html"))
    assert scrape(caller, twice)[1]["content_type"] == "text/html"
    sniffed = {
        "/a": (page, "text/html"),
        "/b": (pdf, "application/pdf"),
        "/c": (b'{"port": "Words about a mole"}', "application/json"),
        "/d": (b"Words about the port.\n", "text/plain"),
    }
    for path, (body, media_type) in sniffed.items():
        status, found = scrape(caller, files.put(path, body))
        assert (status, found.get("content_type")) == (200, media_type), found
    status, problem = scrape(
        caller, files.put("/picture", b"\x89PNG\r\n\x1a\n" + bytes(200), ("content-type", "image/png"))
    )
    assert (status, problem["code"]) == (415, "unsupported_content_type")
    for name in ("HTML", "PDF", "DOCX", "XLSX", "PPTX", "EPUB", "RTF", "CSV", "JSON", "XML", "RSS", "Atom", "Markdown"):
        assert name in problem["detail"], problem
    tagged = files.put("/tagged", page, ("content-type", "text/html"), ("etag", '"1"'))
    first = scrape(caller, tagged)[1]
    again = scrape(caller, tagged, if_none_match=first["etag"])[1]
    assert (first["not_modified"], again["not_modified"], again["content"]) == (False, True, "")
    hidden = files.put("/hidden", page, ("content-type", "text/html"), ("x-robots-tag", "noindex"))
    assert scrape(caller, hidden)[1]["code"] == "noindex"
    followed = files.put("/nofollow", page, ("content-type", "text/html"), ("x-robots-tag", "nofollow"))
    assert scrape(caller, followed)[1]["nofollow"] is True


def test_pages_of_a_site_that_javascript_makes_load_their_script_once(
    stage: Stage, files: Files, caller: Caller, corpus: str
) -> None:
    require(find_chromium)
    assert stage.fleet.log("scraper-renderer").exists(), "a fleet has its renderer where a browser is"
    script = "document.getElementById('root').innerHTML = '<main><h1>' + document.title + '</h1><p>' + 'The tide comes in at noon. '.repeat(12) + '</p></main>';"
    files.put("/app.js", script.encode(), ("content-type", "text/javascript"), ("cache-control", "max-age=600"))
    frame = "<!doctype html><html lang=en><head><title>Tide {}</title></head><body><div id=root></div><script src=/app.js></script></body></html>"
    urls = [
        files.put(f"/{corpus}/{number}", frame.format(number).encode(), ("content-type", "text/html"))
        for number in range(6)
    ]
    jobs = batch(caller, corpus, urls, render="auto")
    assert {job["status"] for job in jobs.values()} == {"completed"}, jobs
    assert [path for path, _ in files.asked].count("/app.js") == 1
