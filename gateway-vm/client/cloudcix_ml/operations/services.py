"""How the services are."""

from typing import Final

from cloudcix_ml.core.effects import Answer, Operation, Send
from cloudcix_ml.core.exchange import read_as
from cloudcix_ml.core.problems import error_of
from cloudcix_ml.core.session import Session
from cloudcix_ml.models.service import Health
from cloudcix_ml.operations.requests import get

SERVICES: Final = ("orchestrator", "scraper", "chunking", "embedding")


def health(session: Session, service: str) -> Operation[Health]:
    """Return a service's word on how it is: asked once, since a service that is not well says so with a 503."""
    answer: Answer = yield Send(get(f"/api/{service}/health"))
    if answer.status == 503 and b'"checks"' in answer.body:
        return read_as(Health)(answer)
    if not answer.good:
        raise error_of(answer, session.key)
    return read_as(Health)(answer)
