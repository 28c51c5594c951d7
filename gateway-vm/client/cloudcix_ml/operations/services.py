"""How the services are."""

import time
from email.utils import parsedate_to_datetime
from typing import Final

from cloudcix_ml.core.effects import Answer, Operation, Send
from cloudcix_ml.core.exchange import read_as
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.service import Health
from cloudcix_ml.operations.requests import get

SERVICES: Final = ("orchestrator", "scraper", "chunking", "embedding")


def clock_skew(session: Session) -> Operation[float | None]:
    """Return by how many seconds this machine's clock is ahead of the gateway's; None if it does not tell its time."""
    began = time.time()
    answer: Answer = yield Send(get("/health"))
    told = answer.headers.get("date")
    if told is None:
        return None
    try:
        at = parsedate_to_datetime(told).timestamp()
    except (ValueError, OverflowError):
        return None
    # it tells whole seconds, cut off: the middle of one is the best guess
    return (began + time.time()) / 2 - (at + 0.5)


def health(session: Session, service: str) -> Operation[Health]:
    """Return a service's word on how it is: asked once, since a service that is not well says so with a 503."""
    answer: Answer = yield Send(get(f"/api/{service}/health"))
    if answer.status == 503 and b'"checks"' in answer.body:
        return read_as(Health)(answer)
    if not answer.good:
        raise error_of(answer, session.key)
    return read_as(Health)(answer)
