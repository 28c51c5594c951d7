"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

from typing import Any

import httpx
from conftest import ORCHESTRATOR_KEY, USER_KEY

import app as service
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.routes_walk import RouteWalk


def test_every_error_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(service, outside={"AbandonedError", "TokenizerFileError"})


def test_every_route_answers_what_is_wrong_with_a_problem(app: Any, client: httpx.Client) -> None:
    with RouteWalk(app, str(client.base_url), USER_KEY, [ORCHESTRATOR_KEY]) as walk:
        walk.everything()


def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(service) >= 2


def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(service) >= 0
