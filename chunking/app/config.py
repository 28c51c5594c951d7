"""Chunking's settings."""

from pathlib import Path

from pydantic import Field

from ml_shared.settings import HEX_SHA256, ServiceSettings


class Settings(ServiceSettings):
    """What chunking has beyond the settings of every service. It has no Redis."""

    TOKENIZER_FILE: Path = Field(description="the serving model's own tokenizer.json")
    TOKENIZER_SHA256: str = Field(pattern=HEX_SHA256, description="of that file; another file is refused at start")
    TOKENIZER_NAME: str = Field(default="tokenizer", description="a label for it in answers, beside its hash")
    EMBEDDING_MAX_TOKENS: int = Field(
        default=512, gt=0, description="most tokens that the serving model reads; as the embedding service has it"
    )

    EMBEDDING_PASSAGE_PREFIX: str = Field(
        default="", description="what the embedding service puts before each chunk; part of every count"
    )

    SYNC_TIMEOUT_SECONDS: float = Field(
        default=12, gt=0, description="longest POST /chunk works before it answers 504; below the gateway's 15"
    )
    MAX_BODY_BYTES: int = Field(
        default=48 * 2**20, gt=0, description="longest request body: ten million characters, as JSON"
    )
    CHUNK_WORKERS: int = Field(default=2, gt=0, description="threads that cut texts, in each API process")
    CHUNK_WAITING: int = Field(default=32, ge=0, description="most texts that wait for a thread; beyond it 503")
    CHUNK_WAITING_CHARACTERS: int = Field(
        default=40_000_000, gt=0, description="most characters of all texts in work and waiting; beyond it 503"
    )


settings = Settings()  # every field comes from the environment
