"""The console's pages of files, events, webhooks and crawls."""

import json
import re
from typing import Any

import pytest
from conftest import Stage
from e2e_browser import Console
from e2e_caller import Caller
from e2e_console_data import CRAWL, NOW, crawl_answers
from playwright.sync_api import Route, expect

pytestmark = pytest.mark.xdist_group("fleet")

MARKDOWN = "# Beekeeping\n\n" + "Bees are kept in hives of wood, in the garden behind the house. " * 30


def test_a_file_is_indexed_from_here_and_found(console: Console) -> None:
    page = console.go("/search")
    page.get_by_role("button", name="Index a page or a file").click()
    page.get_by_text("A file", exact=True).click()
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "bees.md", "mimeType": "text/markdown", "buffer": MARKDOWN.encode()}
    )
    expect(page.get_by_text(re.compile(r"bees\.md · \d"))).to_be_visible()
    page.get_by_role("dialog").get_by_label("Corpus").fill("console-files")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.locator(".status.t-completed")).to_be_visible()
    console.go("/search?corpus=console-files&q=Where+are+bees+kept")
    expect(page.locator(".hit").first).to_contain_text("hives of wood")


def test_a_dropped_file_is_taken_to_the_dialog(console: Console) -> None:
    page = console.go("/search?corpus=console-files")
    page.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File(["# Dropped"], "dropped.md", { type: "text/markdown" }));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true })); }"""
    )
    expect(page.get_by_role("dialog")).to_contain_text("dropped.md · 9 B")


def test_a_jobs_events_come_as_they_happen_each_attempt_with_its_wait(console: Console, stage: Stage) -> None:
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    url = stage.web.add("/console/events", "events", host=7, held=True)
    job_id = caller.submit(url, "console-files").json()["job_id"]
    page = console.page
    polled: list[str] = []
    page.on("request", lambda request: polled.append(request.url) if request.url.endswith(job_id) else None)
    console.go(f"/jobs/{job_id}")
    events = page.get_by_role("list", name="Events")
    expect(events.get_by_text("started")).to_have_count(1)
    stage.web.held["/console/events"].set()
    expect(events.get_by_text("completed")).to_have_count(1)
    expect(page.locator("main > div > .grid > div .status.t-completed")).to_be_visible()
    expect(page.locator(".timeline rect.run")).to_have_count(3)
    told = [line.strip() for line in events.locator("strong").all_inner_texts()]
    assert told[0] == "submitted"
    assert told[-1] == "completed"
    assert told.count("started") == 2  # chunking answers its hand-out at once
    assert len(polled) < len(told) + 3, "it asked again for what the stream told"
    caller.close()


def test_where_there_is_no_stream_a_job_is_asked_after(console: Console, stage: Stage) -> None:
    url = stage.web.add("/console/asked", "asked", host=8, held=True)
    console.page.route(
        "**/events",
        lambda route: route.fulfill(
            status=429, body='{"code":"too_many_streams","status":429}', content_type="application/problem+json"
        ),
    )
    console.allowed.append("429")
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    job_id = caller.submit(url, "console-files").json()["job_id"]
    console.go(f"/jobs/{job_id}")
    stage.web.held["/console/asked"].set()
    expect(console.page.locator("main .status.t-completed")).to_be_visible()
    caller.close()


def test_an_endpoint_is_added_tried_and_its_deliveries_are_read_and_replayed(console: Console) -> None:
    page = console.go("/webhooks")
    page.get_by_role("button", name="Add an endpoint").first.click()
    page.get_by_label("Address").fill("https://hooks.invalid/ml")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("dialog")).to_contain_text("whsec_")
    secret = page.get_by_role("dialog").locator("copy-text").get_attribute("text")
    page.get_by_role("button", name="I have it").click()
    page.get_by_role("link", name="hooks.invalid/ml").click()
    page.get_by_role("button", name="Send a test").click()
    row = page.locator("data-table tbody tr", has_text="webhook.test")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(re.compile("dns failed|connect|unreachable|resolve"))
    page.get_by_role("button", name="Answer to webhook.test").click()
    expect(page.get_by_role("dialog")).to_contain_text("What it was told")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    with console.hearing("It is delivered again."):
        page.get_by_role("button", name="Deliver webhook.test again").click()
    assert secret
    assert secret not in page.content()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete the endpoint").click()
    expect(page.get_by_role("heading", name="Webhooks")).to_be_visible()


def add_orchard(stage: Stage) -> str:
    """Make a site of three pages, of which one links to the others and to one that is not there; return its address."""
    links = "".join(f"<a href='/orchard/{name}'>{name}</a> " for name in ("apples", "pears", "not-there"))
    for name in ("apples", "pears"):
        stage.web.add(f"/orchard/{name}", name, host=12)
    address = stage.web.add("/orchard/", "orchards", host=12)
    stage.web.pages["/orchard/"] = stage.web.pages["/orchard/"].replace("<main>", f"<main><p>{links}</p>")
    return address


def test_a_site_is_crawled_from_here_and_every_page_has_its_outcome_as_it_comes(console: Console, stage: Stage) -> None:
    page = console.go("/crawls")
    polled: list[str] = []
    page.on("request", lambda request: polled.append(request.url) if request.url.endswith("/runs/1") else None)
    page.get_by_role("button", name="Index a site").first.click()
    page.get_by_label("The site's address").fill(add_orchard(stage))
    page.get_by_label("Corpus").fill("orchard")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("heading", name="Run 1")).to_be_visible()
    expect(page.locator("main p .status").first).to_have_text(re.compile("completed"), timeout=90_000)
    for path, outcome in (("/orchard/apples", "new"), ("/orchard/pears", "new"), ("/orchard/not-there", "failed")):
        expect(page.locator("data-table tr", has_text=path).locator(".status")).to_have_text(outcome)
    assert len(polled) <= 2, "it asked again for what the stream tells"
    page.get_by_role("button", name="3 new").click()
    expect(page.locator("data-table tbody tr[data-key]")).to_have_count(3)
    expect(page.get_by_label("Outcome")).to_have_value("new")
    page.get_by_role("navigation", name="Where this is").get_by_role("link", name="orchard").click()
    expect(page.get_by_role("img", name=re.compile("3 new"))).to_be_visible()


def test_a_crawl_is_made_with_all_of_its_fields_changed_run_anew_and_deleted(console: Console, stage: Stage) -> None:
    made: list[dict[str, Any]] = []
    page = console.go("/crawls")
    changes: list[dict[str, Any]] = []
    page.on("request", lambda request: made.append(request.post_data_json) if request.method == "POST" else None)
    page.on("request", lambda request: changes.append(request.post_data_json) if request.method == "PATCH" else None)
    page.get_by_role("button", name="Index a site").first.click()
    page.get_by_label("The site's address").fill(add_orchard(stage))
    page.get_by_label("What it is").select_option("page")
    page.get_by_label("Look again").select_option("cron")
    page.get_by_label("Cron").fill("30 4 * * 1")
    page.get_by_label("Time zone").fill("Europe/Dublin")
    page.get_by_label("Corpus").fill("orchard-fields")
    page.get_by_text("What belongs to it").click()
    page.get_by_label("Only paths like").fill("/orchard/*\n/garden/*")
    page.get_by_label("Never paths like").fill("*/pears")
    page.get_by_label("Pages at most").fill("50")
    page.get_by_label("Links deep at most").fill("2")
    page.get_by_label("A page that is gone").select_option("keep")
    page.get_by_label("Links in pages").select_option("true")
    page.get_by_text("Hosts below the site's").click()
    page.get_by_text("How it is read").click()
    page.get_by_label("Scripts of pages").select_option("auto")
    page.get_by_label("Metadata").fill('{"team": "fruit"}')
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("heading", name="Run 1")).to_be_visible()
    asked = made[0]
    assert asked.pop("url").endswith("/orchard/")
    assert asked == {
        "source": "page",
        "include": ["/orchard/*", "/garden/*"],
        "exclude": ["*/pears"],
        "max_pages": 50,
        "max_depth": 2,
        "on_gone": "keep",
        "subdomains": True,
        "keep_query": False,
        "schedule": {"cron": "30 4 * * 1", "timezone": "Europe/Dublin"},
        "follow_links": True,
        "corpus_name": "orchard-fields",
        "chunking": {"max_tokens": 512, "overlap_tokens": 64, "strategy": "markdown"},
        "render": "auto",
        "metadata": {"team": "fruit"},
    }
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("navigation", name="Where this is").get_by_role("link", name="orchard").click()
    expect(page.locator("main")).to_contain_text("30 4 * * 1 (Europe/Dublin)")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("main .status").first).to_have_text("paused")
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Change").click()
    page.get_by_label("Look again").select_option("every")
    page.get_by_label("Every", exact=True).fill("2")
    page.get_by_label("Unit").select_option("w")
    page.get_by_label("Never paths like").fill("")
    page.get_by_label("Pages at most").fill("3")
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("How it is cut").click()
    dialog.get_by_label("Tokens a chunk").fill("256")
    dialog.get_by_text("How it is read").click()
    expect(dialog.get_by_label("Scripts of pages")).to_have_value("auto")
    expect(dialog.get_by_label("Metadata")).to_have_value(re.compile('"team": "fruit"'))
    expect(dialog.get_by_text("Index it anew")).to_have_count(0)
    dialog.get_by_label("Metadata").fill("")
    page.get_by_role("button", name="Change it").click()
    expect(page.locator("main")).to_contain_text("every 2 weeks")
    expect(page.locator("main")).to_contain_text("3 pages, 2 links deep")
    expect(page.locator("main")).not_to_contain_text("Never paths")
    expect(page.locator("main")).to_contain_text("by headings and paragraphs; at most 256 tokens, 64 of them shared")
    expect(page.locator("main")).to_contain_text("run in a browser where there is no text without")
    expect(page.locator("main")).not_to_contain_text("fruit")
    [change] = changes
    assert change["chunking"] == {"max_tokens": 256, "overlap_tokens": 64, "strategy": "markdown"}
    assert change["metadata"] == {}
    assert "render" not in change, "what was not touched stays as it is"
    page.get_by_role("button", name="Run now").click()
    page.get_by_text("every page anew").click()
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_role("heading", name="Run 2")).to_be_visible()
    assert made[-1] == {"force": True}
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("navigation", name="Where this is").get_by_role("link", name="orchard").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_label("Keep its documents")).to_be_checked()
    page.get_by_role("button", name="Delete the crawl").click()
    expect(page.get_by_role("heading", name="Crawls")).to_be_visible()


def test_a_glob_that_is_none_is_said_in_the_apis_words_and_nothing_that_was_typed_is_lost(console: Console) -> None:
    console.allowed.append("422")
    page = console.go("/crawls")
    page.get_by_role("button", name="Index a site").first.click()
    page.get_by_label("The site's address").fill("https://example.com/")
    page.get_by_text("What belongs to it").click()
    page.get_by_label("Only paths like").fill("docs")
    page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("begin it with / or *")
    expect(page.get_by_label("Only paths like")).to_have_value("docs")


def test_a_crawls_run_shows_what_became_of_every_page_as_a_list_and_by_path(console: Console) -> None:
    answers = {path: answer.model_dump(mode="json") for path, answer in crawl_answers().items()}
    confirmed: list[str] = []

    def answer(route: Route) -> None:
        path = route.request.url.partition("/orchestrator/")[2].partition("?")[0]
        if path.endswith("/confirm"):
            confirmed.append(route.request.method)
            answers[f"crawls/{CRAWL}/runs/2"] |= {"held": None, "state": "completed", "ended_at": NOW.isoformat()}
        found = answers.get(path, answers[f"crawls/{CRAWL}/runs/2"] if path.endswith("/confirm") else None)
        if found is None:
            route.fulfill(status=404, body='{"code":"not_found","status":404}', content_type="application/problem+json")
            return
        body = dict(found)
        if path.endswith("/pages") and "outcome=failed" in route.request.url:
            body["items"] = [one for one in body["items"] if one["outcome"] == "failed"]
        route.fulfill(body=json.dumps(body), content_type="application/json")

    console.page.route("**/api/orchestrator/crawls**", answer)
    page = console.go("/crawls")
    page.get_by_role("link", name="https://site.test/docs/").click()
    page.get_by_role("link", name="#2").click()
    expect(page.locator("data-table tbody tr[data-key]")).to_have_count(4)
    expect(page.locator("data-table")).to_contain_text("robots disallowed")
    page.get_by_label("Outcome").select_option("failed")
    expect(page.locator("data-table tbody tr[data-key]")).to_have_count(1)
    page.get_by_label("Outcome").select_option("")
    page.get_by_text("By path").click()
    tree = page.get_by_role("list", name="Pages by path")
    tree.get_by_text("docs", exact=True).click()
    expect(tree.get_by_role("img", name="1 new, 1 changed", exact=True)).to_be_visible()  # of the folder a
    tree.get_by_text("b", exact=True).click()
    expect(tree).to_contain_text("three?x=%3Cb%3E")
    assert console.violations() == []
    page.get_by_role("button", name="Remove them").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove them").click()
    expect(page.get_by_text("would be removed")).to_have_count(0)
    assert confirmed == ["POST"]


def test_a_route_that_this_version_has_not_is_said_plainly(console: Console) -> None:
    missing = '{"title":"Not Found","status":404,"detail":"there is nothing at this path","code":"not_found"}'
    console.page.route(
        re.compile("/orchestrator/(crawls|webhooks|stats)"),
        lambda route: route.fulfill(status=404, body=missing, content_type="application/problem+json"),
    )
    for path, words in (("/crawls", "Crawling sites"), ("/webhooks", "webhooks"), ("/", "The overview of jobs")):
        page = console.page
        page.goto(f"{console.gateway}/#{path}")
        notice = page.locator(".notice.warn")
        expect(notice).to_contain_text("is not part of this fleet yet")
        expect(notice).to_contain_text(words)
