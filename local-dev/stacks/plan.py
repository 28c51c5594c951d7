"""What stands in each stack's `.env`: the operator's answers, and secrets that are made here and shown nowhere."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ml_shared.names import SERVICE_KEY_PREFIX, Service
from stacks.answers import PORTS, Address, Answers, AnswersError
from stacks.dotenv import DotenvError, fill

STACKS: Final = (*map(str, Service), "gateway-vm")
EXAMPLE: Final = ".env.example"
SECRET_BYTES = 24
DATABASE_USER = "ml"
TOKENIZER_FILE = "/tokenizer/tokenizer.json"
# where a stack's compose file mounts its folder tokenizer/
SERVER = "server {} max_fails=3 fail_timeout=5s;"

Settings = dict[str, dict[str, str]]


def _secret() -> str:
    """Hexadecimal digits only: a password is part of a URL."""
    return f"ml{secrets.token_hex(SECRET_BYTES)}"


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def settings(answers: Answers) -> Settings:
    """Return the variables of each stack, with new secrets at each call."""
    key = {
        name: f"{SERVICE_KEY_PREFIX}{_secret()}" for name in (Service.ORCHESTRATOR, Service.SCRAPER, Service.EMBEDDING)
    }
    gateway = answers.at("GATEWAY")[0]
    # the port that everybody leaves out is left out
    host = gateway.host if gateway.port == PORTS["GATEWAY"] else str(gateway)
    alike = _given(answers, "OWNER_SOURCE", "ENVIRONMENT", "GIT_SHA")
    service = {"MEMBERSHIP_URL": answers.MEMBERSHIP_URL, **alike}
    admits = {"ORCHESTRATOR_KEY_HASH": _hash(key[Service.ORCHESTRATOR])}
    reports = {**admits, "ORCHESTRATOR_URL": f"http://{host}/api/orchestrator"}
    model = _given(answers, "EMBEDDING_MODEL")
    callers = (Service.SCRAPER, Service.EMBEDDING)
    return {
        "orchestrator": {
            **service,
            **_database(),
            **_published(answers, "ORCHESTRATOR"),
            **{f"{name}_URL": f"http://{answers.at(name)[0]}" for name in ("SCRAPER", "CHUNKING", "EMBEDDING")},
            "SERVICE_API_KEY": key[Service.ORCHESTRATOR],
            "INTERNAL_CALLER_IDS": ",".join(f"{name}={_hash(key[name])}" for name in callers),
            "WEBHOOK_SECRET_KEY": _secret(),
        },
        "scraper": {
            **service,
            **reports,
            **_published(answers, "SCRAPER"),
            "SERVICE_API_KEY": key[Service.SCRAPER],
        },
        "chunking": {
            **service,
            **admits,
            **_published(answers, "CHUNKING"),
            **({"TOKENIZER_NAME": model["EMBEDDING_MODEL"]} if model else {}),
            **_given(answers, "EMBEDDING_MAX_TOKENS", "EMBEDDING_PASSAGE_PREFIX"),
            "TOKENIZER_SHA256": answers.TOKENIZER_SHA256,
        },
        "embedding": {
            **service,
            **reports,
            **_database(),
            **_published(answers, "EMBEDDING"),
            **model,
            # the example has its own model's
            **({"EMBEDDING_QUERY_PREFIX": ""} if model else {}),
            **_given(
                answers,
                "EMBEDDING_DIMENSIONS",
                "EMBEDDING_MAX_TOKENS",
                "EMBEDDING_QUERY_PREFIX",
                "EMBEDDING_PASSAGE_PREFIX",
            ),
            "SERVICE_API_KEY": key[Service.EMBEDDING],
            "TOKENIZER_FILE": TOKENIZER_FILE,
            "TOKENIZER_SHA256": answers.TOKENIZER_SHA256,
            "EMBEDDING_API_BASE_URL": answers.EMBEDDING_API_BASE_URL,
            "EMBEDDING_API_KEY": answers.EMBEDDING_API_KEY.get_secret_value(),
        },
        "gateway-vm": {
            **({} if gateway.port == PORTS["GATEWAY"] else {"HTTP_PORT": str(gateway.port)}),
            **{f"GATEWAY_{name.upper()}_SERVERS": _servers(answers.at(name.upper())) for name in Service},
            "GATEWAY_FLEET_ALLOW": answers.FLEET_ALLOW or _allow(answers),
        },
    }


def _given(answers: Answers, *names: str) -> dict[str, str]:
    return {name: str(getattr(answers, name)) for name in names if getattr(answers, name) is not None}


def _database() -> dict[str, str]:
    return {"POSTGRES_USER": DATABASE_USER, "POSTGRES_PASSWORD": _secret()}


def _published(answers: Answers, name: str) -> dict[str, str]:
    """Where a stack publishes its API, every VM of a service alike; and how many VMs share what it serves."""
    addresses = answers.at(name)
    port = {} if addresses[0].port == PORTS[name] else {f"{name}_PORT": str(addresses[0].port)}
    return port | ({"SERVICE_REPLICAS": str(len(addresses))} if len(addresses) > 1 else {})


def _servers(addresses: Iterable[Address]) -> str:
    return " ".join(SERVER.format(one) for one in addresses)


def _allow(answers: Answers) -> str:
    """Admit the VMs that report to the orchestrator, or scrape: each by its own address."""
    addresses = [one for name in PORTS for one in answers.at(name)]
    names = sorted({one.host for one in addresses if one.is_name})
    if names:
        raise AnswersError(
            f"FLEET_ALLOW is missing, since nginx admits by address and not by name ({', '.join(names)}): "
            "FLEET_ALLOW='allow 10.0.0.0/24;'"
        )
    return " ".join(f"allow {host};" for host in dict.fromkeys(one.host for one in addresses))


def files(repository: Path, chosen: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the text of each stack's `.env`.

    Raises
    ------
    DotenvError
        If an example has no such variable, or asks for one that has no value here.
    """
    texts = {}
    for stack in STACKS:
        try:
            texts[stack] = fill((repository / stack / EXAMPLE).read_text(), chosen[stack])
        except DotenvError as error:
            raise DotenvError(f"{stack}/{EXAMPLE}: {error}") from error
    return texts
