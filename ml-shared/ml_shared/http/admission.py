"""Which fields of a request's body its caller may send."""

from collections.abc import Iterator
from typing import Any

from ml_shared.auth.context import CallerContext
from ml_shared.contracts.base import INTERNAL_FIELDS, RequestModel
from ml_shared.contracts.queueing import StageFields
from ml_shared.errors import ForbiddenError, InvalidError
from ml_shared.http.problems import FieldError, invalid_fields
from ml_shared.names import Service


def admit(
    payload: RequestModel, ctx: CallerContext, *, echo_job_id: bool = False, ignore_unknown: bool = False
) -> None:
    """Refuse fields that this caller may not send.

    The orchestrator may send everything. Another service may not send the orchestrator's fields; what it sends beyond
    the contract is ignored, so that a rolling upgrade which adds a field fails no job. A user may send neither.

    Parameters
    ----------
    payload
        The parsed body.
    ctx
        Who sent it.
    echo_job_id
        Whether anyone may send `job_id`: on sync routes it is echoed and nothing more.
    ignore_unknown
        Whether fields that the contract does not have are nobody's fault: on a route whose contract is another's.

    Raises
    ------
    ForbiddenError
        `403 internal_field`, naming the fields.
    InvalidError
        `422`, listing each unknown field.
    """
    if ctx.is_internal and ctx.service == Service.ORCHESTRATOR:
        return
    refused = _internal_fields(payload) - ({"job_id"} if echo_job_id else set())
    if refused:
        raise ForbiddenError(
            f"only the orchestrator may send {', '.join(sorted(refused))}; leave it out", code="internal_field"
        )
    if ctx.is_internal or ignore_unknown:
        return
    unknown = list(_unknown_fields(payload, "body"))
    if unknown:
        raise invalid_fields(unknown)


def check_hand_out(payload: StageFields) -> None:
    """Refuse a hand-out of a job that lacks a part: its outcome would be told to nobody, or done in nobody's name.

    Raises
    ------
    InvalidError
        `422 incomplete_hand_out`, naming the fields.
    """
    given = (payload.job_id, payload.attempt_id, getattr(payload, "content_ref", None))
    missing = [name for name in ("job_id", "attempt_id", "owner") if getattr(payload, name) is None]
    if any(given) and missing:
        raise InvalidError(f"a hand-out lacks {', '.join(missing)}", code="incomplete_hand_out")


def _internal_fields(payload: RequestModel) -> set[str]:
    """Return which of the orchestrator's fields are there; `null` asks for nothing, so it counts as absent."""
    given = {name: getattr(payload, name, None) for name in payload.model_fields_set}
    given.update(payload.model_extra or {})
    return {name for name in INTERNAL_FIELDS if given.get(name) is not None}


def _unknown_fields(value: Any, place: str) -> Iterator[FieldError]:
    if isinstance(value, RequestModel):
        for name in value.model_extra or {}:
            yield FieldError(field=f"{place}.{name}", message="there is no such field", type="extra_forbidden")
        for name, item in value.__dict__.items():
            if isinstance(item, RequestModel | list | tuple):  # of ten thousand chunks, most values are neither
                yield from _unknown_fields(item, f"{place}.{name}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _unknown_fields(item, f"{place}.{index}")
