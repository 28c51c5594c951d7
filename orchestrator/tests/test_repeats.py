"""What is asked for twice happens once: each POST takes an `Idempotency-Key`, or a repeat of it makes nothing by itself."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

OPENAPI: Final = Path(__file__).parents[1] / "openapi.json"
BY_ITSELF: Final = {
    "/jobs/{job_id}/cancel": "a cancelled job is cancelled",
    "/jobs/{job_id}/retry": "a job is tried again as one job: the answer is that one's",
    "/batches/{batch_id}/cancel": "a cancelled batch is cancelled",
    "/batches/{batch_id}/retry": "a batch is tried again as one batch, until more of it has failed",
    "/crawls/{crawl_id}/pause": "a paused crawl is paused",
    "/crawls/{crawl_id}/resume": "a resumed crawl is resumed",
    "/crawls/{crawl_id}/runs/{run}/cancel": "a cancelled run is cancelled",
    "/crawls/{crawl_id}/runs/{run}/confirm": "what is confirmed is held no more: `409 not_held`",
    "/webhooks/{webhook_id}/test": "one test waits at a time, and tells a receiver nothing that it has to do",
    "/webhooks/{webhook_id}/replay": "it makes no delivery: a receiver knows them by their `webhook-id`",
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": "likewise",
}
INTERNAL: Final = {
    *("/jobs/{job_id}/complete", "/jobs/{job_id}/progress", "/content", "/content/{ref}/start", "/content/reports")
}
"""Fenced: by the attempt that they name."""


def posts() -> dict[str, list[dict[str, Any]]]:
    paths = json.loads(OPENAPI.read_text())["paths"]
    return {
        path: operations["post"].get("parameters", []) for path, operations in paths.items() if "post" in operations
    }


@pytest.mark.parametrize("path", sorted(posts()))
def test_a_post_takes_a_key_or_says_why_a_repeat_of_it_makes_nothing(path: str) -> None:
    taken = [one for one in posts()[path] if (one["in"], one["name"].lower()) == ("header", "idempotency-key")]
    assert bool(taken) is not (path in BY_ITSELF or path in INTERNAL), path


def test_what_is_said_of_repeats_is_said_of_routes_that_there_are() -> None:
    assert {*BY_ITSELF, *INTERNAL} <= set(posts())
