"""A document as it comes by HTTP: a form with a file, or a text in JSON."""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from ml_shared.contracts.uploads import CONTENT_TYPE_MAX_CHARACTERS, DocumentForm, DocumentOptions, DocumentRequest
from ml_shared.errors import InvalidError, TooLargeError, UnsupportedError
from ml_shared.http.problems import FieldError, invalid_fields
from ml_shared.http.strict_json import LARGE_BYTES, parse, parse_in_pieces

FIELD_MAX_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 10
_AS_JSON: Final = ("metadata", "chunking", "force")
_UNTOLD: Final = "application/octet-stream"
# then its bytes tell what it is, and the end of its name

_Asked = TypeVar("_Asked", bound=DocumentOptions)


@dataclass(frozen=True, slots=True)
class Upload:
    """What came: what is asked of it, its bytes, and what it was said to be."""

    asked: DocumentOptions
    body: bytes
    content_type: str


async def read_upload(request: Request, *, max_bytes: int) -> Upload:
    """Read a request's document.

    Raises
    ------
    UnsupportedError
        If the body is neither form nor JSON.
    TooLargeError
        If the document has more than `max_bytes`.
    InvalidError, fastapi.exceptions.RequestValidationError
        If a field is wrong, or there is no document, or an empty one.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "multipart/form-data":
        upload = await _of_form(request)
    elif media_type == "application/json":
        upload = await _of_json(request)
    else:
        raise UnsupportedError(
            "send multipart/form-data with a file, or application/json with content and content_type",
            code="unsupported_media_type",
        )
    if len(upload.body) > max_bytes:
        raise TooLargeError(f"the document has {len(upload.body)} bytes; {max_bytes} is the most")
    if not upload.body:
        raise invalid_fields([FieldError(field="body.file", message="the document is empty", type="too_short")])
    return upload


async def _of_json(request: Request) -> Upload:
    raw = await request.body()
    document = parse(raw) if len(raw) <= LARGE_BYTES else await parse_in_pieces(raw)
    asked = _validated(DocumentRequest, document)
    form = _validated(DocumentForm, _without(document, "content", "content_type"))
    return Upload(form, asked.content.encode(), _as_utf8(asked.content_type))


async def _of_form(request: Request) -> Upload:
    async with request.form(max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELD_MAX_BYTES) as form:
        if len(form.multi_items()) > len(form):
            raise InvalidError("give each field of the form once", code="repeated_field")
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise invalid_fields(
                [FieldError(field="body.file", message="send the document as the file `file`", type="missing")]
            )
        fields: dict[str, Any] = {name: value for name, value in form.items() if name != "file"}
        for name in _AS_JSON:
            if isinstance(fields.get(name), str):
                fields[name] = _of_field(name, fields[name])
        if file.filename:
            fields.setdefault("name", file.filename)
        asked = _validated(DocumentForm, fields)
        kind = asked.content_type or file.content_type or _UNTOLD
        return Upload(asked, await file.read(), kind[:CONTENT_TYPE_MAX_CHARACTERS])


def _of_field(name: str, text: str) -> Any:
    """Return what a form's field says in JSON; what is wrong with it is told of that field, and not of the whole body."""
    try:
        return parse(text.encode())
    except InvalidError as error:
        wrong: list[FieldError] = error.extra["errors"]
        for one in wrong:
            one["field"] = one["field"].replace("body", f"body.{name}", 1)
        raise invalid_fields(wrong) from error


def _as_utf8(kind: str) -> str:
    """Return a media type that says what a text of JSON is encoded as here, whatever the file was that it comes from.

    First of the parameters, so that of a type as long as may be the end is cut off, and not this.
    """
    media_type, *parameters = kind.split(";")
    others = [one.strip() for one in parameters if one.partition("=")[0].strip().lower() != "charset"]
    return "; ".join([media_type.strip(), "charset=utf-8", *others])[:CONTENT_TYPE_MAX_CHARACTERS]


def _validated(model: type[_Asked], fields: Any) -> _Asked:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        told = [{**one, "loc": ("body", *one["loc"])} for one in error.errors(include_url=False, include_context=False)]
        raise RequestValidationError(told) from error


def _without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}
