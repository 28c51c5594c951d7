"""The settings of the embedding service."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from ml_shared.settings import HEX_SHA256, ServiceSettings, postgres_dsn

MAX_DIMENSIONS = 3072
# a row holds its vector in line, and a page of PostgreSQL holds 8 KiB: 3,072 half-floats leave room for the rest


class Settings(ServiceSettings):
    """What an operator may set; `.env.example` lists the same keys."""

    REDIS_URL: str = Field(description="broker, limits, caches and results")
    SYNC_TIMEOUT_SECONDS: float = Field(
        default=60, gt=0, description="longest a sync route works before it answers 504"
    )

    DATABASE_URL: str = Field(description="PostgreSQL with pgvector, which keeps documents and vectors")
    DATABASE_POOL_SIZE: int = Field(default=10, gt=0, description="most connections of one process")

    EMBEDDING_API_BASE_URL: str = Field(description="the OpenAI-compatible endpoint, up to and with /v1")
    EMBEDDING_API_KEY: SecretStr = Field(description="the endpoint's key, sent as a bearer token")
    EMBEDDING_MODEL: str = Field(min_length=1, max_length=200, description="the model that the endpoint serves")
    EMBEDDING_DIMENSIONS: int = Field(default=1024, gt=0, le=MAX_DIMENSIONS, description="length of its vectors")
    EMBEDDING_MAX_TOKENS: int = Field(default=512, gt=0, description="longest input that the model takes")
    EMBEDDING_BATCH_SIZE: int = Field(default=64, gt=0, description="most texts in one call to the endpoint")
    EMBEDDING_BATCH_TOKENS: int = Field(
        default=16_384, gt=0, description="most tokens in one call to the endpoint, each text counted as its longest"
    )
    EMBEDDING_CONCURRENCY: int = Field(default=4, gt=0, description="calls in flight for one request or document")
    EMBEDDING_TIMEOUT_SECONDS: float = Field(default=30, gt=0, description="longest that one call may take")
    EMBEDDING_QUERY_PREFIX: str = Field(
        default="", description="put before a search's query, for models trained with an instruction there"
    )

    EMBEDDING_PASSAGE_PREFIX: str = Field(
        default="",
        description="put before each passage, for models trained with one; chunking has the same, and counts it",
    )
    TOKENIZER_FILE: Path | None = Field(
        default=None, description="the model's own tokenizer.json, as chunking has it: cuts queries that are too long"
    )
    TOKENIZER_SHA256: str = Field(
        default="", pattern=f"^$|{HEX_SHA256}", description="of that file; another file is refused at start"
    )

    RERANK_API_BASE_URL: str = Field(
        default="", description="a reranker, up to what stands before /rerank; empty for none"
    )
    RERANK_MODEL: str = Field(default="", max_length=200, description="the model that it serves")
    RERANK_API_KEY: SecretStr | None = Field(default=None, description="its key, sent as a bearer token, if it has one")
    RERANK_TOP: int = Field(default=50, gt=0, le=200, description="how many of the best passages it orders")
    RERANK_BATCH_SIZE: int = Field(default=32, gt=0, description="most passages in one call to it")
    RERANK_TIMEOUT_SECONDS: float = Field(
        default=2, gt=0, description="longest that a search waits for it, before it answers in the order without it"
    )

    EMBEDDING_NEXT_MODEL: str = Field(
        default="",
        max_length=200,
        description="another model that is served too, while corpora change to it or from it",
    )
    EMBEDDING_NEXT_API_BASE_URL: str = Field(default="", description="its endpoint; empty: the same")
    EMBEDDING_NEXT_API_KEY: SecretStr = Field(default=SecretStr(""), description="its key; empty: the same")
    EMBEDDING_NEXT_DIMENSIONS: int = Field(
        default=0, ge=0, le=MAX_DIMENSIONS, description="of its vectors; 0: the same"
    )
    EMBEDDING_NEXT_MAX_TOKENS: int = Field(default=0, ge=0, description="longest input that it takes; 0: the same")
    EMBEDDING_NEXT_QUERY_PREFIX: str = Field(default="", description="put before a search's query for it")
    EMBEDDING_NEXT_PASSAGE_PREFIX: str = Field(default="", description="put before each passage for it")

    EXACT_SEARCH_MAX_ROWS: int = Field(
        default=10_000, ge=0, description="up to this many candidate chunks are compared one by one, not by the index"
    )

    VECTOR_INDEX_WORKERS: int = Field(
        default=0, ge=0, description="processes that PostgreSQL may build a vector index with, beside the first"
    )

    @field_validator("DATABASE_URL")
    @classmethod
    def _as_asyncpg_takes_it(cls, value: str) -> str:
        return postgres_dsn(value)

    @field_validator("TOKENIZER_FILE", mode="before")
    @classmethod
    def _none_if_empty(cls, value: object) -> object:
        return value or None

    @field_validator("EMBEDDING_API_BASE_URL", "EMBEDDING_NEXT_API_BASE_URL", "RERANK_API_BASE_URL")
    @classmethod
    def _without_trailing_slash(cls, value: str) -> str:
        return value.rstrip("/")

    def of_next_model(self) -> "Settings | None":
        """Return these settings with the next model in place of the model, `None` where there is none."""
        if not self.EMBEDDING_NEXT_MODEL:
            return None
        return self.model_copy(
            update={
                "EMBEDDING_MODEL": self.EMBEDDING_NEXT_MODEL,
                "EMBEDDING_API_BASE_URL": self.EMBEDDING_NEXT_API_BASE_URL or self.EMBEDDING_API_BASE_URL,
                "EMBEDDING_API_KEY": self.EMBEDDING_NEXT_API_KEY
                if self.EMBEDDING_NEXT_API_KEY.get_secret_value()
                else self.EMBEDDING_API_KEY,
                "EMBEDDING_DIMENSIONS": self.EMBEDDING_NEXT_DIMENSIONS or self.EMBEDDING_DIMENSIONS,
                "EMBEDDING_MAX_TOKENS": self.EMBEDDING_NEXT_MAX_TOKENS or self.EMBEDDING_MAX_TOKENS,
                "EMBEDDING_QUERY_PREFIX": self.EMBEDDING_NEXT_QUERY_PREFIX,
                "EMBEDDING_PASSAGE_PREFIX": self.EMBEDDING_NEXT_PASSAGE_PREFIX,
                "EMBEDDING_NEXT_MODEL": "",
            }
        )


settings = Settings()
