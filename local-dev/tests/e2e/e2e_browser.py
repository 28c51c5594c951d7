"""A browser for the console's tests: Debian's Chromium, driven by Playwright, and what it noticed while a page was used."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from ml_shared.testing.binaries import BinaryMissingError

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# no sandbox of its own: in a container there are no namespaces for one, and it opens nothing but this console
ARGUMENTS: Final = ("--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--force-color-profile=srgb")
PLAIN_NAME: Final = "console.test"
# this machine, as a name: unlike its address, a browser takes what is there for insecure where it is without HTTPS
WAIT_MS: Final = 60_000
_LISTEN: Final = """words => {
    delete document.documentElement.dataset.heard;
    const look = new MutationObserver(() => {
        const said = [...document.querySelectorAll("[role=status]")].map((one) => one.textContent);
        if (!said.some((one) => one.includes(words))) return;
        document.documentElement.dataset.heard = words;
        look.disconnect();
    });
    look.observe(document.body, { childList: true, subtree: true, characterData: true });
}"""
VIEWPORT: Final = {"width": 1360, "height": 860}
LONG_TASK_MICROSECONDS: Final = 200_000

expect.set_options(timeout=WAIT_MS)


def find_chromium() -> Path:
    """Return a Chromium.

    Raises
    ------
    BinaryMissingError
        If there is none.
    """
    for name in NAMES:
        if path := shutil.which(name):
            return Path(path)
    raise BinaryMissingError(
        "no Chromium here: install Debian's package chromium, or one that is on the PATH as chromium"
    )


def axe_source() -> str:
    """Return axe-core, as the package that is pinned for it has it."""
    found = find_spec("axe_playwright_python")
    assert found is not None
    assert found.submodule_search_locations
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@contextmanager
def open_browser(chromium: Path) -> Iterator[Browser]:
    """A browser without windows, until the block ends."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*ARGUMENTS, f"--host-resolver-rules=MAP {PLAIN_NAME} 127.0.0.1"]
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Console:
    """A tab with the console in it, and what happened there that must not."""

    context: BrowserContext
    page: Page
    gateway: str
    elsewhere: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=lambda: ["404 (Not Found)", "429 (Too Many Requests)"])
    # the browser's own words on a route that is not there, which the page says in its own, and on what is asked again

    @classmethod
    def open(cls, browser: Browser, gateway: str, *, key: str | None = None, **options: Any) -> "Console":
        """Open a tab of its own browser profile; with `key` as somebody who has typed it."""
        context = browser.new_context(**{"viewport": VIEWPORT, "reduced_motion": "reduce", **options})
        context.set_default_timeout(WAIT_MS)
        console = cls(context, context.new_page(), gateway)
        console.watch(console.page)
        if key is not None:
            console.page.goto(gateway)
            console.type_key(key)
        return console

    def watch(self, page: Page) -> None:
        page.on("request", lambda request: self._note_host(request.url))
        page.on(
            "console", lambda message: self._note(message.type, f"{message.text} {message.location.get('url', '')}")
        )
        page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note_host(self, url: str) -> None:
        if urlsplit(url).scheme in ("http", "https", "ws", "wss") and not url.startswith(f"{self.gateway}/"):
            self.elsewhere.append(url)

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(part in text for part in self.allowed):
            self.said.append(f"{kind}: {text}")

    def type_key(self, key: str) -> None:
        self.page.get_by_label("API key").fill(key)
        self.page.keyboard.press("Enter")
        expect(self.page.get_by_role("navigation", name="Pages")).to_be_visible(timeout=WAIT_MS)

    def go(self, path: str) -> Page:
        """Show a page, and wait until it has nothing left to load."""
        self.page.goto(f"{self.gateway}/#{path}")
        self.settled()
        return self.page

    def settled(self) -> None:
        expect(self.page.locator("main h1").first).to_be_visible(timeout=WAIT_MS)
        expect(self.page.locator(".skeleton")).to_have_count(0, timeout=WAIT_MS)

    def let_time_pass(self, seconds: float = 30) -> None:
        """Have what the page does after a while be done now: reading again what it shows, say.

        Where that was not due yet, because an earlier answer is still to come, it is done in its own time.
        """
        self.page.clock.fast_forward(round(seconds * 1000))

    @contextmanager
    def hearing(self, words: str) -> Iterator[None]:
        """Wait until the page has said these words, from the block's beginning on: some stand there for a second or two."""
        self.page.evaluate(_LISTEN, words)
        yield
        expect(self.page.locator("html[data-heard]")).to_be_attached()

    def close(self) -> None:
        """Close the tab.

        Raises
        ------
        AssertionError
            If it asked another host for something, or complained.
        """
        self.context.close()
        assert self.elsewhere == [], self.elsewhere
        assert self.said == [], self.said

    def violations(self, rules: list[str] | None = None) -> list[str]:
        """Return what axe-core has against the page as it is."""
        self.page.evaluate(axe_source())
        options = {"runOnly": {"type": "rule", "values": rules}} if rules else {}
        found = self.page.evaluate("options => axe.run(document, {resultTypes: ['violations'], ...options})", options)
        return [
            f"{one['id']}: {one['help']}: {json.dumps([node['html'][:200] + ' ' + node['failureSummary'] for node in one['nodes'][:3]])}"
            for one in found["violations"]
        ]

    def longest_task(self, work: Callable[[], None]) -> float:
        """Return how long the longest task of the page's main thread computed meanwhile, in microseconds.

        What it computed, not how long it took: on a machine that others use, too, a task is often only waiting.
        """
        session = self.context.new_cdp_session(self.page)
        events: list[dict[str, Any]] = []
        ended: list[bool] = []
        session.on("Tracing.dataCollected", lambda data: events.extend(data["value"]))
        session.on("Tracing.tracingComplete", lambda _: ended.append(True))
        session.send("Tracing.start", {"categories": "-*,toplevel,__metadata", "transferMode": "ReportEvents"})
        try:
            work()
        finally:
            session.send("Tracing.end")
            while not ended:
                self.page.wait_for_timeout(20)
        mains = {
            (one["pid"], one["tid"])
            for one in events
            if one.get("name") == "thread_name" and one["args"].get("name") == "CrRendererMain"
        }
        tasks = [one["tdur"] for one in events if (one.get("pid"), one.get("tid")) in mains and "tdur" in one]
        assert tasks, "the browser told of no task"
        return float(max(tasks))
