"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

from conftest import ORCHESTRATOR_KEY, USER_KEY
from sites import Site

import app as service
from app.core.errors import HttpStatusError
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.models_walk import check_models
from ml_shared.testing.routes_walk import RouteWalk
from ml_shared.testing.values_walk import ValuesWalk


def test_every_error_keeps_the_promises_of_the_tree() -> None:
    made = {HttpStatusError: lambda: HttpStatusError(503, retry_after_seconds=3)}
    errors_walk.walk(service, made=made, outside={"CommandError"})


def test_every_route_answers_what_is_wrong_with_a_problem(api: str) -> None:
    from app.main import app

    with RouteWalk(app, api, USER_KEY, [ORCHESTRATOR_KEY]) as walk:
        walk.everything()


def test_no_value_anywhere_is_a_fault_of_ours(api: str, site: Site) -> None:
    from app.main import app

    site.html("/page")
    hand_out = {
        "url": site.url("/page"),
        "job_id": "j",
        "attempt_id": "a",
        "owner": "key:a",
        "as_of": "2026-01-01T00:00:00Z",
        "submitted_at": "2026-01-01T00:00:00Z",
    }
    validators = {"if_none_match": '"abc"', "if_modified_since": "Mon, 06 May 2024 07:08:09 GMT"}
    hand_out |= validators | {"purpose": "page", "render": "auto", "content_ref": "c", "upload_type": "text/plain"}
    bodies = {
        "POST /scrape": {"url": site.url("/page"), "job_id": "mine", "render": "auto", **validators},
        "POST /links": {"url": site.url("/robots.txt"), "job_id": "mine", **validators},
        "POST /map": {"url": site.url("/page"), "job_id": "mine", "limit": 10, "search": "a page"},
        "POST /enqueue": hand_out,
        "POST /enqueue/batch": {"hand_outs": [hand_out | {"traceparent": "t", "alone": True}]},
    }
    with ValuesWalk(app, api, USER_KEY, [ORCHESTRATOR_KEY], bodies=bodies) as walk:
        assert walk.every_value() > 100


def test_every_field_of_a_body_takes_its_own_kind_within_a_bound(api: str) -> None:
    from app.main import app

    assert check_models(app) >= 8


def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(service) >= 2


def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(service) >= 2
