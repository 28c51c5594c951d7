"""How an owner's jobs stand, in figures: what a page that shows all of them begins with."""

from fastapi import APIRouter, Depends, Request

from app.api.schemas import StatsHours
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.stats import StatsView
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])


@router.get(
    "/stats",
    response_model=StatsView,
    summary="Your jobs in figures: over time, what waits for what, what failed",
    description="Counted from the jobs themselves. At most 100,000 that ended are looked at; `complete` says whether that "
    "was enough.",
)
async def get_stats(request: Request, hours: StatsHours = 24, ctx: CallerContext = Depends(users_and())) -> StatsView:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    stats = await orchestrator.indexing.stats(ctx.owner, hours)
    emit(AuditEvent.STATS_READ, ctx, hours=hours)
    return stats
