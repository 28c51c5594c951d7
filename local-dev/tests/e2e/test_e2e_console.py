"""The console in a real browser, on a real fleet: each page's main way, by mouse and by keyboard."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import Stage
from e2e_browser import Console
from e2e_caller import Caller
from playwright.sync_api import Browser, Route, expect

pytestmark = pytest.mark.xdist_group("fleet")

CORPUS = "console"
PAGES = ("herons", "glaciers", "violins")


@dataclass(frozen=True)
class Indexed:
    """Three pages that are in the corpus, and one that is not there."""

    jobs: dict[str, str]
    failed: str
    document: str


@pytest.fixture(scope="module")
def indexed(stage: Stage) -> Iterator[Indexed]:
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    jobs = {words: caller.index(stage.web.add(f"/console/{words}", words), CORPUS)["job_id"] for words in PAGES}
    failed = caller.submit(stage.web.url("/console/not-there"), CORPUS).json()["job_id"]
    assert caller.wait(failed)["status"] == "failed"
    found = caller.request("GET", f"/api/embedding/corpora/{CORPUS}/documents").json()["items"]
    document = next(one["document_id"] for one in found if one["job_id"] == jobs["herons"])
    yield Indexed(jobs, failed, document)
    caller.close()


def test_the_key_is_asked_for_kept_in_the_tab_and_gone_with_it(browser: Browser, stage: Stage) -> None:
    console = Console.open(browser, stage.fleet.gateway)
    console.allowed.append("401")  # which the browser itself writes down
    page = console.page
    page.goto(f"{stage.fleet.gateway}/#/jobs")
    page.get_by_label("API key").fill("not-a-key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("API key")
    key = stage.fleet.keys["user"]
    console.type_key(key)
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    assert page.evaluate("() => Object.values(sessionStorage)") == [key]
    kept = page.evaluate(
        "() => JSON.stringify([Object.entries(localStorage), document.cookie, location.href, document.documentElement.outerHTML])"
    )
    assert key not in kept
    other = console.context.new_page()
    console.watch(other)
    other.goto(stage.fleet.gateway)
    expect(other.get_by_label("API key")).to_be_visible()
    page.get_by_role("button", name="Forget the key").click()
    expect(page.get_by_label("API key")).to_be_visible()
    assert page.evaluate("() => sessionStorage.length") == 0
    console.close()


def test_a_key_that_is_not_accepted_any_more_is_forgotten_and_said(console: Console) -> None:
    console.allowed.append("401")
    problem = '{"title":"Unauthorized","status":401,"detail":"this API key is not valid","code":"unauthorized"}'
    console.page.route(
        "**/orchestrator/jobs?*",
        lambda route: route.fulfill(status=401, body=problem, content_type="application/problem+json"),
    )
    console.page.goto(f"{console.gateway}/#/jobs")
    expect(console.page.get_by_label("API key")).to_be_visible()
    expect(console.page.get_by_text("this API key is not valid")).to_be_visible()
    assert console.page.evaluate("() => sessionStorage.length") == 0


def test_the_overview_shows_figures_failures_and_how_the_services_are(console: Console, indexed: Indexed) -> None:
    page = console.go("/")
    tile = page.locator(".tile", has_text="Completed")
    expect(tile.locator("dd")).to_have_text(re.compile(r"^[1-9]"))
    expect(page.get_by_role("img", name=re.compile("Jobs that ended"))).to_be_visible()
    for service in ("orchestrator", "scraper", "chunking", "embedding"):
        expect(page.locator(".service .status.t-completed", has_text=service)).to_be_visible()
    page.get_by_role("link", name=re.compile("http_status")).click()
    expect(page.get_by_label("Error code")).to_have_value("http_status")
    expect(page.get_by_role("link", name="console/not-there")).to_be_visible()


def test_a_job_shows_its_time_as_a_picture_its_trace_and_what_came_of_it(
    console: Console, indexed: Indexed, stage: Stage
) -> None:
    page = console.go("/jobs")
    page.get_by_label("Address begins with").fill(stage.web.url("/console/her"))
    page.get_by_role("link", name="console/herons").click()
    expect(page.get_by_role("heading", name="console/herons")).to_be_visible()
    picture = page.get_by_role("img", name=re.compile("^Time line"))
    for stage_name in ("scraping", "chunking", "embedding"):
        assert re.search(rf"{stage_name} ran \d", picture.get_attribute("aria-label") or "")
    expect(page.locator(".timeline rect.run")).to_have_count(3)
    with console.hearing("Copied"):
        page.get_by_role("button", name="Copy the trace id").click()
    trace = page.evaluate("() => document.querySelector('copy-text[label=\"Copy the trace id\"]').getAttribute('text')")
    assert re.fullmatch(r"[0-9a-f]{32}", trace)


def test_a_failed_job_says_why_and_is_tried_again_as_a_new_one(console: Console, indexed: Indexed) -> None:
    page = console.go(f"/jobs/{indexed.failed}")
    expect(page.locator(".notice.bad")).to_contain_text("http_status")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("link", name=indexed.failed)).to_be_visible()  # retry of
    assert not page.url.endswith(indexed.failed)


def test_a_job_is_followed_live_without_anything_moving_and_can_be_cancelled(console: Console, stage: Stage) -> None:
    url = stage.web.add("/console/held", "held things", host=3, held=True)
    page = console.page
    page.evaluate(
        """() => { window.shifts = 0; new PerformanceObserver((list) => { for (const one of list.getEntries()) if (!one.hadRecentInput) window.shifts += one.value; }).observe({ type: "layout-shift" }); }"""
    )
    page.keyboard.press("i")
    page.get_by_label("Addresses").fill(url)
    page.get_by_label("Corpus").fill(CORPUS)
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.locator(".status.t-scraping")).to_be_visible()
    stage.web.wait_until_asked("/console/held")
    shifts = page.evaluate("() => window.shifts")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".status.t-cancelled")).to_be_visible()
    stage.web.held["/console/held"].set()
    assert page.evaluate("() => window.shifts") - shifts < 0.1


def test_several_addresses_are_a_batch_that_is_followed_to_its_end(console: Console, stage: Stage) -> None:
    urls = [stage.web.add(f"/console/batch-{number}", f"batch {number}", host=4 + number) for number in range(3)]
    page = console.go("/batches")
    page.keyboard.press("i")
    page.get_by_label("Addresses").fill("\n".join(urls))
    page.get_by_label("Corpus").fill(CORPUS)
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("heading", name="Batch")).to_be_visible()
    expect(page.locator(".tile", has_text="Progress").locator("dd")).to_have_text("100 %")
    expect(page.locator("data-table .status.t-completed")).to_have_count(3)
    page.get_by_role("link", name="Batches").first.click()
    expect(page.get_by_role("img", name="3 completed").first).to_be_visible()


def test_what_is_wrong_with_a_submission_is_said_in_the_apis_words(console: Console) -> None:
    console.allowed.append("422")
    page = console.go("/jobs")
    page.get_by_role("button", name="Index something").first.click()
    page.get_by_label("Addresses").fill("ftp://example.com/")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(
        "only http:// and https:// URLs can be fetched"
    )
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_from_a_corpus_to_a_documents_text_with_its_chunks_drawn_on_it(console: Console, indexed: Indexed) -> None:
    page = console.go("/corpora")
    page.get_by_role("link", name=CORPUS, exact=True).click()
    page.get_by_role("link", name="About herons").first.click()
    expect(page.get_by_role("heading", name="About herons")).to_be_visible()
    text = page.get_by_role("region", name="The text, with its chunks")
    expect(text).to_contain_text("The herons number 2.39 is kept in drawer 239.")
    starts = text.locator(".piece[data-chunk]")
    assert starts.count() > 2
    expect(text.locator(".piece.overlap").first).to_be_attached()
    expect(starts.first).to_contain_text("#0")
    expect(text.locator(".path").nth(1)).to_contain_text("About herons")


def test_a_search_shows_the_three_ways_side_by_side_and_why_a_passage_is_where_it_is(
    console: Console, indexed: Indexed
) -> None:
    page = console.go(f"/search?corpus={CORPUS}")
    page.get_by_label("Search for").fill("Which drawer are the herons kept in?")
    page.keyboard.press("Enter")
    first = page.locator(".hit").first
    expect(first).to_contain_text("About herons")
    expect(first.locator(".tag", has_text=re.compile(r"meaning #\d"))).to_be_visible()
    expect(first.locator(".tag", has_text=re.compile(r"words #\d"))).to_be_visible()
    expect(first.locator("mark").first).to_be_visible()
    page.get_by_text("Side by side").click()
    for name in ("Hybrid", "By meaning", "By words"):
        expect(page.get_by_role("region", name=name, exact=True).locator(".hit").first).to_contain_text("About herons")
    expect(page.get_by_text(re.compile(r"^\d+ passages · \d+ ms$"))).to_have_count(3)
    first.get_by_role("link", name="About herons").click()
    expect(page.locator(".piece.chosen")).to_be_in_viewport()


def test_a_passage_that_goes_on_with_a_table_says_what_its_columns_are(console: Console, stage: Stage) -> None:
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    rows = "".join(f"{number},bolt of series {number % 7},{number * 3}\n" for number in range(300))
    table = ("parts.csv", f"part number,kind of part,stock in Rotterdam\n{rows}300,gudgeon pin,1800\n", "text/csv")
    answer = caller.request("POST", "/api/orchestrator/documents", files={"file": table}, data={"corpus_name": "parts"})
    assert caller.wait(answer.json()["job_id"])["status"] == "completed"
    caller.close()
    page = console.go("/search?corpus=parts&q=gudgeon")
    first = page.locator(".hit").first
    expect(first.locator(".passage")).not_to_contain_text("stock in Rotterdam")
    expect(first.locator(".columns")).to_contain_text("| stock in Rotterdam |")
    first.get_by_role("heading").get_by_role("link").click()
    expect(page.locator(".piece.chosen .columns")).to_contain_text("| stock in Rotterdam |")


def test_a_filter_by_metadata_is_of_the_kind_that_was_typed(console: Console, stage: Stage) -> None:
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    facts = {"numbers": {"year": 2026, "draft": True, "tags": ["a", "b"]}, "words": {"year": "2026", "draft": "true"}}
    for name, metadata in facts.items():
        told = {"corpus_name": "facts", "metadata": json.dumps(metadata)}
        text = f"# About {name}\n\nA ledger of the year, with its entries."
        answer = caller.request(
            "POST", "/api/orchestrator/documents", files={"file": (f"{name}.md", text, "text/markdown")}, data=told
        )
        assert caller.wait(answer.json()["job_id"])["status"] == "completed"
    caller.close()
    page = console.go("/search?corpus=facts&q=ledger")
    expect(page.locator(".hit")).to_have_count(2)
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Metadata key").fill("year")
    expect(page.locator(".understood")).to_have_text("Not narrowed by year yet: it has no value.")
    page.keyboard.press("Tab")
    expect(page.locator(".hit")).to_have_count(2)
    for key, typed, kind, found in (
        ("year", "2026", "the number 2026", "numbers"),
        ("year", '"2026"', "the text 2026", "words"),
        ("draft", "true", "true, and not the text", "numbers"),
        ("tags", '["b"]', 'a list that has "b"', "numbers"),
    ):
        page.get_by_label("Metadata key").fill(key)
        page.get_by_label("Metadata value").fill(typed)
        expect(page.locator(".understood")).to_have_text(f"Where {key} is {kind}.")
        page.keyboard.press("Tab")
        expect(page.locator(".hit")).to_have_count(1)
        expect(page.locator(".hit")).to_contain_text(f"About {found}")
    page.reload()
    expect(page.locator(".hit")).to_contain_text("About numbers")
    assert console.violations() == []
    # what a browser would round is nowhere sent as another number
    page.get_by_label("Metadata value").fill("12345678901234567890")
    expect(page.locator(".understood")).to_have_text("Where tags is the text 12345678901234567890.")
    page.get_by_role("button", name="Index a page or a file").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Addresses").fill("https://example.com/")
    dialog.get_by_text("How it is read").click()
    dialog.get_by_label("Metadata").fill('{"id": 12345678901234567890}')
    dialog.get_by_role("button", name="Index", exact=True).click()
    expect(dialog).to_contain_text("more digits than a browser keeps")


def test_a_passage_beyond_the_best_of_a_way_is_not_said_to_have_none_of_it(console: Console, indexed: Indexed) -> None:
    def beyond(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        body["results"] = body["results"][:1]
        body["results"][0]["why"] = {}
        route.fulfill(response=answer, json=body)

    page = console.go(f"/search?corpus={CORPUS}")
    expect(page.locator(".empty")).to_contain_text("hybrid adds up both scores, each with its weight")
    page.route("**/embedding/search", beyond)
    console.go(f"/search?corpus={CORPUS}&q=drawer")
    tags = page.locator(".hit .why .tag")
    expect(tags.filter(has_text="words –")).to_have_attribute("title", "Not among the best by words")
    expect(tags.filter(has_text="meaning –")).to_have_attribute("title", "Not among the best by meaning")


def test_filters_narrow_a_search_and_a_copied_one_finds_the_same(
    console: Console, indexed: Indexed, stage: Stage
) -> None:
    page = console.go(f"/search?corpus={CORPUS}&q=drawer")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Address begins with").fill(stage.web.url("/console/gla"))
    page.keyboard.press("Tab")
    expect(page.locator(".hit h3").first).to_contain_text("About glaciers")
    page.get_by_role("button", name="Copy as Python").click()
    program = page.get_by_role("dialog").locator("pre").inner_text()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Copy as curl").click()
    command = page.get_by_role("dialog").locator("pre").inner_text()
    key = stage.fleet.keys["user"]
    assert key not in program + command
    environment = {**os.environ, "CLOUDCIX_ML_KEY": key, "NO_PROXY": "127.0.0.1"}
    for line in ([sys.executable, "-c", program], ["bash", "-c", command.replace("curl ", "curl -sS ", 1)]):
        done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert "glaciers" in done.stdout


def test_the_api_is_readable_here_and_in_swagger_ui_without_another_host(console: Console) -> None:
    page = console.go("/api?service=embedding")
    page.get_by_label("Find").fill("search")
    page.get_by_text("/search", exact=True).click()
    expect(page.get_by_role("region", name="Body as application/json")).to_contain_text("max_per_document")
    for service in ("orchestrator", "scraper", "chunking", "embedding"):
        page.goto(f"{console.gateway}/api/{service}/docs")
        expect(page.locator(".swagger-ui .opblock").first).to_be_visible()
        expect(page.locator(".swagger-ui .title")).to_contain_text("CloudCIX ML")


def test_all_of_it_goes_by_keyboard_with_focus_to_be_seen(browser: Browser, stage: Stage, indexed: Indexed) -> None:
    console = Console.open(browser, stage.fleet.gateway)
    page, press = console.page, console.page.keyboard.press
    page.goto(stage.fleet.gateway)
    page.keyboard.type(stage.fleet.keys["user"])
    press("Enter")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    press("g")
    press("j")
    expect(page.locator("data-table a.row-link").first).to_be_visible()
    tabs = 0
    while not page.evaluate("() => document.activeElement.matches('a.row-link')"):
        press("Tab")
        ringed = page.evaluate(
            "() => { const one = document.activeElement; return getComputedStyle(one.matches('.segments input') ? one.parentElement : one).outlineStyle !== 'none'; }"
        )
        assert ringed, page.evaluate("() => document.activeElement.outerHTML")
        tabs += 1
        assert tabs < 40, "the table is not reached by Tab"
    first = page.evaluate("() => document.activeElement.href")
    press("ArrowDown")
    assert page.evaluate("() => document.activeElement.href") != first
    press("Home")
    assert page.evaluate("() => document.activeElement.href") == first
    press("Enter")
    expect(page.get_by_role("img", name=re.compile("^Time line"))).to_be_visible()
    assert page.evaluate("() => document.activeElement.tagName") == "H1"
    press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    press("Escape")
    press("/")
    expect(page.get_by_label("Search for")).to_be_focused()
    page.get_by_label("Corpus").select_option(CORPUS)
    page.get_by_label("Search for").focus()
    page.keyboard.type("violins")
    press("Enter")
    expect(page.locator(".hit").first).to_contain_text("About violins")
    console.close()
