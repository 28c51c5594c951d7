"""Crawls and webhooks on the command line."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from cloudcix_ml.cli.app import app
from cloudcix_ml.cli.exits import Exit
from fake_gateway import KEY, NOW, FakeGateway, Received
from starlette.responses import JSONResponse, Response
from typer.testing import CliRunner, Result

SITE = "https://example.com/"
SECRET = "whsec_" + base64.b64encode(b"of the tests").decode()
CRAWLS = "/api/orchestrator/crawls"
WEBHOOKS = "/api/orchestrator/webhooks"
Cli = Callable[..., Result]


@pytest.fixture
def cli(gateway: FakeGateway, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("CLOUDCIX_ML_URL", gateway.url)
    monkeypatch.setenv("CLOUDCIX_ML_KEY", KEY)
    return lambda *words, given=None: CliRunner().invoke(app, list(words), input=given)


def answered(gateway: FakeGateway, method: str, path: str, *bodies: Any, status: int = 200) -> None:
    """Have a route answer so, the last one again and again."""
    waiting = list(bodies)

    def answer(_: Received) -> Response:
        body = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return Response(status_code=204) if body is None else JSONResponse(body, status)

    gateway.others[method, path] = answer


def run_of(state: str = "running", **more: Any) -> dict[str, Any]:
    facts = {"crawl_id": "c", "run": 1, "state": state, "trigger": "submitted", "pages": 9, "waiting": 3, "open": 2}
    ended = None if state == "running" else NOW
    return facts | {"outcomes": {"new": 4, "failed": 1}, "started_at": NOW, "ended_at": ended} | more


def test_a_site_is_crawled_and_followed_to_its_end(cli: Cli, gateway: FakeGateway) -> None:
    answered(gateway, "POST", CRAWLS, {"crawl_id": "c", "run": 1}, status=202)
    answered(gateway, "GET", f"{CRAWLS}/c/runs/1", run_of(), run_of(waiting=0), run_of("completed", open=0, waiting=0))
    done = cli("crawl", SITE, "--include", "/docs/*", "--every", "24h", "--max-pages", "50")
    assert done.exit_code == Exit.GOOD, done.output
    assert "run c/1: running (4 new, 1 failed, 2 under way, 3 waiting)" in done.stderr
    assert done.stdout == "run c/1: completed (4 new, 1 failed)\n"
    sent = gateway.received[0]
    assert sent.json == {
        "source": "site",
        "url": SITE,
        "corpus_name": "default",
        "include": ["/docs/*"],
        "max_pages": 50,
        "schedule": {"every": "24h"},
    }
    assert "idempotency-key" in sent.headers
    assert json.loads(cli("watch", "c/1", "--json").stdout)["state"] == "completed"


def test_a_crawl_is_asked_for_with_all_of_its_fields(cli: Cli, gateway: FakeGateway) -> None:
    answered(gateway, "POST", CRAWLS, {"crawl_id": "c", "run": 1}, status=202)
    words = (
        f"crawl {SITE} --source page -c docs --include /a/* --include /b/* --exclude /b/old/* --subdomains --no-links"
    )
    words += (
        " --max-pages 5 --max-depth 2 --keep-query --on-gone keep --timezone Europe/Dublin --render auto -m team=docs"
        " --max-tokens 256 --strategy sentence"
    )
    made = cli(*words.split(), "--cron", "0 3 * * 1", "--force", "--no-wait")
    assert (made.exit_code, made.stdout) == (Exit.GOOD, "c/1\n"), made.output
    assert gateway.received[0].json == {
        "source": "page",
        "url": SITE,
        "corpus_name": "docs",
        "include": ["/a/*", "/b/*"],
        "exclude": ["/b/old/*"],
        "subdomains": True,
        "follow_links": False,
        "max_pages": 5,
        "max_depth": 2,
        "keep_query": True,
        "on_gone": "keep",
        "schedule": {"cron": "0 3 * * 1", "timezone": "Europe/Dublin"},
        "render": "auto",
        "metadata": {"team": "docs"},
        "chunking": {"max_tokens": 256, "strategy": "sentence"},
        "force": True,
    }
    assert cli("crawl", SITE, SITE + "b", "--no-wait").exit_code == Exit.GOOD
    assert gateway.received[1].json == {"source": "list", "urls": [SITE, SITE + "b"], "corpus_name": "default"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("crawl", SITE, SITE, "--source", "feed"), "a feed has one URL"),
        (("crawl", SITE, "--every", "24h", "--cron", "0 3 * * 1"), "give one"),
        (("crawl", SITE, "--every", "3parsecs"), "one looks like 30m, 24h, 7d or 2w"),
        (("crawl", SITE, "--timezone", "UTC"), "--timezone is that of --cron"),
        (("crawls", "change", "c"), "nothing to change"),
        (("crawls", "change", "c", "--no-schedule", "--every", "1d"), "leave --every"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_asked(
    cli: Cli, gateway: FakeGateway, words: tuple[str, ...], said: str
) -> None:
    done = cli(*words)
    assert (done.exit_code, said in done.stderr) == (Exit.CONFIGURATION, True), done.output
    assert gateway.received == []


def test_a_crawl_is_shown_and_changed_and_what_is_not_said_stays(cli: Cli, gateway: FakeGateway) -> None:
    crawl = {"crawl_id": "c", "corpus_name": "x", "source": "site", "url": SITE, "max_pages": 9, "max_depth": 9}
    crawl |= {"submitted_at": NOW, "include": ["/a/*"], "schedule": {"cron": "0 3 * * 1", "timezone": "Europe/Dublin"}}
    for method in ("GET", "PATCH"):
        answered(gateway, method, f"{CRAWLS}/c", crawl)
    shown = cli("crawls", "show", "c").stdout
    assert "0 3 * * 1 (Europe/Dublin)" in shown
    assert "/a/*" in shown
    assert cli("crawls", "change", "c", "--every", "2w", "--max-pages", "7", "--no-subdomains").exit_code == Exit.GOOD
    assert gateway.received[-1].json == {"subdomains": False, "max_pages": 7, "schedule": {"every": "2w"}}
    assert cli("crawls", "change", "c", "--no-schedule", "--every-path", "--exclude", "/z").exit_code == Exit.GOOD
    assert gateway.received[-1].json == {"include": [], "exclude": ["/z"], "schedule": None}


def test_what_pages_of_a_crawl_are_made_with_and_which_a_list_has_is_shown_and_changed(
    cli: Cli, gateway: FakeGateway
) -> None:
    listed = [f"{SITE}{number}" for number in range(100)]
    crawl = {"crawl_id": "c", "corpus_name": "x", "source": "list", "max_pages": 9, "max_depth": 9, "submitted_at": NOW}
    crawl |= {"urls": 140, "listed": listed, "metadata": {"team": "docs"}, "render": "auto"}
    crawl |= {"chunking": {"max_tokens": 256, "overlap_tokens": 32, "strategy": "sentence"}}
    for method in ("GET", "PATCH"):
        answered(gateway, method, f"{CRAWLS}/c", crawl)
    shown = cli("crawls", "show", "c").stdout
    for told in ("a list of 140 pages", f"{SITE}0 ", f"{SITE}9 …", '{"team": "docs"}', "sentence: 256 tokens", "auto"):
        assert told in shown, shown
    words = ("--url", SITE, "--url", f"{SITE}b", "-m", "team=web", "--render", "never")
    assert cli("crawls", "change", "c", *words).exit_code == Exit.GOOD
    assert gateway.received[-1].json == {"urls": [SITE, f"{SITE}b"], "metadata": {"team": "web"}, "render": "never"}
    assert cli("crawls", "change", "c", "--overlap-tokens", "0").exit_code == Exit.GOOD
    whole = {"max_tokens": 256, "overlap_tokens": 0, "strategy": "sentence"}
    assert gateway.received[-1].json == {"chunking": whole}, "what is not said of it stays"


def test_a_run_is_shown_listed_and_cancelled(cli: Cli, gateway: FakeGateway) -> None:
    run = run_of(reasons={"failed": {"gone": 1}}, pages_per_minute=30.2)
    answered(gateway, "GET", f"{CRAWLS}/c/runs/1", run)
    answered(gateway, "GET", f"{CRAWLS}/c/runs", {"items": [run], "next_cursor": None})
    answered(gateway, "POST", f"{CRAWLS}/c/runs/1/cancel", run_of("cancelled"))
    lines = [line.split() for line in cli("runs", "show", "c/1").stdout.splitlines()]
    assert ["failed", "gone", "1"] in lines
    assert ["pages", "a", "minute", "30"] in lines
    assert cli("runs", "list", "c").stdout == cli("crawls", "runs", "c").stdout
    for words in (("runs", "cancel", "c/1"), ("cancel", "c/1")):
        answered(gateway, "POST", f"{CRAWLS}/c/runs/1/cancel", run_of("cancelled"))
        assert cli(*words).stdout == "cancelled: run c/1\n"
        answered(gateway, "POST", f"{CRAWLS}/c/runs/1/cancel", run_of("completed"))
        assert cli(*words).stdout.startswith("nothing to cancel: run c/1: completed (")
    assert cli("runs", "show", "c").exit_code == Exit.CONFIGURATION


def test_a_run_that_holds_back_removals_says_so_and_is_confirmed_when_somebody_does(
    cli: Cli, gateway: FakeGateway
) -> None:
    held = run_of("completed", held="mass_deletion", held_documents=400)
    answered(gateway, "GET", f"{CRAWLS}/c/runs/1", held)
    answered(gateway, "POST", f"{CRAWLS}/c/runs/1/confirm", run_of("completed_with_errors"))
    watched = cli("watch", "c/1")
    assert (watched.exit_code, "400 removals are held until you confirm" in watched.stdout) == (Exit.FAILED, True)
    assert cli("crawls", "confirm", "c/1").exit_code == Exit.CONFIGURATION
    assert gateway.times("POST", f"{CRAWLS}/c/runs/1/confirm") == 0
    for words in (("crawls", "confirm"), ("runs", "confirm")):
        done = cli(*words, "c/1", "--yes")
        assert (done.exit_code, done.stdout) == (Exit.GOOD, "The removal of 400 documents is under way.\n")
    told = cli("runs", "confirm", "c/1", "--yes", "--json")
    assert (told.exit_code, json.loads(told.stdout)["state"]) == (Exit.GOOD, "completed_with_errors")
    assert cli("crawls", "confirm", "c").exit_code == Exit.CONFIGURATION


def test_a_confirmation_that_is_refused_says_why(cli: Cli, gateway: FakeGateway) -> None:
    answered(gateway, "GET", f"{CRAWLS}/c/runs/1", run_of("completed", held="mass_deletion", held_documents=400))
    problem = {"status": 409, "code": "run_in_progress", "detail": "run 2 is under way"}
    answered(gateway, "POST", f"{CRAWLS}/c/runs/1/confirm", problem, status=409)
    done = cli("runs", "confirm", "c/1", "--yes")
    assert (done.exit_code, done.stdout) == (Exit.FAILED, "")
    assert "run 2 is under way" in done.stderr


def test_what_became_of_each_page_is_listed(cli: Cli, gateway: FakeGateway) -> None:
    page = {"url": SITE + "a\x1b[1m", "state": "ended", "outcome": "skipped", "reason": "trap", "depth": 3}
    answered(gateway, "GET", f"{CRAWLS}/c/runs/1/pages", {"items": [page], "next_cursor": None})
    listed = cli("crawls", "pages", "c/1", "--outcome", "skipped", "--reason", "trap")
    assert listed.stdout.splitlines()[1].split() == ["skipped", "trap", "3", SITE + "a[1m"]
    assert gateway.received[-1].query == {"outcome": "skipped", "reason": "trap"}


def test_a_crawl_is_listed_paused_run_and_deleted(cli: Cli, gateway: FakeGateway) -> None:
    crawl = {"crawl_id": "c", "corpus_name": "x", "source": "site", "max_pages": 9, "max_depth": 9, "submitted_at": NOW}
    answered(gateway, "GET", CRAWLS, {"items": [crawl], "next_cursor": None})
    answered(gateway, "GET", f"{CRAWLS}/c/runs", {"items": [run_of()], "next_cursor": None})
    answered(gateway, "POST", f"{CRAWLS}/c/pause", crawl | {"paused": True})
    answered(gateway, "POST", f"{CRAWLS}/c/runs", {"crawl_id": "c", "run": 2}, status=202)
    answered(gateway, "DELETE", f"{CRAWLS}/c", {"crawl_id": "c", "documents": "keep"}, status=202)
    assert "c" in cli("crawls").stdout
    assert "running" in cli("crawls", "runs", "c").stdout
    assert json.loads(cli("crawls", "pause", "c", "--json").stdout)["paused"] is True
    assert cli("crawls", "run", "c", "--force", "--no-wait", "-q").stdout == "c/2\n"
    assert gateway.received[-1].json == {"force": True}
    assert cli("crawls", "delete", "c", "--yes").exit_code == Exit.GOOD
    assert gateway.received[-1].query == {"documents": "keep"}


def test_a_webhooks_secret_is_the_result_and_nothing_else_shows_one(cli: Cli, gateway: FakeGateway) -> None:
    webhook = {"webhook_id": "w", "url": SITE, "events": ["job.failed"], "paused": False, "created_at": NOW}
    answered(gateway, "POST", WEBHOOKS, webhook | {"secret": SECRET}, status=201)
    answered(gateway, "GET", WEBHOOKS, {"items": [webhook], "next_cursor": None})
    made = cli("webhooks", "create", SITE, "-e", "job.failed")
    assert (made.exit_code, made.stdout, SECRET in made.stderr) == (Exit.GOOD, SECRET + "\n", False)
    assert "job.failed" in cli("webhooks").stdout


def test_what_was_told_is_listed_and_sent_again(cli: Cli, gateway: FakeGateway) -> None:
    delivery = {
        "delivery_id": "d",
        "type": "job.failed",
        "status": "failed",
        "attempts": 3,
        "data": {},
        "created_at": NOW,
    }
    log = {"items": [delivery | {"response_status": 500, "response_excerpt": "\x1b[2Jno"}], "next_cursor": None}
    answered(gateway, "GET", f"{WEBHOOKS}/w/deliveries", log)
    more = {"deliveries": 1000, "next_since": "2026-11-28T13:00:00Z"}
    answered(gateway, "POST", f"{WEBHOOKS}/w/replay", more, {"deliveries": 5, "next_since": None}, status=202)
    answered(gateway, "POST", f"{WEBHOOKS}/w/test", {"delivery_id": "t"}, status=202)
    answered(gateway, "POST", f"{WEBHOOKS}/w/deliveries/d/replay", {"delivery_id": "d"}, status=202)
    assert "[2Jno" in cli("webhooks", "deliveries", "w").stdout.replace("\x1b", "?")
    assert "sent again" in cli("webhooks", "replay", "w", "--delivery", "d").stderr
    again = cli("webhooks", "replay", "w", "--since", "2026-11-28T12:00:00Z", "--undelivered", "--json")
    assert json.loads(again.stdout) == {"deliveries": 1005}
    since = [one.json["since"] for one in gateway.received if one.path.endswith("w/replay")]
    assert since[1] == "2026-11-28T13:00:00Z"
    assert cli("webhooks", "replay", "w").exit_code == Exit.CONFIGURATION
    assert "Sent as t" in cli("webhooks", "test", "w").stderr


def test_a_webhook_is_checked_with_a_secret_that_is_not_on_the_command_line(cli: Cli, monkeypatch) -> None:
    body, at = '{"type": "job.failed"}', str(int(time.time()))
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, f"m.{at}.{body}".encode(), hashlib.sha256).digest()).decode()
    words = ["webhooks", "verify"]
    for header in ("webhook-id: m", f"webhook-timestamp: {at}", f"webhook-signature: v1,{signature}"):
        words += ["-H", header]
    assert cli(*words, given=body).exit_code == Exit.CONFIGURATION
    monkeypatch.setenv("CLOUDCIX_ML_WEBHOOK_SECRET", SECRET)
    assert cli(*words, given=body).stdout == "from the platform: job.failed\n"
    assert cli(*words, given=body + " ").exit_code == Exit.FAILED
