"""Every error, every route and every span attribute of the service, held to what the library promises of them."""

from typing import Any

import pytest
from conftest import ALICE, EMBEDDING, SCRAPER

import app as service
from ml_shared.testing import attributes_walk, errors_walk, urls_walk
from ml_shared.testing.http_server import ThreadedServer
from ml_shared.testing.routes_walk import RouteWalk


def test_every_error_keeps_the_promises_of_the_tree() -> None:
    errors_walk.walk(service)


def test_every_route_answers_what_is_wrong_with_a_problem(configured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.main import app

    # the tests of one process share its telemetry, which a service that stops would end
    monkeypatch.setattr("ml_shared.service.shutdown_telemetry", lambda: None)
    with ThreadedServer(app) as server, RouteWalk(app, server.url, ALICE, [SCRAPER, EMBEDDING]) as walk:
        walk.everything()


def test_every_attribute_that_the_service_sets_is_of_the_vocabulary() -> None:
    assert attributes_walk.walk(service) >= 8


def test_every_url_that_the_service_tells_of_is_told_by_the_one_function() -> None:
    assert urls_walk.walk(service) >= 3
