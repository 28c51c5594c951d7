"""The settings that every service has. One field a variable; a secret has no default."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

HEX_SHA256 = r"^[0-9a-f]{64}$"


def postgres_dsn(url: str) -> str:
    """Return a PostgreSQL URL as asyncpg takes it: `postgresql+asyncpg://…` is the documented form, it refuses that."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.split("+")[0] not in {"postgresql", "postgres"}:
        raise ValueError("not a PostgreSQL URL; it starts with postgresql://")
    return f"postgresql://{rest}"


def without_password(url: str) -> str:
    """Return a URL that may be logged: user name and password left out."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class ServiceSettings(BaseSettings):
    """Base of each service's `Settings`."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    SERVICE_NAME: str = Field(description="this service: orchestrator, scraper, chunking or embedding")
    SERVICE_VERSION: str = Field(default="dev", description="what is deployed, the image's git commit")
    ENVIRONMENT: str = Field(default="dev", description="a label on logs and spans; it loosens nothing")
    LOG_LEVEL: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="least level logged")

    MEMBERSHIP_URL: str = Field(description="the Membership service, which knows the API keys")
    OWNER_SOURCE: Literal["account", "key"] = Field(
        default="key", description="who owns what a key makes: the key's account, or the key; alike on every VM"
    )
    INTERNAL_CALLER_IDS: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="services that may call internal routes: name=<sha256 of its key>, comma-separated",
    )
    ORCHESTRATOR_KEY_HASH: str = Field(default="", description="SHA-256 of the orchestrator's SERVICE_API_KEY")
    SERVICE_API_KEY: SecretStr | None = Field(
        default=None, description="this service's own key, for calls to its peers"
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
    PYROSCOPE_SERVER_ADDRESS: str = Field(default="http://alloy:4040", description="where profiles go; empty: none")
    WORKER_METRICS_PORT: int = Field(default=9100, ge=0, le=65535, description="a Celery worker's /metrics; 0: none")

    @field_validator("INTERNAL_CALLER_IDS", mode="before")
    @classmethod
    def _named_hashes(cls, value: Any) -> Any:
        named = _pairs(value)
        for name, digest in named.items():
            if len(digest) != 64 or any(character not in "0123456789abcdef" for character in digest):
                raise ValueError(f"the value of {name!r} is not a SHA-256 in 64 lower-case hexadecimal digits")
        return named

    @field_validator("RATE_LIMIT_TIERS", mode="before")
    @classmethod
    def _named_limits(cls, value: Any) -> Any:
        return _pairs(value)

    @field_validator("ORCHESTRATOR_KEY_HASH")
    @classmethod
    def _hash_or_nothing(cls, value: str) -> str:
        if value and (len(value) != 64 or any(character not in "0123456789abcdef" for character in value)):
            raise ValueError("not a SHA-256 in 64 lower-case hexadecimal digits")
        return value

    @field_validator("MEMBERSHIP_URL", "ORCHESTRATOR_URL")
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    @property
    def internal_callers(self) -> Mapping[str, str]:
        """Name to SHA-256 of the key, of every service that this one admits to internal routes."""
        named = dict(self.INTERNAL_CALLER_IDS)
        if self.ORCHESTRATOR_KEY_HASH:
            named.setdefault("orchestrator", self.ORCHESTRATOR_KEY_HASH)
        return named


def _pairs(value: Any) -> Any:
    """Parse `name=value, name=value`; whatever is not a string is pydantic's to judge."""
    if not isinstance(value, str):
        return value
    named: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in value.split(","))):
        name, separator, right = item.partition("=")
        if not separator or not name.strip() or not right.strip():
            raise ValueError("not of the form name=value,name=value")
        if name.strip() in named:
            raise ValueError(f"{name.strip()!r} is named twice")
        named[name.strip()] = right.strip()
    return named
