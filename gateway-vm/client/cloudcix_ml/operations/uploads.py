"""Files: sent as they are, and made into a job like any page."""

import json
import mimetypes
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from cloudcix_ml.core.effects import Operation, Request
from cloudcix_ml.core.exchange import call
from cloudcix_ml.core.session import Session
from cloudcix_ml.errors import ConfigurationError
from cloudcix_ml.models.jobs import ChunkingOptions, JobAccepted
from cloudcix_ml.operations.requests import ORCHESTRATOR, idempotent
from cloudcix_ml.texts import encoded

DOCUMENTS: Final = f"{ORCHESTRATOR}/documents"
UPLOAD_TIMEOUT_SECONDS: Final = 120.0
MOST_BYTES: Final = 256 * 1024 * 1024
# what is read into memory at most; the platform's own limit is lower, and its answer names it
KINDS: Final[Mapping[str, str]] = {
    ".md": "text/markdown",
    ".rst": "text/x-rst",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".epub": "application/epub+zip",
}
"""Of names that not every machine knows the kind of."""


def upload(
    session: Session,
    file: str | Path | BinaryIO,
    *,
    corpus_name: str = "default",
    name: str | None = None,
    url: str | None = None,
    content_type: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    chunking: ChunkingOptions | None = None,
    force: bool | None = None,
    idempotency_key: str | None = None,
) -> Operation[JobAccepted]:
    """Have a file indexed, and return its job at once.

    Parameters
    ----------
    file
        A path, or a file that is open for reading bytes.
    name
        What it is called; the file's own name unless given.
    url
        What the document is known by; `upload:<name>` unless given. The same again replaces it.
    content_type
        What kind of file it is; by its name unless given.
    force
        Cut and embed it also where the same text is there already.
    """
    called, content = _read(file, name)
    fields = {
        "corpus_name": corpus_name,
        "url": url,
        "metadata": None if metadata is None else json.dumps(dict(metadata)),
        "chunking": None if chunking is None else chunking.sent().decode(),
        "force": "true" if force else None,
    }
    kind, body = _multipart(
        {name: value for name, value in fields.items() if value is not None},
        called,
        content_type or _kind_of(called),
        content,
    )
    request = Request(
        "POST",
        DOCUMENTS,
        headers={"Content-Type": kind, **idempotent(idempotency_key)},
        body=body,
        timeout_seconds=UPLOAD_TIMEOUT_SECONDS,
    )
    return (yield from call(session, request, JobAccepted))


def check(file: str | Path) -> None:
    """See that a file can be uploaded, before anything else is done that would have to be told if it can't.

    Raises
    ------
    ConfigurationError
        If it can't be read, or is too large.
    """
    path = Path(file)
    _named(path.name)
    try:
        facts = path.stat()
        if not stat.S_ISFIFO(facts.st_mode):  # whoever writes into one would lose its reader
            path.open("rb").close()
    except OSError as error:
        raise _unreadable(file, error) from error
    if facts.st_size > MOST_BYTES:
        raise _too_large(path.name)


def _named(name: str) -> None:
    try:
        encoded(name)
    except ConfigurationError as error:
        # not sent as something like it: two such files would be one document
        raise ConfigurationError(f"a file's name: {error}; rename it, or send its content under another name") from None


def _unreadable(file: str | Path, error: OSError) -> ConfigurationError:
    hint = "" if isinstance(file, Path) else "; a page's address begins with http:// or https://"
    return ConfigurationError(f"{file} can't be read: {error.strerror}{hint}")


def _too_large(name: str) -> ConfigurationError:
    return ConfigurationError(f"{name} has more than {MOST_BYTES} bytes")


def _read(file: str | Path | BinaryIO, name: str | None) -> tuple[str, bytes]:
    """Return a file's name and its bytes."""
    if isinstance(file, str | Path):
        path = Path(file)
        try:
            with path.open("rb") as opened:
                content = opened.read(MOST_BYTES + 1)
        except OSError as error:
            raise _unreadable(file, error) from error
        called = name or path.name
    else:
        content = file.read(MOST_BYTES + 1)
        if not isinstance(content, bytes):
            raise ConfigurationError("the file was opened as text; open it with mode 'rb'")
        called = name or Path(str(getattr(file, "name", ""))).name
    if not called or called.startswith("<"):
        raise ConfigurationError("a file without a name needs one: name='…'")
    _named(called)
    if len(content) > MOST_BYTES:
        raise _too_large(called)
    return called, content


def _kind_of(name: str) -> str:
    suffix = Path(name).suffix.lower()
    return KINDS.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"


def _multipart(fields: Mapping[str, str], name: str, kind: str, content: bytes) -> tuple[str, bytes]:
    """Return a form's content type and its bytes (RFC 7578): the names in it are data, whatever stands in them."""
    boundary = secrets.token_hex(16)
    parts = [
        encoded(f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n') + encoded(value) + b"\r\n"
        for field, value in fields.items()
    ]
    quoted = name.replace("\\", "\\\\").replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    if any(ord(letter) < 32 for letter in kind):
        raise ConfigurationError("a content type has no line breaks")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quoted}"\r\nContent-Type: {kind}\r\n\r\n'
    end = f"\r\n--{boundary}--\r\n"
    return f"multipart/form-data; boundary={boundary}", b"".join([*parts, encoded(head), content, end.encode()])
