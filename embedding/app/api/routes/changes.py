"""The operator's routes: corpora to another model, behind what else is going on."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path

from app.api.dependencies import Service
from app.api.schemas import (
    ModelChange,
    ModelChangePlan,
    ModelChangeRequest,
    ModelChanges,
    ModelChangeScope,
    PlannedCorpus,
)
from app.config import settings
from app.core.changes import Wanted, ask_for_change, cancel_change, latest_changes, plan_change, read_change
from app.core.reembedding import MIN_RECALL
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import internal_only
from ml_shared.http.routing import GuardedRoute
from ml_shared.http.sync import within_deadline
from ml_shared.ratelimit.enforcer import enforcer

OPERATOR: Final = "operator"
# who `INTERNAL_CALLER_IDS` says may do this
Number = Annotated[int, Path(ge=1, lt=2**63)]

router = APIRouter(route_class=GuardedRoute, prefix="/models/changes", tags=["internal"])


@router.post(
    "",
    status_code=201,
    summary="Operator: have corpora answer from another model",
    description="Notes what is wanted; one API process does it, behind what else is going on. With the model that they had "
    "before it is the way back, until that one's vectors are deleted (`forget`).",
)
async def start_change(
    payload: ModelChangeRequest, service: Service, ctx: CallerContext = Depends(internal_only(OPERATOR))
) -> ModelChange:
    await enforcer.check(ctx)
    wanted = Wanted(
        payload.model, payload.owner, payload.corpus_name, payload.min_recall, payload.switch, payload.forget
    )
    noted = await ask_for_change(service, wanted)
    emit(AuditEvent.MODEL_CHANGE_ASKED, ctx, change=noted["id"], model=payload.model)
    return _view(noted)


@router.post("/plan", summary="Operator: what a change would take")
async def plan(
    payload: ModelChangeScope, service: Service, ctx: CallerContext = Depends(internal_only(OPERATOR))
) -> ModelChangePlan:
    await enforcer.check(ctx)
    wanted = Wanted(payload.model, payload.owner, payload.corpus_name, MIN_RECALL)
    planned = await within_deadline(
        plan_change(service, wanted), settings.SYNC_TIMEOUT_SECONDS, "one owner or corpus, or app.reembed --dry-run"
    )
    emit(AuditEvent.MODEL_CHANGE_READ, ctx, model=payload.model)
    return ModelChangePlan(
        corpora=[
            PlannedCorpus(
                owner=one.corpus.owner,
                corpus_name=one.corpus.name,
                chunks=one.chunks,
                tokens=one.tokens,
                too_long=one.too_long,
            )
            for one in planned
        ],
        chunks=sum(one.chunks for one in planned),
        tokens=sum(one.tokens for one in planned),
    )


@router.get("", summary="Operator: the latest changes, newest first")
async def list_changes(service: Service, ctx: CallerContext = Depends(internal_only(OPERATOR))) -> ModelChanges:
    await enforcer.check(ctx)
    noted = await latest_changes(service)
    emit(AuditEvent.MODEL_CHANGE_READ, ctx)
    return ModelChanges(items=[_view(one) for one in noted])


@router.get("/{number}", summary="Operator: a change, and how far it is")
async def get_change(
    number: Number, service: Service, ctx: CallerContext = Depends(internal_only(OPERATOR))
) -> ModelChange:
    await enforcer.check(ctx)
    noted = await read_change(service, number)
    emit(AuditEvent.MODEL_CHANGE_READ, ctx, change=number)
    return _view(noted)


@router.post(
    "/{number}/cancel",
    summary="Operator: stop a change",
    description="Corpora that have changed stay so, and the vectors that were made are there for the next time.",
)
async def stop_change(
    number: Number, service: Service, ctx: CallerContext = Depends(internal_only(OPERATOR))
) -> ModelChange:
    await enforcer.check(ctx)
    noted = await cancel_change(service, number)
    emit(AuditEvent.MODEL_CHANGE_CANCELLED, ctx, change=number)
    return _view(noted)


def _view(noted: dict[str, Any]) -> ModelChange:
    return ModelChange(**{("corpus_name" if name == "corpus" else name): value for name, value in noted.items()})
