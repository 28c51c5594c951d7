"""The settings of each service when the whole fleet runs on this machine."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass

from standins.weights import DIMENSIONS, MAX_TOKENS, MODEL_NAME, TOKENIZER_SHA256, model_folder

from fleet.keys import Keys
from fleet.ports import HOST
from fleet.telemetry import telemetry_settings
from ml_shared.names import Service
from ml_shared.store_urls import postgres_url, redis_url

Overrides = Mapping[str, Mapping[str, str]]
OVERRIDE_PREFIX = "FLEET_"


@dataclass(frozen=True)
class Addresses:
    """The ports of a fleet, as the URLs that its settings want."""

    ports: Mapping[str, int]
    keys: Keys

    def url(self, name: str, path: str = "") -> str:
        """Return where a program serves HTTP."""
        return f"http://{HOST}:{self.ports[name]}{path}"

    def redis(self, name: str) -> str:
        """Return a Redis' URL, password included."""
        return redis_url(HOST, self.ports[name], password=self.keys[name])

    def database(self, server: str, name: str) -> str:
        """Return a database's URL, password included."""
        return postgres_url(HOST, self.ports[server], name, user="postgres", password=self.keys[server])


def _renderer_url(at: Addresses) -> str:
    """Return where this fleet's renderer listens: in a short path, since a socket's has a hundred letters at most."""
    return f"unix://{tempfile.gettempdir()}/ml-renderer-{at.ports['scraper']}.sock"


def overrides_from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return what `FLEET_<SERVICE>_<SETTING>=value` asks for, by service."""
    found: dict[str, dict[str, str]] = {}
    for name, value in environment.items():
        for service in Service:
            prefix = f"{OVERRIDE_PREFIX}{service.upper()}_"
            if name.startswith(prefix) and len(name) > len(prefix):
                found.setdefault(service, {})[name.removeprefix(prefix)] = value
    return found


def service_settings(
    addresses: Addresses, overrides: Overrides, sink: str | None = None
) -> dict[Service, dict[str, str]]:
    """Return each service's environment, without what differs between its processes.

    Parameters
    ----------
    sink
        Where spans go unless the caller's environment says otherwise.
    """
    at, keys = addresses, addresses.keys
    common = {
        "ENVIRONMENT": "local",
        "SERVICE_VERSION": os.environ.get("SERVICE_VERSION", "dev"),
        "MEMBERSHIP_URL": at.url("membership"),
        "REMAP_SIGTERM": "SIGQUIT",  # Celery then hands back what it is working on instead of waiting for it
        **telemetry_settings(sink),
    }
    reporting = {
        "ORCHESTRATOR_URL": at.url("gateway", "/api/orchestrator"),
        "ORCHESTRATOR_KEY_HASH": keys.hash_of("orchestrator"),
    }
    tokenizer = {"TOKENIZER_FILE": str(model_folder() / "tokenizer.json"), "TOKENIZER_SHA256": TOKENIZER_SHA256}
    settings: dict[Service, dict[str, str]] = {
        Service.ORCHESTRATOR: {
            "OTEL_SERVICE_NAME": "orchestrator",
            "REDIS_URL": at.redis("redis-orch"),
            "DATABASE_URL": at.database("postgres", "ml_jobs"),
            "CONTENT_STORE_URL": at.database("postgres", "ml_content"),
            "SCRAPER_URL": at.url("scraper"),
            "CHUNKING_URL": at.url("chunking"),
            "EMBEDDING_URL": at.url("embedding"),
            "SERVICE_API_KEY": keys["orchestrator"],
            "INTERNAL_CALLER_IDS": ",".join(f"{name}={keys.hash_of(name)}" for name in ("scraper", "embedding")),
            "WEBHOOK_SECRET_KEY": keys["webhooks"],
            "WEBHOOK_PRIVATE_NETWORKS": f"{HOST}/32",
        },
        Service.SCRAPER: {
            "OTEL_SERVICE_NAME": "scraper",
            "REDIS_URL": at.redis("redis-scrape"),
            "SERVICE_API_KEY": keys["scraper"],
            "ALLOWED_PRIVATE_NETWORKS": f"{HOST}/32",
            "ALLOWED_PORTS": str(at.ports["demo-site"]),
            "HOST_DELAY_SECONDS": "0.5",  # the demonstration's site is ours, and its robots.txt asks for less still
            "RENDERER_URL": _renderer_url(at) if shutil.which("chromium") else "",
            **reporting,
        },
        Service.CHUNKING: {
            "OTEL_SERVICE_NAME": "chunking",
            "ORCHESTRATOR_KEY_HASH": keys.hash_of("orchestrator"),
            **tokenizer,
        },
        Service.EMBEDDING: {
            "OTEL_SERVICE_NAME": "embedding-api",
            "REDIS_URL": at.redis("redis-embed"),
            "DATABASE_URL": at.database("postgres-vectors", "ml_vectors"),
            "SERVICE_API_KEY": keys["embedding"],
            "EMBEDDING_API_BASE_URL": at.url("endpoint", "/v1"),
            "EMBEDDING_API_KEY": keys["endpoint"],
            # the model computes on this machine: a call that is given up is computed all the same, and then once more
            "EMBEDDING_TIMEOUT_SECONDS": "120",
            "EMBEDDING_MODEL": MODEL_NAME,
            "EMBEDDING_DIMENSIONS": str(DIMENSIONS),
            "EMBEDDING_MAX_TOKENS": str(MAX_TOKENS),
            **tokenizer,
            **reporting,
        },
    }
    return {
        service: {"SERVICE_NAME": str(service), **common, **own, **overrides.get(service, {})}
        for service, own in settings.items()
    }
