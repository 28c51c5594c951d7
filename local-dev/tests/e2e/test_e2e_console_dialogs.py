"""A dialog whose submit fails keeps the focus: on a console of nginx alone, whose answers are made up."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from e2e_browser import Console
from e2e_console_data import NOW
from playwright.sync_api import Browser, Page, Route, expect

from ml_shared.testing.binaries import find_nginx
from ml_shared.testing.gateway import SERVICES, GatewayServer
from ml_shared.testing.plugin import require

GATEWAY_FOLDER = Path(__file__).parents[3] / "gateway-vm"
NOWHERE = dict.fromkeys(SERVICES, "127.0.0.1:9")
KNOWN = {"items": [], "next_cursor": None, "name": "a", "documents": 1, "chunks": 1, "tokens": 1, "model": "m"}
REFUSAL = {"type": "about:blank", "title": "No", "status": 409, "code": "conflict", "detail": "not as things are"}


def answer(route: Route) -> None:
    """Show what is asked for, and refuse to change anything."""
    if route.request.method == "GET":
        route.fulfill(body=json.dumps(KNOWN | {"updated_at": NOW.isoformat()}), content_type="application/json")
    else:
        route.fulfill(status=409, body=json.dumps(REFUSAL), content_type="application/problem+json")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = tmp_path_factory.mktemp("gateway")
    rates = {"GATEWAY_RATE_PER_IP": "10000r/s", "GATEWAY_RATE_PER_KEY": "10000r/s"}
    with GatewayServer(require(find_nginx), GATEWAY_FOLDER, state, upstreams=NOWHERE, **rates) as gateway:
        yield gateway.url


@pytest.fixture
def refusing(browser: Browser, address: str) -> Iterator[Console]:
    opened = Console.open(browser, address)
    opened.allowed.append("409 (Conflict)")
    opened.page.route("**/api/**", answer)
    opened.page.goto(f"{address}/#/webhooks")
    opened.type_key("a-key-of-the-tests")
    yield opened
    opened.close()


def index_a_page(page: Page) -> str:
    page.keyboard.press("i")
    page.get_by_label("Addresses").fill("https://example.com/")
    return "Index"


def add_a_webhook(page: Page) -> str:
    page.get_by_role("button", name="Add an endpoint").first.click()
    page.get_by_label("Address").fill("https://hooks.invalid/ml")
    return "Add it"


def delete_a_corpus(page: Page) -> str:
    page.get_by_role("button", name="Delete", exact=True).click()
    return "Delete the corpus"


@pytest.mark.parametrize(
    ("path", "begin"),
    [("/webhooks", index_a_page), ("/webhooks", add_a_webhook), ("/corpora/a", delete_a_corpus)],
    ids=["index", "webhook", "confirm"],
)
def test_a_dialog_whose_submit_fails_keeps_the_focus_on_its_button(
    refusing: Console, path: str, begin: Callable[[Page], str]
) -> None:
    page = refusing.go(path)
    verb = begin(page)
    dialog = page.get_by_role("dialog")
    submit = dialog.get_by_role("button", name=verb, exact=True)
    for _ in range(2):
        submit.press("Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("not as things are")
        expect(submit).to_be_focused()
