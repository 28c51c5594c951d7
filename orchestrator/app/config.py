"""Settings of the orchestrator, each from the environment variable of its name."""

from pydantic import Field, SecretStr, field_validator

from ml_shared.settings import ServiceSettings, postgres_dsn
from ml_shared.web.openings import Nat64Prefixes, Networks, Ports

SECRET_KEY_MIN_CHARACTERS = 32


class Settings(ServiceSettings):
    """What the orchestrator can be told."""

    DATABASE_URL: str = Field(
        description="PostgreSQL of the jobs: postgresql+asyncpg://user:password@host:5432/ml_jobs"
    )
    CONTENT_STORE_URL: str = Field(
        description="PostgreSQL of pages and chunks under way: …/ml_content on the same server"
    )
    REDIS_URL: str = Field(description="broker, limits and caches: redis://redis-orch:6379/0")

    SCRAPER_URL: str = Field(description="the scraper VM's own address, not the gateway's")
    CHUNKING_URL: str = Field(description="the chunking VM's own address")
    EMBEDDING_URL: str = Field(description="the embedding VM's own address")

    SCRAPING_IN_FLIGHT: int = Field(
        default=32, gt=0, description="most scraping jobs handed out; twice the worker slots, of four jobs each"
    )
    CHUNKING_IN_FLIGHT: int = Field(
        default=8, gt=0, description="most chunking calls under way; twice chunking's threads"
    )
    EMBEDDING_IN_FLIGHT: int = Field(
        default=16, gt=0, description="most embedding jobs handed out; twice the worker slots, of four jobs each"
    )
    HIGH_WATER_JOBS: int = Field(default=1000, gt=0, description="most jobs behind a stage before it gets no new work")
    HIGH_WATER_CONTENT_BYTES: int = Field(default=2 * 2**30, gt=0, description="most bytes of content kept, likewise")
    MAX_OPEN_JOBS_PER_OWNER: int = Field(default=100_000, gt=0, description="most unfinished jobs of an owner")

    MAX_CRAWLS_PER_OWNER: int = Field(default=100, gt=0, description="most crawls of an owner")
    MAX_OPEN_RUNS_PER_OWNER: int = Field(default=5, gt=0, description="most runs that an owner has under way")
    CRAWL_WINDOW: int = Field(default=200, gt=0, description="most jobs that a run of a crawl has under way")

    DISPATCH_LEASE_SECONDS: float = Field(default=30, gt=0, description="from claiming a job to the stage's answer")
    QUEUE_LEASE_SECONDS: float = Field(default=900, gt=0, description="from the stage's answer to a worker's start")
    RUN_LEASE_SECONDS: float = Field(default=60, gt=0, description="between a worker's signs of life")
    STAGE_DEADLINE_SECONDS: float = Field(
        default=360, gt=0, description="longest a started attempt may run: just above the workers' longest hard limit"
    )
    MAX_STAGE_ATTEMPTS: int = Field(default=4, gt=0, description="attempts of a stage that a worker may start")
    MAX_DEFERRED_SECONDS: float = Field(default=86_400, gt=0, description="longest a stage may be put off in all")
    DISPATCH_INTERVAL_SECONDS: float = Field(default=2, gt=0, description="beat: between passes when nothing nudges")
    RECOVERY_INTERVAL_SECONDS: float = Field(default=5, gt=0, description="beat: between looks for expired leases")
    DISPATCH_TIMEOUT_SECONDS: float = Field(default=20, gt=0, description="a stage's answer; below the dispatch lease")

    MAX_EVENT_STREAMS: int = Field(default=1000, gt=0, description="most streams of events that one process holds open")
    MAX_EVENT_STREAMS_PER_OWNER: int = Field(default=50, gt=0, description="of these, most of one owner")

    MAX_UPLOAD_BYTES: int = Field(default=32 * 2**20, gt=0, description="longest document of POST /documents")
    MAX_CONTENT_BYTES: int = Field(default=32 * 2**20, gt=0, description="longest page or list of chunks")
    CONTENT_TTL_HOURS: float = Field(
        default=24, gt=0, description="longest that content outlives its job; it goes earlier when room is short"
    )

    VALIDATORS_TTL_DAYS: float = Field(
        default=90, gt=0, description="how long is remembered what a page was known by that nobody indexes again"
    )
    LASTMOD_TRUST_DAYS: float = Field(
        default=7, ge=0, description="how long a sitemap is believed that says that a page has not changed"
    )

    WEBHOOK_SECRET_KEY: SecretStr | None = Field(
        default=None,
        description="seals webhooks' secrets: 32 characters or more; several by comma while it is changed, the new one "
        "first. Without one there are no webhooks",
    )
    WEBHOOK_PRIVATE_NETWORKS: Networks = Field(
        default=(), description="networks that are not public and may be told all the same: CIDRs, by comma"
    )
    WEBHOOK_PORTS: Ports = Field(default=(), description="ports of receivers beside 80 and 443, by comma")
    WEBHOOK_BLOCKED_NETWORKS: Networks = Field(
        default=(), description="public networks never to be told, such as the fleet's own: CIDRs, by comma"
    )
    WEBHOOK_NAT64_PREFIXES: Nat64Prefixes = Field(
        default=(), description="where this network's NAT64 has the IPv4 internet: CIDRs, by comma"
    )
    MAX_WEBHOOKS_PER_OWNER: int = Field(default=20, gt=0, le=100, description="most webhooks of an owner")

    JOBS_TTL_DAYS: float = Field(
        default=90,
        gt=0,
        description="how long ended jobs, their batches and events, and what webhooks were told are kept",
    )

    @field_validator("DATABASE_URL", "CONTENT_STORE_URL")
    @classmethod
    def _asyncpg_form(cls, value: str) -> str:
        return postgres_dsn(value)

    @field_validator("SCRAPER_URL", "CHUNKING_URL", "EMBEDDING_URL")
    @classmethod
    def _bare_url(cls, value: str) -> str:
        return value.rstrip("/")

    @field_validator("WEBHOOK_SECRET_KEY")
    @classmethod
    def _long_keys(cls, value: SecretStr | None) -> SecretStr | None:
        keys = _keys(value)
        if any(len(key.get_secret_value()) < SECRET_KEY_MIN_CHARACTERS for key in keys):
            raise ValueError(f"a key has at least {SECRET_KEY_MIN_CHARACTERS} characters")
        return value if keys else None

    @property
    def webhook_keys(self) -> tuple[SecretStr, ...]:
        """What seals webhooks' secrets, the one for new ones first; none: there are no webhooks."""
        return _keys(self.WEBHOOK_SECRET_KEY)


def _keys(value: SecretStr | None) -> tuple[SecretStr, ...]:
    parts = value.get_secret_value().split(",") if value is not None else []
    return tuple(SecretStr(part.strip()) for part in parts if part.strip())


settings = Settings()
