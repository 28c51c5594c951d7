"""The process that extraction runs in: `python -m app.core.extraction.worker`.

It turns pages into text, and reads lists of URLs (`app.core.discovery`). It reads a request (a frame of JSON, a frame with the page) from its input and writes the answer (a frame of JSON) to its
output, until the input ends. It is expendable: it has no secrets in its environment, a limit on its memory, and a clock
that kills it when a page takes too long, even if whoever started it is gone. When memory runs out on the machine it is
the first to go.
"""

import contextlib
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app.core.errors import ExtractionError
from app.core.extraction.extract import extract
from app.core.extraction.frames import LENGTH, frame
from ml_shared.errors import ServiceError


def main(memory_bytes: int) -> None:
    """Serve until the input ends."""
    requests, answers = _own_pipes()
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not on every kernel
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even inside a parser that never returns
    answers.write(frame(b"ready"))
    answers.flush()
    while (head := _read_frame(requests)) is not None:
        page = _read_frame(requests)
        if page is None:
            return
        request = orjson.loads(head)
        signal.setitimer(signal.ITIMER_REAL, request.pop("timeout_seconds"))
        answer = _answer(page, request)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(frame(answer))
        answers.flush()


def _own_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the standard streams for frames alone: what a library prints goes nowhere."""
    requests = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nowhere, standard)
    return requests, answers


def _read_frame(stream: BinaryIO) -> bytes | None:
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    payload = stream.read(LENGTH.unpack(length)[0])
    return payload if len(payload) == LENGTH.unpack(length)[0] else None


def _answer(page: bytes, request: dict[str, Any]) -> bytes:
    try:
        if request.pop("lists", False):
            from app.core.discovery.documents import read_list  # few processes ever need it

            return orjson.dumps({"listing": read_list(page, **request)})
        return orjson.dumps({"extract": extract(page, **request)})
    except ServiceError as error:
        failure = error
    except MemoryError:
        failure = ExtractionError("the page needs more memory to be read than it may have")
    except Exception as error:  # noqa: BLE001 - parsers raise what they like; the page is at fault
        failure = ExtractionError(f"the page could not be turned into text ({type(error).__name__})")
    return orjson.dumps({"code": failure.code, "detail": failure.detail})


if __name__ == "__main__":
    main(int(sys.argv[1]))
