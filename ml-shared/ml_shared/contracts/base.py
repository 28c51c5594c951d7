"""What all contracts are built on."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, StringConstraints

from ml_shared.web.urls import InvalidUrlError, normalise_url

INTERNAL_FIELDS: Final = frozenset({"job_id", "attempt_id", "owner", "as_of", "submitted_at", "content_ref"})
# the orchestrator's alone: a worker that believed them from a user would finish a stranger's job

METADATA_MAX_BYTES: Final = 16_384
# it stands beside every search result
METADATA_MAX_KEYS: Final = 64


class PeerModel(BaseModel):
    """Read from a peer of ours: unknown fields are ignored, so that two versions can run side by side."""

    model_config = ConfigDict(extra="ignore")


class RequestModel(BaseModel):
    """A request's body. `ml_shared.http.admission.admit` refuses unknown fields from users and ignores them from services.

    They are taken in here (`extra="allow"`) because who sends them is not known when the body is parsed; the published
    schema says that there are none.
    """

    model_config = ConfigDict(extra="allow", json_schema_extra=lambda schema: schema.update(additionalProperties=False))


def _check_url(url: str) -> str:
    try:
        normalise_url(url)
    except InvalidUrlError as error:
        if error.code == "blocked_scheme":
            return url  # a well-formed URL of a kind that is refused later, with a code of its own
        raise ValueError(error.detail) from error
    return url.strip()


def _check_metadata(metadata: dict[str, Any]) -> dict[str, Any]:
    if len(metadata) > METADATA_MAX_KEYS:
        raise ValueError(f"{len(metadata)} keys; {METADATA_MAX_KEYS} is the most")
    try:
        encoded = orjson.dumps(metadata)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if len(encoded) > METADATA_MAX_BYTES:
        raise ValueError(f"{len(encoded)} bytes as JSON; {METADATA_MAX_BYTES} is the most")
    if b"\\u0000" in encoded:
        raise ValueError("contains a NUL character, which PostgreSQL does not store")
    return metadata


def _check_time(time: datetime) -> datetime:
    try:
        time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside the years 1 to 9999 in UTC") from error
    return time


Url = Annotated[str, AfterValidator(_check_url)]
"""An absolute HTTP URL without user information, at most 2,048 characters, as the caller wrote it."""

CorpusName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""1 to 100 characters of `A-Z a-z 0-9 . _ -`, the first a letter or digit."""

Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]
"""The caller's own JSON object: at most 64 keys and 16 KiB."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""An id of ours in a body or a path."""

Timestamp = Annotated[AwareDatetime, AfterValidator(_check_time)]
"""RFC 3339, with its offset; UTC when we write it."""
