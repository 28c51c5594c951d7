"""Reading jobs."""

from fastapi import APIRouter, Depends, Request, Response

from app.api.schemas import (
    BatchFilter,
    CorpusFilter,
    CreatedAfter,
    EndedAfter,
    ErrorCodeFilter,
    HostFilter,
    JobId,
    StatusFilter,
    UrlPrefixFilter,
)
from app.core.jobs.filters import JobFilter
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.jobs import JobPage, JobView
from ml_shared.http.paging import Cursor, Limit, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])


@router.get("/jobs/{job_id}", response_model=JobView, summary="A job: where it stands, why it waits, what it came to")
async def get_job(job_id: JobId, request: Request, ctx: CallerContext = Depends(users_and())) -> JobView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    job = await orchestrator.indexing.job(ctx.owner, job_id)
    emit(AuditEvent.JOB_READ, ctx, job_id=job.job_id)
    return job


@router.get("/jobs", response_model=JobPage, summary="Your jobs, newest first")
async def list_jobs(
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: StatusFilter = None,
    corpus_name: CorpusFilter = None,
    batch_id: BatchFilter = None,
    created_after: CreatedAfter = None,
    host: HostFilter = None,
    url_prefix: UrlPrefixFilter = None,
    error_code: ErrorCodeFilter = None,
    ended_after: EndedAfter = None,
    ctx: CallerContext = Depends(users_and()),
) -> JobPage:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    wanted = JobFilter(status, corpus_name, batch_id, created_after, host, url_prefix, error_code, ended_after)
    page = await orchestrator.indexing.jobs(ctx.owner, wanted, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.JOBS_LISTED, ctx, results=len(page.items))
    return page
