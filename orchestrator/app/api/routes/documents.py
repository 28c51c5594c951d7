"""Uploading documents."""

from typing import Any, Final

from fastapi import APIRouter, Depends, Request, Response

from app.api.routes.async_ import answer_or_wait
from app.api.schemas import IdempotencyHeader, PreferHeader
from app.api.tracing import own_traceparent
from app.api.uploads import read_upload
from app.core.dispatch.pipeline import FIRST
from app.core.logic import Orchestrator
from ml_shared.audit.logger import AuditEvent, emit
from ml_shared.auth.context import CallerContext
from ml_shared.auth.guards import users_and
from ml_shared.contracts.jobs import JobAccepted
from ml_shared.contracts.uploads import DocumentForm, DocumentRequest
from ml_shared.http.admission import admit
from ml_shared.http.routing import GuardedRoute
from ml_shared.ratelimit.enforcer import enforcer

router = APIRouter(route_class=GuardedRoute, tags=["jobs"])


def _form() -> dict[str, Any]:
    """Return what a form is made of: the JSON fields, each as a text, and the file."""
    text, fields = {"type": "string"}, DocumentForm.model_json_schema()["properties"]
    return {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "string", "format": "binary", "description": "the document, with its name"},
            **{name: {**text, "description": field.get("description", "")} for name, field in fields.items()},
            "metadata": {**text, "description": "a JSON object"},
            "chunking": {**text, "description": "a JSON object, as in `POST /jobs`"},
            "force": {**text, "description": "`true` or `false`"},
        },
    }


BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": DocumentRequest.model_json_schema(ref_template="#/components/schemas/{model}")
            },
            "multipart/form-data": {"schema": _form()},
        },
    }
}
BODY["requestBody"]["content"]["application/json"]["schema"].pop("$defs", None)  # type: ignore[index]  # other routes have them


@router.post(
    "/documents",
    status_code=202,
    response_model=JobAccepted,
    summary="Make a file or a text searchable",
    description="A form with a `file`, or JSON with `content`. It is read as a page of its kind would be; `url`, or else "
    "`upload:` and its name, is what it is found under, and the same again replaces it. `Prefer: wait=N` as in `POST /jobs`.",
    openapi_extra=BODY,
)
async def submit_document(
    request: Request,
    response: Response,
    idempotency_key: IdempotencyHeader = None,
    prefer: PreferHeader = None,
    ctx: CallerContext = Depends(users_and()),
) -> JobAccepted:
    await enforcer.check(ctx)
    orchestrator: Orchestrator = request.app.state.orchestrator
    upload = await read_upload(request, max_bytes=orchestrator.indexing.max_upload_bytes)
    admit(upload.asked, ctx)
    accepted = await orchestrator.indexing.submit_document(
        ctx.owner,
        upload.asked,
        upload.body,
        upload.content_type,
        traceparent=own_traceparent(),
        idempotency_key=idempotency_key,
    )
    request.app.state.nudger.nudge_soon(FIRST.stage)
    emit(
        AuditEvent.DOCUMENT_SUBMITTED,
        ctx,
        job_id=accepted.job_id,
        corpus_name=upload.asked.corpus_name,
        bytes=len(upload.body),
    )
    return await answer_or_wait(request, response, ctx, accepted)
