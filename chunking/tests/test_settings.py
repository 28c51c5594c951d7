"""`.env.example` and `Settings` name the same variables."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.config import Settings

SERVICE = Path(__file__).parent.parent
ELSEWHERE = {
    "REDIS_URL", "SERVICE_API_KEY", "ORCHESTRATOR_URL", "INTERNAL_CALLER_IDS", "MAX_QUEUE_DEPTH", "RESULTS_MAX_BYTES",
    "WORKER_METRICS_PORT", "LEASE_RENEW_SECONDS",
}  # fmt: skip
# of the common settings, those that only a service with Redis, a worker or internal routes has a use for


def test_the_example_names_every_setting_of_this_service_and_no_other() -> None:
    named = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (SERVICE / ".env.example").read_text(), re.MULTILINE))
    in_compose = set(re.findall(r"\$\{([A-Z0-9_]+)", (SERVICE / "docker-compose.yml").read_text()))
    # no VM sets these: its images come from a registry, and Compose names the project after the folder
    in_compose -= {"IMAGE_DIGEST", "COMPOSE_PROJECT_NAME"}
    assert named == (Settings.model_fields.keys() - ELSEWHERE) | in_compose


@pytest.mark.parametrize("name", ["TOKENIZER_FILE", "TOKENIZER_SHA256"])
def test_the_tokenizer_has_no_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(ValidationError, match=name):
        Settings(_env_file=None)


def test_the_sync_timeout_lies_below_the_gateways() -> None:
    assert Settings().SYNC_TIMEOUT_SECONDS == 12
