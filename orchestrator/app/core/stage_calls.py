"""Calling a stage, and what its answer means for the job and for the stage."""

from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson
from pydantic import ValidationError

from app.core.hand_outs import HandOut, StageRequest
from app.core.pipeline import StageDefinition
from ml_shared.contracts.queueing import EnqueueAnswer
from ml_shared.names import Header, Service

_GIVEN_BACK_STATUSES: Final = frozenset({401, 403, 404, 408, 429})
# the stage would refuse any job like this: it is set up wrongly, or busy


@dataclass(frozen=True, slots=True)
class Accepted:
    """`202`: the job waits in the stage's queue."""

    queue_epoch: str | None


@dataclass(frozen=True, slots=True)
class Answered:
    """`200` of a stage whose answer is its result."""

    body: bytes
    stats: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Nothing was done, and nothing would be for any other job now."""

    reason: str
    retry_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The stage will never take this job."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """It was sent, and no answer came: it may or may not be under way, so its lease decides."""

    reason: str


Outcome = Accepted | Answered | Unavailable | Rejected | Unknown


class StageClient:
    """Hands jobs to the stages' own addresses.

    Parameters
    ----------
    http
        Pooled, with this service's key among its headers, timeouts set, and no redirects followed.
    addresses
        Base URL of each stage's service.
    """

    def __init__(self, http: httpx.AsyncClient, addresses: dict[Service, str]) -> None:
        self._http = http
        self._addresses = addresses

    async def hand_out(self, definition: StageDefinition, job: HandOut, page: bytes = b"") -> Outcome:
        """Send a job to its stage.

        Parameters
        ----------
        page
            The content that the stage before kept, for a stage whose answer is its result.
        """
        try:
            request = definition.request(job, page)
        except ValidationError:
            return Rejected("content_corrupt", "the page that was kept cannot be read")
        answer = await self._post(definition, request)
        if not isinstance(answer, httpx.Response):
            return answer
        try:
            if definition.read_answer is not None:
                return Answered(answer.content, definition.read_answer(answer.content, page))
            return Accepted(EnqueueAnswer.model_validate_json(answer.content).queue_epoch)
        except ValidationError:
            return Unknown("its answer was not what its contract says")

    async def _post(
        self, definition: StageDefinition, request: StageRequest
    ) -> httpx.Response | Unavailable | Rejected | Unknown:
        try:
            answer = await self._http.post(
                self._addresses[definition.service] + request.path,
                content=orjson.dumps(request.body),
                headers={"Content-Type": "application/json"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            return Unavailable(f"not reached ({type(error).__name__})")
        except httpx.HTTPError as error:
            return Unknown(f"no answer ({type(error).__name__})")
        if answer.status_code < 300:
            return answer
        if answer.status_code in _GIVEN_BACK_STATUSES or answer.status_code >= 500 or answer.status_code < 400:
            if answer.status_code == 504 and definition.read_answer is not None:
                return Unknown("it ran out of time")
            return Unavailable(f"answered {answer.status_code} {_problem(answer)[0]}", _retry_after(answer))
        return Rejected(*_problem(answer))


def _problem(answer: httpx.Response) -> tuple[str, str]:
    """Return code and detail of a problem document, or something to go by where it is not one."""
    try:
        problem = answer.json()
        return str(problem["code"])[:64], str(problem["detail"])[:1000]
    except (ValueError, KeyError, TypeError):
        return "stage_rejected", f"the stage answered {answer.status_code}"


def _retry_after(answer: httpx.Response) -> float | None:
    value = answer.headers.get(Header.RETRY_AFTER, "")
    return float(value) if value.isdigit() else None
