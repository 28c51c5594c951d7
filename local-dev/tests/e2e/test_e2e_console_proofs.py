"""What the console promises whatever it shows: everybody can use it, nothing gets into it, and nothing makes it freeze."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Stage
from e2e_browser import LONG_TASK_MICROSECONDS, Console
from e2e_caller import Caller
from e2e_console_data import LONG_CHUNKS, LONG_CORPUS, MANY_JOBS, WORD_CHUNK, forget_jobs, long_document, many_jobs
from playwright.sync_api import Browser, expect

from ml_shared.testing.pace import slowness
from ml_shared.testing.servers import wait_until

pytestmark = pytest.mark.xdist_group("fleet")

PICTURES = Path(__file__).resolve().parents[3] / "gateway-vm" / "console" / "pictures"
KEPT = bool(os.environ.get("CONSOLE_PICTURES"))
RUN_SECONDS = 300.0
HOSTILE = "</title><script>window.harmed = 1</script><img src=x onerror='window.harmed = 2'> \u202egnp.exe \u2066 & \"quoted\""


@pytest.fixture(scope="module")
def hostile(stage: Stage) -> Iterator[str]:
    """A page that would run something where its words are taken for markup; returns its document's path in the console."""
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;")
    body = f"<main><h1>{escaped}</h1><h2>{escaped}</h2><p>{escaped} {'m' * 20_000} {escaped} is what this page says.</p></main>"
    stage.web.pages["/hostile/<svg onload=1>"] = (
        f"<html><head><title>{escaped}</title></head><body>{body}</body></html>"
    )
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    caller.index(stage.web.url("/hostile/%3Csvg%20onload=1%3E", host=9), "hostile")
    document = caller.request("GET", "/api/embedding/corpora/hostile/documents").json()["items"][0]
    yield f"/corpora/hostile/{document['document_id']}"
    caller.close()


@pytest.fixture(scope="module")
def paths(stage: Stage, hostile: str) -> list[str]:
    """Every page of the console, with something on it."""
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    urls = [stage.web.add(f"/proof/{number}", f"proof {number}", host=10 + number) for number in range(2)]
    batch = caller.request("POST", "/api/orchestrator/jobs/batch", json={"urls": urls, "corpus_name": "proof"}).json()
    for job in batch["jobs"]:
        caller.wait(job["job_id"])
    wanted = {
        "source": "list",
        "urls": urls,
        "corpus_name": "proof",
        "schedule": {"every": "7d"},
        "include": ["/proof/*"],
    }
    crawl = caller.request("POST", "/api/orchestrator/crawls", json=wanted).json()["crawl_id"]
    caller.close()
    return [
        *("/", "/jobs", f"/jobs/{batch['jobs'][0]['job_id']}", "/batches", f"/batches/{batch['batch_id']}", "/crawls"),
        *("/corpora", "/corpora/proof", hostile, "/search?corpus=hostile&q=page&mode=all", "/webhooks", "/api"),
        *(f"/crawls/{crawl}", f"/crawls/{crawl}/runs/1", f"/crawls/{crawl}/runs/1?as=tree"),
    ]


def test_axe_finds_nothing_on_any_page_in_light_or_dark(console: Console, paths: list[str]) -> None:
    found: dict[str, list[str]] = {}
    for path in paths:
        console.page.emulate_media(color_scheme="light")
        console.go(path)
        found[f"{path}, light"] = console.violations()
        console.page.emulate_media(color_scheme="dark")
        found[f"{path}, dark"] = console.violations(["color-contrast"])
    assert {path: said for path, said in found.items() if said} == {}


def test_axe_finds_nothing_where_the_key_is_asked_for_and_in_a_dialog(browser: Browser, stage: Stage) -> None:
    console = Console.open(browser, stage.fleet.gateway, color_scheme="dark")
    console.page.goto(stage.fleet.gateway)
    expect(console.page.get_by_label("API key")).to_be_visible()
    assert console.violations() == []
    console.type_key(stage.fleet.keys["user"])
    for kind in ("Pages", "A site", "A file"):
        console.page.keyboard.press("i")
        dialog = console.page.get_by_role("dialog")
        dialog.get_by_text(kind, exact=True).click()
        for fold in dialog.locator("summary").all():
            fold.click()
        assert console.violations() == [], kind
        console.page.keyboard.press("Escape")
        expect(console.page.get_by_role("dialog")).to_be_hidden()
    console.close()


def test_no_page_is_wider_than_a_small_telephone(browser: Browser, stage: Stage, paths: list[str]) -> None:
    console = Console.open(
        browser, stage.fleet.gateway, key=stage.fleet.keys["user"], viewport={"width": 360, "height": 740}
    )
    for path in paths:
        console.go(path)
        wide = console.page.evaluate(
            "() => [document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]"
        )
        assert wide[0] <= wide[1], path
    console.close()


def test_hostile_titles_and_texts_are_shown_as_what_they_are(console: Console, hostile: str, stage: Stage) -> None:
    page = console.page
    for path in (
        hostile,
        "/corpora/hostile",
        "/jobs?host=" + stage.web.url("", host=9)[7:],
        "/search?corpus=hostile&q=page+says&mode=all",
    ):
        console.go(path)
        expect(page.locator("main")).to_contain_text(re.compile("svg|script|hostile"))
        assert page.evaluate("() => window.harmed") is None
        assert page.locator("main :is(script, iframe, object, embed, form[action]), main img").count() == 0
        turned = page.evaluate(
            """() => [...document.querySelectorAll("h1, h3, td, .where, .crumbs, title")].filter((one) => /[\\u202a-\\u202e\\u2066-\\u2069]/.test(one.textContent)).length"""
        )
        assert turned == 0, "a line is turned around by what stands in it"
    console.go(hostile)
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>")
    expect(page.get_by_role("region", name="The text, with its chunks")).to_contain_text("onerror='window.harmed = 2'")


def test_nothing_from_elsewhere_would_be_taken_even_if_a_page_asked_for_it(console: Console) -> None:
    console.allowed += ["Content Security Policy", "TrustedHTML", "Refused", "violates"]
    page = console.go("/jobs")
    assert (
        page.evaluate(
            "() => { try { document.body.innerHTML += '<b>x</b>'; return 'taken'; } catch (error) { return error.name; } }"
        )
        == "TypeError"
    )
    said = page.evaluate(
        """() => new Promise((resolve) => {
            addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.head.append(style);
        })"""
    )
    assert said.startswith("style-src")


def test_ten_thousand_jobs_scroll_without_a_long_task(browser: Browser, stage: Stage) -> None:
    owner = f"key:{stage.fleet.keys.hash_of('other-user')}"
    many_jobs(stage, owner)
    try:
        console = Console.open(browser, stage.fleet.gateway, key=stage.fleet.keys["other-user"])
        page = console.page

        def to_the_end() -> None:
            console.go("/jobs?host=many.test")
            page.locator("a.row-link").first.focus()
            for _ in range(3 * MANY_JOBS // 200):
                page.keyboard.press("End")
                if page.locator("data-table .below", has_text=f"{MANY_JOBS:,} jobs").count():
                    break
                page.wait_for_timeout(60)
            expect(page.locator("data-table .below")).to_contain_text(f"{MANY_JOBS:,} jobs")
            page.keyboard.press("End")
            expect(page.locator("a.row-link:focus")).to_contain_text(f"/page/{MANY_JOBS}")
            page.keyboard.press("Home")
            expect(page.locator("a.row-link:focus")).to_contain_text("/page/1")

        longest = console.longest_task(to_the_end)
        assert longest < LONG_TASK_MICROSECONDS * slowness()
        assert page.locator("data-table tbody tr").count() < 100, "rows that nobody sees are in the page"
        console.close()
    finally:
        forget_jobs(stage, owner)


def test_a_document_of_five_megabytes_is_drawn_and_scrolled_without_a_long_task(console: Console, stage: Stage) -> None:
    document = long_document(stage, f"key:{stage.fleet.keys.hash_of('user')}")
    page = console.page
    text = page.get_by_role("region", name="The text, with its chunks")

    def read() -> None:
        page.goto(f"{console.gateway}/#/corpora/{LONG_CORPUS}/{document}")
        # by its place: looking for words in all of it would be the longest task here
        expect(page.locator("main .document > div > p")).to_have_text(
            f"{LONG_CHUNKS:,} of {LONG_CHUNKS:,} chunks", timeout=90_000
        )
        for share in (0.25, 0.5, 0.75, 1):
            text.evaluate("(element, share) => { element.scrollTop = element.scrollHeight * share; }", share)
            page.wait_for_timeout(150)

    longest = console.longest_task(read)
    assert longest < LONG_TASK_MICROSECONDS * slowness()
    expect(text.locator(f".piece[data-chunk='{LONG_CHUNKS - 1}']")).to_be_in_viewport()
    assert text.locator(f".piece[data-chunk='{WORD_CHUNK}']").count() == 1
    drawn = text.evaluate(
        "element => [...element.querySelectorAll('.words')].reduce((sum, one) => sum + one.textContent.length, 0)"
    )
    assert drawn > 4_500_000
    assert text.evaluate("element => element.scrollWidth <= element.clientWidth"), "a word of a megabyte makes it wider"


def shown_in_pictures(stage: Stage, paths: list[str]) -> dict[str, str]:
    """Return what is to be seen: what the other tests made, or the demo's pages where the pictures are to be kept."""
    if not KEPT:
        return {
            "overview": "/",
            "job": paths[2],
            "document": paths[8],
            "search": paths[9],
            "dark": paths[5],
            "run": paths[-1],
        }
    caller = Caller(stage.fleet.gateway, stage.fleet.keys["user"])
    site = stage.fleet.addresses.url("demo-site")
    urls = [
        f"{site}/docs/{name}" for name in ("search", "errors", "tracing", "rate-limits", "identity-and-keys", "retired")
    ]
    urls += [f"{site}/readme/chunking", f"{site}/private/plans"]
    jobs = caller.request("POST", "/api/orchestrator/jobs/batch", json={"urls": urls, "corpus_name": "demo"}).json()[
        "jobs"
    ]
    for job in jobs:
        caller.wait(job["job_id"], 180)
    wanted = {"source": "site", "url": f"{site}/", "corpus_name": "demo-site", "schedule": {"every": "24h"}}
    crawl = caller.request("POST", "/api/orchestrator/crawls", json=wanted).json()["crawl_id"]
    run = f"/crawls/{crawl}/runs/1"
    assert wait_until(
        lambda: bool(caller.request("GET", f"/api/orchestrator{run}").json().get("ended_at")), RUN_SECONDS
    )
    documents = caller.request("GET", "/api/embedding/corpora/demo/documents").json()["items"]
    longest = max(documents, key=lambda one: one["chunks"])
    caller.close()
    return {
        "overview": "/?hours=1",
        "job": f"/jobs/{jobs[0]['job_id']}",
        "document": f"/corpora/demo/{longest['document_id']}?chunk=1",
        "search": "/search?corpus=demo&mode=all&q=How+long+is+a+revoked+API+key+still+accepted",
        "dark": "/search?corpus=demo&q=How+long+is+a+revoked+API+key+still+accepted",
        "run": f"{run}?as=tree",
    }


def test_pictures_of_the_main_pages(browser: Browser, stage: Stage, paths: list[str]) -> None:
    """They stand in the console's README; `CONSOLE_PICTURES=1` puts the new ones there."""
    size = {"width": 1280, "height": 800}
    console = Console.open(browser, stage.fleet.gateway, key=stage.fleet.keys["user"], viewport=size)
    for name, path in shown_in_pictures(stage, paths).items():
        console.page.emulate_media(color_scheme="dark" if name == "dark" else "light")
        console.go(path)
        picture = console.page.screenshot(path=PICTURES / f"{name}.png" if KEPT else None)
        assert len(picture) > 10_000
    console.close()
