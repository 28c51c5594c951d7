"""POST /enqueue and GET /results/{task_id}: the page later."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.schemas import EnqueueAnswer, EnqueueScrape, PendingResult, ScrapeResult
from app.worker.tasks import scrape_task
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.base import Identifier
from ml_shared.http.admission import admit, check_hand_out
from ml_shared.http.routing import GuardedRoute
from ml_shared.names import Service
from ml_shared.queues.results import result_response
from ml_shared.ratelimit.enforcer import enforcer
from ml_shared.telemetry.urls import told_url

router = APIRouter(route_class=GuardedRoute, tags=["async"])


@router.post(
    "/enqueue",
    status_code=202,
    response_model=EnqueueAnswer,
    summary="Fetch a page in the background",
    description="The outcome is at `GET /results/{task_id}` for an hour, for the caller who asked.",
)
async def scrape_async(
    payload: EnqueueScrape, request: Request, ctx: CallerContext = Depends(users_and(Service.ORCHESTRATOR))
) -> EnqueueAnswer:
    await enforcer.check(ctx)
    admit(payload, ctx)
    check_hand_out(payload)
    kwargs = payload.model_dump(mode="json", include=set(EnqueueScrape.model_fields))
    answer: EnqueueAnswer = await request.app.state.tasks.enqueue(
        scrape_task, ctx, kwargs=kwargs, job_id=payload.job_id
    )
    emit(AuditEvent.SCRAPE_ENQUEUED, ctx, job_id=payload.job_id, task_id=answer.task_id, url=told_url(payload.url))
    return answer


@router.get(
    "/results/{task_id}",
    response_model=ScrapeResult,
    responses={202: {"model": PendingResult, "description": "The task has not ended"}},
    summary="The outcome of a task",
    description="What `POST /scrape` would have answered, errors included.",
)
async def scrape_result(
    task_id: Annotated[Identifier, Path()],
    request: Request,
    ctx: CallerContext = Depends(users_and()),
) -> Response:
    await enforcer.check(ctx)
    response = await result_response(request.app.state.results, task_id, ctx)
    emit(AuditEvent.RESULT_READ, ctx, task_id=task_id)
    return response
