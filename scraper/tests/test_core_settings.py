"""Settings, and what the core may depend on."""

import ast
import ipaddress
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

SERVICE = Path(__file__).parents[1]


def test_the_example_names_every_setting_and_no_other(settings: Any) -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (SERVICE / ".env.example").read_text(), re.MULTILINE))
    in_compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (SERVICE / "docker-compose.yml").read_text()))
    # no VM sets these: its images come from a registry, and Compose knows its project
    in_compose -= {"IMAGE_DIGEST", "COMPOSE_PROJECT_NAME"}
    # and reads this one for itself
    assert named == set(type(settings).model_fields) | in_compose | {"COMPOSE_PROFILES"}


def test_lists_are_written_with_commas(settings: Any) -> None:
    changed = type(settings)(ALLOWED_PRIVATE_NETWORKS="10.1.0.0/16, fd00::/8", ALLOWED_PORTS="8080,8443")
    assert (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8")) == changed.ALLOWED_PRIVATE_NETWORKS
    assert changed.ALLOWED_PORTS == (8080, 8443)
    prefixes = type(settings)(NAT64_PREFIXES="64:ff9b::/96, 2001:db8:64::/48").NAT64_PREFIXES
    assert [str(prefix) for prefix in prefixes] == ["64:ff9b::/96", "2001:db8:64::/48"]
    empty = type(settings)(ALLOWED_PRIVATE_NETWORKS="", ALLOWED_PORTS="")
    assert (empty.ALLOWED_PRIVATE_NETWORKS, empty.ALLOWED_PORTS) == ((), ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"ALLOWED_PRIVATE_NETWORKS": "10.1.0.1/16"},
        {"ALLOWED_PRIVATE_NETWORKS": "everything"},
        {"NAT64_PREFIXES": "64:ff9b::/95"},
        {"NAT64_PREFIXES": "64:ff9b::1/96"},
        {"NAT64_PREFIXES": "10.0.0.0/8"},
        {"NAT64_PREFIXES": "true"},
        {"ALLOWED_PORTS": "0"},
        {"ALLOWED_PORTS": "http"},
        {"USER_AGENT": "A Bot/1.0"},
        {"USER_AGENT": "Bot/1.0\r\nX-Evil: 1"},
    ],
)
def test_what_is_written_wrongly_stops_the_start(settings: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        type(settings)(**wrong)


def test_the_core_knows_nothing_of_fastapi_and_celery() -> None:
    for path in (SERVICE / "app" / "core").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("fastapi", "starlette", "celery", "kombu"), path
                assert not name.startswith(("app.api", "app.worker", "app.main")), path
