"""What all contracts are built on."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints

from ml_shared.contracts.values import Metadata as Metadata
from ml_shared.contracts.values import Timestamp as Timestamp
from ml_shared.web.urls import URL_MAX_CHARACTERS, InvalidUrlError, normalise_url

INTERNAL_FIELDS: Final = frozenset(
    {"job_id", "attempt_id", "owner", "as_of", "submitted_at", "content_ref", "action", "chunking_hash", "upload_type"}
)
# the orchestrator's alone: a worker that believed them from a user would finish a stranger's job


class PeerModel(BaseModel):
    """Read from a peer of ours: unknown fields are ignored, so that two versions can run side by side."""

    model_config = ConfigDict(extra="ignore")


class RequestModel(BaseModel):
    """A request's body. `ml_shared.http.admission.admit` refuses unknown fields from users and ignores them from services.

    They are taken in here (`extra="allow"`) because who sends them is not known when the body is parsed; the published
    schema says that there are none.

    Fields are read strictly: `"5"` and `true` are no integers, `1` is no boolean, and neither is 5.0 an integer: a
    client that computes with floats is told so, instead of being right by chance. `ml_shared.contracts.values` has the
    two types that are read from texts.
    """

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        allow_inf_nan=False,
        json_schema_extra=lambda schema: schema.update(additionalProperties=False),
    )


def _check_url(url: str) -> str:
    try:
        normalise_url(url)
    except InvalidUrlError as error:
        if error.code == "blocked_scheme":
            return url  # a well-formed URL of a kind that is refused later, with a code of its own
        raise ValueError(error.detail) from error
    return url.strip()


Url = Annotated[str, StringConstraints(max_length=URL_MAX_CHARACTERS), AfterValidator(_check_url)]
"""An absolute HTTP URL without user information, at most 2,048 characters, as the caller wrote it."""

CorpusName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
"""1 to 100 characters of `A-Z a-z 0-9 . _ -`, the first a letter or digit."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
"""An id of ours in a body or a path."""
