"""The settings that every service has. One field a variable; a secret has no default."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from ml_shared.environment import EnvironmentSettings
from ml_shared.store_urls import POSTGRES_SCHEMES, REDIS_SCHEMES, StoreUrlError, check_store_url
from ml_shared.telemetry.settings import SLOW_REQUEST_SECONDS

HEX_SHA256 = r"^[0-9a-f]{64}$"
PLACEHOLDER: Final = re.compile(r"<[a-z][a-z0-9-]*>")
MAX_KEYS_OF_A_CALLER: Final = 4
# two while a key is changed
_HEADER_VALUE: Final = re.compile(r"(?:[!-~](?:[ -~]*[!-~])?)?")


def postgres_dsn(url: str) -> str:
    """Return a PostgreSQL URL as asyncpg takes it: `postgresql+asyncpg://…` is the documented form, it refuses that.

    Raises
    ------
    StoreUrlError
        If it is none, or has a user name or password that is not percent-encoded. A user name with a comma is refused,
        from the URL or from PGUSER: asyncpg (0.32) puts it into its SCRAM message as it is, where a comma ends it.
    """
    check_store_url(url, POSTGRES_SCHEMES)
    if "," in (unquote(urlsplit(url).username or "") or os.environ.get("PGUSER", "")):
        raise StoreUrlError(
            "the role's name (POSTGRES_USER) has a comma, which its driver can't send: take another name"
        )
    return f"postgresql://{url.partition('://')[2]}"


def without_password(url: str) -> str:
    """Return a URL that may be logged: user name and password left out."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class ServiceSettings(EnvironmentSettings):
    """Base of each service's `Settings`."""

    SERVICE_NAME: str = Field(description="this service: orchestrator, scraper, chunking or embedding")
    SERVICE_VERSION: str = Field(default="dev", description="what is deployed, the image's git commit")
    ENVIRONMENT: str = Field(default="dev", description="a label on logs and spans; it loosens nothing")
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")

    MEMBERSHIP_URL: str = Field(description="the Membership service, which knows the API keys")
    OWNER_SOURCE: Literal["account", "key"] = Field(
        default="key", description="who owns what a key makes: the key's account, or the key; alike on every VM"
    )
    INTERNAL_CALLER_IDS: Annotated[dict[str, tuple[str, ...]], NoDecode] = Field(
        default_factory=dict,
        description="services that may call internal routes: name=<sha256 of its key>, comma-separated; a name stands "
        "twice while its key is changed",
    )
    ORCHESTRATOR_KEY_HASH: str = Field(
        default="", description="SHA-256 of the orchestrator's SERVICE_API_KEY; two by comma while it is changed"
    )
    SERVICE_API_KEY: SecretStr | None = Field(
        default=None, description="this service's own key, for calls to its peers: mlservice_ and 32 characters or more"
    )
    ORCHESTRATOR_URL: str = Field(default="", description="where workers report: the gateway's /api/orchestrator")

    REDIS_URL: str | None = Field(default=None, description="broker, limits and caches; chunking has none")

    SYNC_TIMEOUT_SECONDS: float = Field(
        default=30, gt=0, description="longest a sync route works before it answers 504"
    )
    MAX_QUEUE_DEPTH: int = Field(
        default=1000, gt=0, description="most tasks waiting and held before POST /enqueue is 429"
    )
    RESULTS_MAX_BYTES: int = Field(default=64 * 2**20, gt=0, description="most bytes of results kept for GET /results")
    MAX_BODY_BYTES: int = Field(default=16 * 2**20, gt=0, description="longest request body")
    MAX_BODY_BYTES_TIERS: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=dict,
        description="longest request body by Membership tier: tier=N, comma-separated; default is for the rest",
    )
    BODY_BYTES_IN_FLIGHT: int = Field(
        default=128 * 2**20,
        gt=0,
        description="most bytes of long bodies that one process holds; a quarter for one caller, a quarter the fleet's",
    )

    LEASE_RENEW_SECONDS: float = Field(
        default=20, gt=0, description="a worker renews its job's lease this often; the lease is three times as long"
    )

    API_PROCESSES: int = Field(default=2, gt=0, description="uvicorn workers; divides limits kept in process memory")
    SERVICE_REPLICAS: int = Field(default=1, gt=0, description="VMs that run this service; divides limits likewise")
    RATE_LIMIT_CAPACITY: int = Field(default=6000, gt=0, description="requests a window this service serves in all")
    RATE_LIMIT_FLOOR: int = Field(default=60, gt=0, description="requests a window that every caller always has")
    RATE_LIMIT_WINDOW_SECONDS: float = Field(default=60, gt=0, description="length of the sliding window")
    RATE_LIMIT_TIERS: Annotated[dict[str, int], NoDecode] = Field(
        default_factory=lambda: {"default": 3000},
        description="requests a window by Membership tier: tier=N, comma-separated; default is for the rest",
    )

    OTEL_SERVICE_NAME: str = Field(default="", description="name on spans and profiles; SERVICE_NAME when empty")
    OTEL_EXPORTER_OTLP_ENDPOINT: str = Field(default="http://alloy:4317", description="where spans go")
    OTEL_EXPORTER_OTLP_PROTOCOL: Literal["grpc"] = Field(
        default="grpc", description="the one protocol that is built in"
    )
    OTEL_TRACES_SAMPLER_ARG: float = Field(default=1.0, ge=0, le=1, description="the share of traces that are kept")
    SLOW_REQUEST_SECONDS: float = Field(
        default=SLOW_REQUEST_SECONDS,
        gt=0,
        description="a request that takes as long is kept although its trace is not, as is one that fails",
    )
    PYROSCOPE_SERVER_ADDRESS: str = Field(default="http://alloy:4040", description="where profiles go; empty: none")
    WORKER_METRICS_PORT: int = Field(default=9100, ge=0, le=65535, description="a Celery worker's /metrics; 0: none")

    @field_validator("*", mode="before")
    @classmethod
    def _no_placeholder(cls, value: Any) -> Any:
        if isinstance(value, str) and PLACEHOLDER.search(value):
            raise ValueError("this is still the placeholder of .env.example; put a value in the place of <…>")
        return value

    @field_validator("*")
    @classmethod
    def _secret_is_sendable(cls, value: Any) -> Any:
        # every secret here is a key that goes into a header; a client would say so at the first request only
        if isinstance(value, SecretStr) and not _HEADER_VALUE.fullmatch(value.get_secret_value()):
            raise ValueError("a key is made of printable ASCII characters, without a blank before or behind them")
        return value

    @field_validator("REDIS_URL")
    @classmethod
    def _redis_url(cls, value: str | None) -> str | None:
        return value and check_store_url(value, REDIS_SCHEMES)

    @field_validator("INTERNAL_CALLER_IDS", mode="before")
    @classmethod
    def _named_hashes(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            pairs = [
                (name, one) for name, given in value.items() for one in ([given] if isinstance(given, str) else given)
            ]
        else:
            pairs = _pairs(value)
        named: dict[str, list[str]] = {}
        for name, digest in pairs:
            named.setdefault(name, []).append(digest)
        return {name: _hashes(digests, f"the value of {name!r}") for name, digests in named.items()}

    @field_validator("RATE_LIMIT_TIERS", "MAX_BODY_BYTES_TIERS", mode="before")
    @classmethod
    def _named_limits(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value  # pydantic's to judge
        named: dict[str, str] = {}
        for name, limit in _pairs(value):
            if name in named:
                raise ValueError(f"{name!r} is named twice")
            named[name] = limit
        return named

    @field_validator("ORCHESTRATOR_KEY_HASH")
    @classmethod
    def _hashes_or_nothing(cls, value: str) -> str:
        return ",".join(_hashes(_parts(value), "this"))

    @field_validator("MEMBERSHIP_URL", "ORCHESTRATOR_URL")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @model_validator(mode="after")
    def _a_key_each(self) -> Self:
        _ = self.internal_callers
        return self

    @property
    def internal_callers(self) -> Mapping[str, str]:
        """SHA-256 of a key to the name of the service whose key it is, for each that internal routes admit."""
        named = {"orchestrator": tuple(_parts(self.ORCHESTRATOR_KEY_HASH))} | self.INTERNAL_CALLER_IDS
        callers: dict[str, str] = {}
        for name, digests in named.items():
            for digest in digests:
                if callers.setdefault(digest, name) != name:
                    raise ValueError(
                        f"{callers[digest]} and {name} have the same key in INTERNAL_CALLER_IDS and ORCHESTRATOR_KEY_HASH: "
                        "each service needs its own"
                    )
        return callers


def _parts(value: str) -> list[str]:
    return [part for part in (one.strip() for one in value.split(",")) if part]


def _hashes(digests: Iterable[str], what: str) -> tuple[str, ...]:
    found = tuple(digests)
    if len(found) > MAX_KEYS_OF_A_CALLER:
        raise ValueError(
            f"{what} has {len(found)} hashes; two are enough to change a key, {MAX_KEYS_OF_A_CALLER} the most"
        )
    if not all(isinstance(digest, str) and re.match(HEX_SHA256, digest) for digest in found):
        raise ValueError(f"{what} is not a SHA-256 in 64 lower-case hexadecimal digits")
    return found


def _pairs(value: Any) -> list[tuple[str, str]]:
    """Parse `name=value, name=value`."""
    pairs = []
    for item in _parts(value) if isinstance(value, str) else [""]:
        name, separator, right = (part.strip() for part in item.partition("="))
        if not separator or not name or not right:
            raise ValueError("not of the form name=value,name=value")
        pairs.append((name, right))
    return pairs
