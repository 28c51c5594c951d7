"""What somebody has in hand in the console stays there: the focus, what was typed, what was copied, a file on its way."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from conftest import Stage
from e2e_browser import PLAIN_NAME, Console
from e2e_console_data import CRAWL, NOW, crawl_answers
from playwright.sync_api import Browser, Page, Route, expect

from ml_shared.contracts.jobs import JobAccepted, JobStatus, WaitingReason
from ml_shared.contracts.stats import StatsBucket, StatsFailure, StatsOpen, StatsView, StatsWaiting
from ml_shared.contracts.webhooks import DeliveryPage, DeliveryStatus, DeliveryView, WebhookCreated, WebhookList
from ml_shared.names import Stage as StageName

pytestmark = pytest.mark.xdist_group("fleet")

SECRET = "whsec_c2hvd24gb25jZSwgYW5kIG5vdCBhZ2Fpbg=="
WEBHOOK = WebhookCreated(
    webhook_id="1", url="https://hooks.invalid/ml", events=[], paused=False, created_at=NOW, secret=SECRET
)


def answer_crawls(page: Page, moved: Callable[[dict[str, Any]], None]) -> None:
    """Answer what is asked of one crawl; `moved` changes the answers before each one."""
    answers = {path: answer.model_dump(mode="json") for path, answer in crawl_answers().items()}

    def answer(route: Route) -> None:
        path = route.request.url.partition("/orchestrator/")[2].partition("?")[0]
        moved(answers)
        if path.endswith("/events"):
            run = json.dumps(answers[path.removesuffix("/events")])
            route.fulfill(body=f"data: {run}\n\n", content_type="text/event-stream")  # it ends, and is asked for again
        else:
            route.fulfill(body=json.dumps(answers[path]), content_type="application/json")

    page.route("**/api/orchestrator/crawls**", answer)


def answer_webhooks(page: Page) -> None:
    """Answer that there is no webhook, and that one is made."""
    page.route(
        "**/api/orchestrator/webhooks",
        lambda route: route.fulfill(
            body=(WEBHOOK if route.request.method == "POST" else WebhookList(items=[])).model_dump_json(),
            content_type="application/json",
        ),
    )


def add_webhook(page: Page) -> None:
    page.get_by_role("button", name="Add an endpoint").first.click()
    page.get_by_label("Address").fill("https://hooks.invalid/ml")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("dialog")).to_contain_text(SECRET)


def pasted(page: Page) -> str:
    """Return what is on the clipboard, as somebody gets it into a field."""
    page.keyboard.press("i")
    field = page.get_by_label("Addresses")
    field.press("Control+V")
    value = field.input_value()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    return value


def open_plainly(browser: Browser, stage: Stage) -> Console:
    """Open the console by a name and without HTTPS, where a browser does not trust it."""
    console = Console.open(browser, re.sub("//[^:/]+", f"//{PLAIN_NAME}", stage.fleet.gateway))
    console.allowed.append("Cross-Origin-Opener-Policy")  # which wants HTTPS, and of which the browser says so
    console.page.goto(console.gateway)
    console.type_key(stage.fleet.keys["user"])
    return console


def test_what_a_dialog_shows_is_copied_without_https_too(browser: Browser, stage: Stage) -> None:
    console = open_plainly(browser, stage)
    page = console.page
    assert not page.evaluate("() => isSecureContext")
    answer_webhooks(page)
    console.go("/webhooks")
    add_webhook(page)
    with console.hearing("Copied"):
        page.get_by_role("button", name="Copy the secret").click()
    page.get_by_role("button", name="I have it").click()
    assert pasted(page) == SECRET
    page.goto(f"{console.gateway}/#/search?q=drawer&corpus=kept-nothing")
    page.get_by_role("button", name="Copy as curl").click()
    with console.hearing("Copied."):
        page.get_by_role("dialog").get_by_role("button", name="Copy").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert '"query":"drawer"' in pasted(page)
    console.close()


def test_what_the_browser_does_not_let_be_copied_stays_there_to_be_chosen(browser: Browser, stage: Stage) -> None:
    console = open_plainly(browser, stage)
    page = console.page
    page.goto(f"{console.gateway}/#/search?q=drawer&corpus=kept-nothing")
    page.get_by_role("button", name="Copy as curl").click()
    dialog = page.get_by_role("dialog")
    # a field outside the dialog can't be chosen, and is none to copy from, whatever the browser says of it
    page.evaluate("() => { HTMLTextAreaElement.prototype.select = () => {}; }")
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("status")).to_contain_text("choose the text yourself")
    expect(dialog.locator("pre")).to_contain_text('"query":"drawer"')
    console.close()


def test_text_that_is_chosen_until_beside_a_dialog_does_not_close_it(console: Console) -> None:
    page = console.go("/jobs")
    page.keyboard.press("i")
    dialog, field = page.get_by_role("dialog"), page.get_by_label("Addresses")
    field.fill("https://one.example/a\nhttps://two.example/b")
    inside, around = field.bounding_box(), dialog.bounding_box()
    assert inside
    assert around
    here, beside = (inside["x"] + 60, inside["y"] + 12), (around["x"] - 40, inside["y"] + 14)
    for start, end in ((here, beside), (beside, here)):
        page.mouse.move(*start)
        page.mouse.down()
        page.mouse.move(*end, steps=5)
        page.mouse.up()
        expect(field).to_have_value("https://one.example/a\nhttps://two.example/b")
    page.mouse.click(*beside)
    expect(dialog).to_have_count(0)


def test_a_secret_that_is_shown_once_is_not_closed_by_a_press_beside_it(console: Console) -> None:
    answer_webhooks(console.page)
    page = console.go("/webhooks")
    add_webhook(page)
    page.mouse.click(10, 10)
    expect(page.get_by_role("dialog")).to_contain_text(SECRET)
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_file_may_take_as_long_as_the_line_does(console: Console) -> None:
    accepted = JobAccepted(job_id="0f0e0d0c-0b0a-4000-8000-000000000002", status=JobStatus.QUEUED).model_dump_json()
    page = console.go("/jobs")
    page.route(
        "**/orchestrator/documents",
        lambda route: route.fulfill(status=202, body=accepted, content_type="application/json"),
    )
    page.keyboard.press("i")
    page.get_by_role("dialog").get_by_text("A file", exact=True).click()
    page.get_by_label("File", exact=True).set_input_files(
        {"name": "bees.md", "mimeType": "text/markdown", "buffer": b"# Bees"}
    )
    # any limit is over at once
    page.evaluate("() => { AbortSignal.timeout = () => AbortSignal.abort(new DOMException('', 'TimeoutError')); }")
    with console.hearing("Taken in."):
        page.get_by_role("button", name="Index", exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_crawl_that_is_read_again_leaves_the_focus_and_a_dialog_gives_it_back(console: Console) -> None:
    crawl = f"crawls/{CRAWL}"

    def moved(answers: dict[str, Any]) -> None:
        answers[crawl]["documents"] += 1

    console.page.clock.install()
    answer_crawls(console.page, moved)
    page = console.go(f"/crawls/{CRAWL}")
    change = page.get_by_role("button", name="Change")
    documents = page.locator("dt", has_text="Documents").locator("+ dd")
    change.focus()
    before = documents.inner_text()
    console.let_time_pass()
    expect(documents).not_to_have_text(before)
    expect(change).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    console.page.unroute_all()

    def scheduled(answers: dict[str, Any]) -> None:
        answers[crawl] |= {"schedule": {"every": "2h"}, "max_pages": 77}

    answer_crawls(console.page, scheduled)
    console.let_time_pass()
    expect(page.locator("main").get_by_text("every 2 hours")).to_be_attached()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(change).to_be_focused()
    # what it is about is the crawl as it is now
    page.keyboard.press("Enter")
    expect(page.get_by_label("Pages at most")).to_have_value("77")


def test_a_run_that_goes_on_leaves_the_focus_where_it_is(console: Console) -> None:
    def moved(answers: dict[str, Any]) -> None:
        run = answers[f"crawls/{CRAWL}/runs/2"]
        run["pages"] += 1
        run["outcomes"]["new"] += 1
        run["reasons"]["skipped"]["robots_disallowed"] += 1
        if run["pages"] > 20:  # what is new stands before the others
            run["reasons"]["failed"]["fetch_timeout"] = 900

    answer_crawls(console.page, moved)
    page = console.go(f"/crawls/{CRAWL}/runs/2")
    pages = page.locator(".tile", has_text="Pages").locator("dd")
    for control in (
        page.get_by_role("button", name="Cancel"),
        page.get_by_role("button", name=re.compile(r"^\d+ new$")),
        page.get_by_role("button", name=re.compile(r"^\d+ robots disallowed$")),
    ):
        control.focus()
        for _ in range(3):
            before = pages.inner_text()
            expect(pages).not_to_have_text(before)
        expect(control).to_be_focused()
    expect(page.get_by_role("button", name="900 fetch timeout")).to_be_visible()
    expect(control).to_be_focused()
    remove = page.get_by_role("button", name="Remove them")
    remove.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    before = pages.inner_text()
    expect(pages).not_to_have_text(before)
    page.keyboard.press("Escape")
    expect(remove).to_be_focused()


def test_a_button_that_says_something_else_when_it_was_pressed_keeps_the_focus(console: Console) -> None:
    paused = [False]

    def scheduled(answers: dict[str, Any]) -> None:
        answers[f"crawls/{CRAWL}"] |= {"schedule": {"every": "2h"}, "paused": paused[0]}

    def pause(route: Route) -> None:
        paused[0] = True
        crawl = crawl_answers()[f"crawls/{CRAWL}"].model_dump(mode="json")
        body = crawl | {"schedule": {"every": "2h"}, "paused": True}
        route.fulfill(body=json.dumps(body), content_type="application/json")

    answer_crawls(console.page, scheduled)
    console.page.route("**/pause", pause)
    page = console.go(f"/crawls/{CRAWL}")
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_role("button", name="Go on")).to_be_focused()


def test_deliveries_that_come_leave_the_focus_on_the_button_of_the_same_one(console: Console) -> None:
    def delivery(number: int) -> DeliveryView:
        return DeliveryView(
            delivery_id=str(number),
            type=f"run.ended.{number}",
            status=DeliveryStatus.DELIVERED,
            attempts=1,
            data={},
            created_at=NOW,
        )

    asked = [0]

    def answer(route: Route) -> None:
        asked[0] += 1
        page = DeliveryPage(items=[delivery(number) for number in range(asked[0], 0, -1)])
        route.fulfill(body=page.model_dump_json(), content_type="application/json")

    console.page.clock.install()
    console.page.route("**/webhooks/1", lambda route: route.fulfill(body=WEBHOOK.model_dump_json()))
    console.page.route("**/webhooks/1/deliveries?*", answer)
    page = console.go("/webhooks/1")
    again = page.get_by_role("button", name="Deliver run.ended.1 again")
    again.focus()
    console.let_time_pass()
    expect(page.get_by_role("button", name="Deliver run.ended.2 again")).to_be_visible()
    expect(again).to_be_focused()
    told = page.get_by_role("button", name="Answer to run.ended.1", exact=True)
    told.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    number = asked[0] + 1
    console.let_time_pass()
    expect(page.locator(f'[aria-label="Deliver run.ended.{number} again"]')).to_be_attached()
    page.keyboard.press("Escape")
    expect(told).to_be_focused()


def test_the_overview_leaves_the_focus_where_it_is(console: Console) -> None:
    jobs = [0]

    def answer(route: Route) -> None:
        jobs[0] += 1
        failures = [StatsFailure(code="fetch_timeout", failed_stage=StageName.SCRAPING, jobs=900 + jobs[0])] * (
            jobs[0] > 1
        )
        stats = StatsView(
            since=NOW,
            step_seconds=3600,
            complete=True,
            open=StatsOpen(queued=1),
            buckets=[StatsBucket(at=NOW, failed=jobs[0])],
            waiting=[StatsWaiting(stage=StageName.SCRAPING, reason=WaitingReason.QUEUED, jobs=1, since=NOW)],
            failures=[*failures, StatsFailure(code="http_status", failed_stage=StageName.SCRAPING, jobs=jobs[0])],
        )
        route.fulfill(body=stats.model_dump_json(), content_type="application/json")

    console.page.clock.install()
    console.page.route("**/orchestrator/stats?*", answer)
    page = console.go("/")
    link = page.get_by_role("link", name=re.compile("http_status"))
    link.focus()
    console.let_time_pass()
    expect(page.get_by_role("link", name=re.compile("fetch_timeout"))).to_be_visible()  # before it
    expect(link).to_be_focused()
