"""What only the operator knows of a fleet: its addresses, Membership, the embedding endpoint."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from standins.weights import sha256_of

from ml_shared.settings import HEX_SHA256
from stacks.telemetry_values import CHECKS, ENDPOINTS, TOKEN
from stacks.telemetry_values import RIGHT as RIGHT_OF_TELEMETRY

DIMENSIONS_MAX: Final = 3_072
# as the embedding service has it: a vector lies in its row
PORTS: Final = {"GATEWAY": 80, "ORCHESTRATOR": 8000, "SCRAPER": 8001, "CHUNKING": 8002, "EMBEDDING": 8003}
RIGHT: Final = {
    "GATEWAY": "10.0.0.9",
    "ORCHESTRATOR": "10.0.0.10",
    "SCRAPER": "10.0.0.11",
    "CHUNKING": "10.0.0.12",
    "EMBEDDING": "10.0.0.13",
    "MEMBERSHIP_URL": "http://10.0.0.5:8000",
    "EMBEDDING_API_BASE_URL": "http://10.0.0.20:8080/v1",
    "EMBEDDING_API_KEY": "<the endpoint's key>",
    "TOKENIZER": "<path of the model's tokenizer.json>",
    "TOKENIZER_SHA256": "<64 hexadecimal digits>",
    "FLEET_ALLOW": "'allow 10.0.0.0/24;'",
    "OWNER_SOURCE": "key",
    "EMBEDDING_DIMENSIONS": "1024",
    "EMBEDDING_MAX_TOKENS": "512",
    **{name: RIGHT_OF_TELEMETRY[name] for name in (*ENDPOINTS, TOKEN)},
}
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


class AnswersError(ValueError):
    """Answers are missing or wrong. Its text has a line for each, and repeats no value."""


@dataclass(frozen=True)
class Address:
    """Where a stack's published port is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def is_name(self) -> bool:
        """Whether it is a name and no IP address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return True
        return False


def _addresses(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    found = []
    for part in value.split(","):
        host, colon, port = part.strip().partition(":")
        if not _HOST.fullmatch(host) or (colon and not (port.isdecimal() and 0 < int(port) < 65_536)):
            raise ValueError("is no address, nor several with commas between")
        found.append(Address(host, int(port) if colon else 0))
    return tuple(found)


def _url(value: Any) -> Any:
    parts = urlsplit(value) if isinstance(value, str) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "<" in value:
        raise ValueError("is no URL")
    try:
        parts.port  # noqa: B018 - reading it is what checks it
    except ValueError:
        raise ValueError("is no URL: its port is none") from None
    return value.rstrip("/")


def _networks(value: Any) -> Any:
    """Return nginx lines, each with its semicolon, which nginx can't do without."""
    lines = [line.split() for line in str(value).split(";") if line.strip()]
    for words in lines:
        if len(words) != 2 or words[0] not in ("allow", "deny"):
            raise ValueError("is not made of nginx `allow` lines")
        if words[1] == "all":
            raise ValueError(
                "is for networks: `all` would make everybody one of the fleet, and others are denied anyway"
            )
        ipaddress.ip_network(words[1], strict=False)
    return " ".join(f"{' '.join(words)};" for words in lines)


def _as_in_alloy_env(name: str) -> AfterValidator:
    def check(value: Any) -> Any:
        fault = CHECKS[name](value.get_secret_value() if isinstance(value, SecretStr) else value)
        if fault:
            raise ValueError(fault)
        return value

    return AfterValidator(check)


Addresses = Annotated[tuple[Address, ...], BeforeValidator(_addresses)]
Url = Annotated[str, BeforeValidator(_url)]
Sha256 = Annotated[str, Field(pattern=HEX_SHA256)]


class Answers(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Answers that have been checked, each under the name that it is asked by.

    Addresses are `host` or `host:port`, several VMs of a service with commas between. `TOKENIZER_SHA256` does in place of
    `TOKENIZER`, a file that is read here and copied nowhere.
    """

    GATEWAY: Addresses
    ORCHESTRATOR: Addresses
    SCRAPER: Addresses
    CHUNKING: Addresses
    EMBEDDING: Addresses
    MEMBERSHIP_URL: Url
    EMBEDDING_API_BASE_URL: Url
    EMBEDDING_API_KEY: SecretStr = Field(min_length=1)
    TOKENIZER_SHA256: Sha256
    FLEET_ALLOW: Annotated[str, BeforeValidator(_networks)] | None = None
    # alike on several VMs, and what the examples say when they are not given
    EMBEDDING_MODEL: str | None = None
    EMBEDDING_DIMENSIONS: int | None = Field(default=None, gt=0, le=DIMENSIONS_MAX)
    EMBEDDING_MAX_TOKENS: int | None = Field(default=None, gt=0)
    EMBEDDING_QUERY_PREFIX: str | None = None  # with the blank at its end
    EMBEDDING_PASSAGE_PREFIX: str | None = None
    OWNER_SOURCE: str | None = Field(default=None, pattern="^(account|key)$")
    ENVIRONMENT: str | None = None
    GIT_SHA: str | None = None
    # where telemetry goes: all four, or none of them
    TEMPO_REMOTE_ENDPOINT: Annotated[str, _as_in_alloy_env("TEMPO_REMOTE_ENDPOINT")] | None = None
    LOKI_REMOTE_ENDPOINT: Annotated[str, _as_in_alloy_env("LOKI_REMOTE_ENDPOINT")] | None = None
    MIMIR_REMOTE_ENDPOINT: Annotated[str, _as_in_alloy_env("MIMIR_REMOTE_ENDPOINT")] | None = None
    PYROSCOPE_REMOTE_ENDPOINT: Annotated[str, _as_in_alloy_env("PYROSCOPE_REMOTE_ENDPOINT")] | None = None
    LGTM_BEARER_TOKEN: Annotated[SecretStr, _as_in_alloy_env(TOKEN)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_tokenizer(cls, values: Any) -> Any:
        given = dict(values)
        path = given.pop("TOKENIZER", None)
        if path and "TOKENIZER_SHA256" not in given and Path(path).is_file():
            given["TOKENIZER_SHA256"] = sha256_of(Path(path))
        return given

    def at(self, name: str) -> list[Address]:
        """Return a stack's addresses, each with its port."""
        addresses: tuple[Address, ...] = getattr(self, name)
        return [Address(one.host, one.port or PORTS[name]) for one in addresses]


ASKED: Final = ("TOKENIZER", *Answers.model_fields)


def check(given: Mapping[str, str]) -> Answers:
    """Return the answers once all of them are right; an empty value is none.

    Raises
    ------
    AnswersError
        If something is missing or wrong.
    """
    said = {
        name: value if name.endswith("_PREFIX") else value.strip() for name, value in given.items() if value.strip()
    }
    missing = [name for name in ENDPOINTS if name not in said]
    if len(missing) < len(ENDPOINTS) or TOKEN in said:
        said = {**dict.fromkeys(missing, ""), **said}
    try:
        return Answers.model_validate(said)
    except ValidationError as error:
        lines = [_line(one["type"], str(one["loc"][0]), one["msg"], said) for one in error.errors(include_input=False)]
        raise AnswersError("\n".join(lines)) from None


def _line(kind: str, name: str, message: str, said: Mapping[str, str]) -> str:
    if said.get(name) == "":
        reason = "is missing"
    elif kind == "missing" and name == "TOKENIZER_SHA256":
        name = "TOKENIZER"
        reason = "is no file that can be read" if "TOKENIZER" in said else "is missing"
    elif kind == "missing":
        reason = "is missing"
    elif kind == "extra_forbidden":
        return f"{name} is not asked for; there are {', '.join(ASKED)}"
    else:
        reason = message.removeprefix("Value error, ")
        reason = reason if reason.startswith("is") else f"is wrong ({reason})"
    return f"{name} {reason}: {name}={RIGHT.get(name, '…')}"
