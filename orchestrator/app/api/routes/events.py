"""Following jobs and batches as they move."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import BatchId, CrawlId, JobId, LastEventId, RunNumber
from app.api.streaming import EventStream, seen_of
from app.core.notices.followers import Followers
from app.core.notices.streams import Stream
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.batches import BatchView
from ml_shared.contracts.crawls import RunView
from ml_shared.contracts.events import JobEvent
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["events"])

ENDED: Final = "It has ended, and its last event was seen: an `EventSource` does not come again."
LASTING: Final = (
    "A stream of server-sent events, with a comment every 15 s where nothing else comes. It ends after 55 s: come again with "
    "`Last-Event-ID`, as an `EventSource` does by itself, and nothing is missed."
)


def _answers(model: type[Any]) -> dict[int | str, dict[str, Any]]:
    said = f"`data` of each event is a `{model.__name__}`"
    return {
        200: {"description": said, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
        204: {"description": ENDED},
    }


@router.get(
    "/jobs/{job_id}/events",
    response_class=Response,
    summary="A job's events, as they happen",
    description=f"{LASTING} `id` is the event's number, from 1 without a gap.",
    responses=_answers(JobEvent),
)
async def follow_job(
    job_id: JobId, request: Request, last_event_id: LastEventId = None, ctx: CallerContext = Depends(users_and())
) -> Response:
    await enforcer.check(ctx)
    followers: Followers = request.app.state.followers
    stream = await followers.job(ctx.owner, job_id, seen_of(last_event_id))
    emit(AuditEvent.JOB_FOLLOWED, ctx, job_id=job_id)
    return _answer(stream)


@router.get(
    "/batches/{batch_id}/events",
    response_class=Response,
    summary="A batch's counts, as they change",
    description=f"{LASTING} Each event is a whole snapshot, at most one a second; the last one's type is `ended`.",
    responses=_answers(BatchView),
)
async def follow_batch(
    batch_id: BatchId, request: Request, last_event_id: LastEventId = None, ctx: CallerContext = Depends(users_and())
) -> Response:
    await enforcer.check(ctx)
    followers: Followers = request.app.state.followers
    stream = await followers.batch(ctx.owner, batch_id, seen_of(last_event_id))
    emit(AuditEvent.BATCH_FOLLOWED, ctx, batch_id=batch_id)
    return _answer(stream)


@router.get(
    "/crawls/{crawl_id}/runs/{run}/events",
    response_class=Response,
    summary="A run's counts, as they change",
    description=f"{LASTING} Each event is a whole snapshot, at most one a second; the last one's type is `ended`.",
    responses=_answers(RunView),
)
async def follow_run(
    crawl_id: CrawlId,
    run: RunNumber,
    request: Request,
    last_event_id: LastEventId = None,
    ctx: CallerContext = Depends(users_and()),
) -> Response:
    await enforcer.check(ctx)
    followers: Followers = request.app.state.followers
    stream = await followers.run(ctx.owner, crawl_id, run, seen_of(last_event_id))
    emit(AuditEvent.RUN_FOLLOWED, ctx, crawl_id=crawl_id, run=run)
    return _answer(stream)


def _answer(stream: Stream | None) -> Response:
    return Response(status_code=204) if stream is None else EventStream(stream)
