"""What the stand-ins of the stages have in common: who may send which field, and a record of what was taken."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from ml_shared.contracts.base import INTERNAL_FIELDS, RequestModel
from ml_shared.names import Service
from ml_shared.testing.fake_peer import USER, FakePeer, Handler, problem

Body = TypeVar("Body", bound=RequestModel)


@dataclass(frozen=True)
class ReceivedRequest(Generic[Body]):
    """A request that was taken: as it came, and as its contract reads it."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    request: Body


class FakeStage(FakePeer, ABC, Generic[Body]):
    """A service that runs a stage, in front of what the stage does.

    Attributes
    ----------
    calls
        The requests that were taken, in order; refused ones are not among them.
    """

    contract: ClassVar[type[RequestModel]]
    path: ClassVar[str]
    echoes_job_id: ClassVar[bool] = False

    def __init__(self, *, callers: Mapping[str, str] | None = None) -> None:
        super().__init__([("POST", self.path, self._take), *self._more_routes()], callers=callers)

    def _more_routes(self) -> list[tuple[str, str, Handler]]:
        return []

    def reset(self) -> None:
        """Forget what was taken, and serve."""
        super().reset()
        self.calls: list[ReceivedRequest[Body]] = []

    def _take(self, request: Request, body: bytes, caller: str) -> Response:
        try:
            asked: Any = self.contract.model_validate_json(body)
        except ValidationError as error:
            return _invalid([".".join(map(str, ("body", *item["loc"]))) for item in error.errors()])
        if refusal := self._refuse_fields(asked, caller):
            return refusal
        answer = self._answer(asked)
        if answer.status_code < 300:
            raw = asked.model_dump(mode="json", exclude_unset=True)
            self.calls.append(ReceivedRequest(self.path, dict(request.headers), raw, asked))
        return answer

    def _refuse_fields(self, asked: RequestModel, caller: str) -> Response | None:
        """As `ml_shared.http.admission.admit`, which is not imported: it needs FastAPI, that a service imports in its time."""
        if caller in ("", Service.ORCHESTRATOR):
            return None
        sent = {name: getattr(asked, name, None) for name in asked.model_fields_set} | (asked.model_extra or {})
        internal = {name for name in INTERNAL_FIELDS if sent.get(name) is not None}
        internal -= {"job_id"} if self.echoes_job_id else set()
        if internal:
            return problem(403, "internal_field", f"only the orchestrator may send {', '.join(sorted(internal))}")
        if caller == USER and (unknown := list(_unknown_fields(asked, "body"))):
            return _invalid(unknown)
        return None

    @abstractmethod
    def _answer(self, asked: Any) -> Response:
        """Do what the stage does with a request that may be made."""


def _unknown_fields(value: Any, place: str) -> Iterator[str]:
    if isinstance(value, RequestModel):
        yield from (f"{place}.{name}" for name in value.model_extra or {})
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _unknown_fields(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_fields(item, f"{place}.{index}")


def _invalid(fields: list[str]) -> Response:
    return problem(422, "invalid_request", f"wrong or unknown: {', '.join(fields)}")
