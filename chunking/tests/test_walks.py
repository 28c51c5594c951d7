"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

from typing import Any

import httpx
from conftest import ORCHESTRATOR_KEY, USER_KEY

import app as service
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.models_walk import check_models
from ml_shared.testing.routes_walk import RouteWalk
from ml_shared.testing.values_walk import ValuesWalk


def test_every_error_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(service, outside={"AbandonedError", "TokenizerFileError"})


def test_every_route_answers_what_is_wrong_with_a_problem(app: Any, client: httpx.Client) -> None:
    with RouteWalk(app, str(client.base_url), USER_KEY, [ORCHESTRATOR_KEY]) as walk:
        walk.everything()


CHUNK = {
    "text": "# Title\n\nSome words.",
    "format": "markdown",
    "max_tokens": 64,
    "overlap_tokens": 8,
    "repeat_table_header": True,
    "pages": [{"number": 1, "start": 0}],
    "strategy": "markdown",
    "job_id": "mine",
}


def test_no_value_anywhere_is_a_fault_of_ours(app: Any, client: httpx.Client) -> None:
    with ValuesWalk(app, str(client.base_url), USER_KEY, [ORCHESTRATOR_KEY], bodies={"POST /chunk": CHUNK}) as walk:
        assert walk.every_value() > 100


def test_every_field_of_a_body_takes_its_own_kind_within_a_bound(app: Any) -> None:
    assert check_models(app) >= 6


def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(service) >= 2


def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(service) == 0  # it knows of none
