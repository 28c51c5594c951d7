"""Where an owner wants to be told: making webhooks, trying them, reading what they were told, sending it again."""

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from app.api.schemas import (
    DeliveryId,
    DeliveryStatusFilter,
    RotationIdempotencyHeader,
    WebhookId,
    WebhookIdempotencyHeader,
)
from app.core.notifying import Notifying
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.webhooks import (
    DeliveryAccepted,
    DeliveryPage,
    ReplayAccepted,
    ReplayRequest,
    WebhookChange,
    WebhookCreated,
    WebhookList,
    WebhookRequest,
    WebhookRotated,
    WebhookView,
)
from ml_shared.http.admission import admit
from ml_shared.http.paging import Cursor, Limit, link_next
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["webhooks"])


def _notifying(request: Request) -> Notifying:
    notifying: Notifying = request.app.state.orchestrator.notifying
    return notifying


@router.post(
    "/webhooks",
    status_code=201,
    response_model=WebhookCreated,
    summary="Be told of what becomes of your jobs",
    description="The answer, and no other, has the secret that signs what is sent there (Standard Webhooks). A repeat with the "
    "same `Idempotency-Key` makes no second one; who lost the secret has a new one made by `rotate`.",
    responses={
        200: {"model": WebhookView, "description": "It was made by this `Idempotency-Key` before, and stands so"}
    },
)
async def create_webhook(
    payload: WebhookRequest,
    request: Request,
    idempotency_key: WebhookIdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> WebhookCreated | JSONResponse:
    await enforcer.check(ctx)
    admit(payload, ctx)
    created = await _notifying(request).create(ctx.owner, payload, idempotency_key=idempotency_key)
    if not isinstance(created, WebhookCreated):
        emit(AuditEvent.WEBHOOK_READ, ctx, webhook_id=created.webhook_id)
        return JSONResponse(created.model_dump(mode="json"))
    emit(AuditEvent.WEBHOOK_CREATED, ctx, webhook_id=created.webhook_id)
    return created


@router.get("/webhooks", response_model=WebhookList, summary="Your webhooks")
async def list_webhooks(request: Request, ctx: CallerContext = Depends(users_and())) -> WebhookList:
    await enforcer.check(ctx)
    found = await _notifying(request).webhooks(ctx.owner)
    emit(AuditEvent.WEBHOOKS_LISTED, ctx, results=len(found.items))
    return found


@router.get("/webhooks/{webhook_id}", response_model=WebhookView, summary="A webhook, and whether it is paused")
async def get_webhook(
    webhook_id: WebhookId, request: Request, ctx: CallerContext = Depends(users_and())
) -> WebhookView:
    await enforcer.check(ctx)
    view = await _notifying(request).webhook(ctx.owner, webhook_id)
    emit(AuditEvent.WEBHOOK_READ, ctx, webhook_id=view.webhook_id)
    return view


@router.patch(
    "/webhooks/{webhook_id}",
    response_model=WebhookView,
    summary="Change a webhook, pause it, or resume it",
    description="What happens while it is paused is kept, and sent when a replay is asked for.",
)
async def change_webhook(
    webhook_id: WebhookId, payload: WebhookChange, request: Request, ctx: CallerContext = Depends(users_and())
) -> WebhookView:
    await enforcer.check(ctx)
    admit(payload, ctx)
    view = await _notifying(request).change(ctx.owner, webhook_id, payload)
    emit(AuditEvent.WEBHOOK_CHANGED, ctx, webhook_id=view.webhook_id)
    return view


@router.delete(
    "/webhooks/{webhook_id}",
    status_code=204,
    summary="Delete a webhook, and its log",
    description="What is just being sent may still arrive.",
)
async def delete_webhook(webhook_id: WebhookId, request: Request, ctx: CallerContext = Depends(users_and())) -> None:
    await enforcer.check(ctx)
    await _notifying(request).delete(ctx.owner, webhook_id)
    emit(AuditEvent.WEBHOOK_DELETED, ctx, webhook_id=webhook_id)


@router.post(
    "/webhooks/{webhook_id}/rotate",
    response_model=WebhookRotated,
    response_model_exclude_defaults=True,
    summary="Give a webhook a new secret",
    description="For a day the one before signs as well: the signature header then carries both. A repeat with the same "
    "`Idempotency-Key` makes no third one, and its answer has no `secret`.",
)
async def rotate_secret(
    webhook_id: WebhookId,
    request: Request,
    idempotency_key: RotationIdempotencyHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> WebhookRotated:
    await enforcer.check(ctx)
    rotated, new = await _notifying(request).rotate(ctx.owner, webhook_id, idempotency_key=idempotency_key)
    if not new:
        emit(AuditEvent.WEBHOOK_READ, ctx, webhook_id=rotated.webhook_id)
        return rotated
    emit(AuditEvent.WEBHOOK_ROTATED, ctx, webhook_id=rotated.webhook_id)
    return rotated


@router.post(
    "/webhooks/{webhook_id}/test",
    status_code=202,
    response_model=DeliveryAccepted,
    summary="Send a test, `webhook.test`",
    description="Once, before all else that is for it, and to a paused webhook too: within seconds, or, at a webhook that has "
    "just failed, once the wait after that is over. How it went is in the log of deliveries.",
)
async def send_test(
    webhook_id: WebhookId, request: Request, ctx: CallerContext = Depends(users_and())
) -> DeliveryAccepted:
    await enforcer.check(ctx)
    made = await _notifying(request).send_test(ctx.owner, webhook_id)
    emit(AuditEvent.WEBHOOK_TESTED, ctx, webhook_id=webhook_id, delivery_id=made.delivery_id)
    return made


@router.get(
    "/webhooks/{webhook_id}/deliveries",
    response_model=DeliveryPage,
    summary="What a webhook was told, newest first, and how that went",
)
async def list_deliveries(
    webhook_id: WebhookId,
    request: Request,
    response: Response,
    status: DeliveryStatusFilter = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    ctx: CallerContext = Depends(users_and()),
) -> DeliveryPage:
    await enforcer.check(ctx)
    page = await _notifying(request).deliveries(ctx.owner, webhook_id, status, limit=limit, cursor=cursor)
    link_next(page.next_cursor, request, response)
    emit(AuditEvent.DELIVERIES_LISTED, ctx, webhook_id=webhook_id, results=len(page.items))
    return page


@router.post(
    "/webhooks/{webhook_id}/deliveries/{delivery_id}/replay",
    status_code=202,
    response_model=DeliveryAccepted,
    summary="Send a delivery again",
    description="With the same `webhook-id`, by which its receiver knows it again.",
)
async def replay_delivery(
    webhook_id: WebhookId, delivery_id: DeliveryId, request: Request, ctx: CallerContext = Depends(users_and())
) -> DeliveryAccepted:
    await enforcer.check(ctx)
    accepted = await _notifying(request).replay(ctx.owner, webhook_id, delivery_id)
    emit(AuditEvent.WEBHOOK_REPLAYED, ctx, webhook_id=webhook_id, delivery_id=delivery_id, deliveries=1)
    return accepted


@router.post(
    "/webhooks/{webhook_id}/replay",
    status_code=202,
    response_model=ReplayAccepted,
    summary="Send again what was made since a time",
    description="Oldest first, two at a time, at most 10,000: where there are more, `next_since` is where to go on. What does not "
    "arrive is tried again, and comes later.",
)
async def replay_since(
    webhook_id: WebhookId, payload: ReplayRequest, request: Request, ctx: CallerContext = Depends(users_and())
) -> ReplayAccepted:
    await enforcer.check(ctx)
    admit(payload, ctx)
    accepted = await _notifying(request).replay_since(ctx.owner, webhook_id, payload)
    emit(AuditEvent.WEBHOOK_REPLAYED, ctx, webhook_id=webhook_id, deliveries=accepted.deliveries)
    return accepted
