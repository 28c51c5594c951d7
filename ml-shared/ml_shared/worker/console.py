"""What Celery prints instead of logging, made log lines: its banner, and its word on being stopped."""

from typing import Any

import celery.apps.worker

from ml_shared.instrumentation import start_logging
from ml_shared.telemetry.logs import write_line


def speak_json(worker: Any) -> None:
    """Let a worker that starts write nothing but log lines. First of all: Celery's own set-up comes after its warnings.

    Parameters
    ----------
    worker
        Celery's `WorkController`, as its signal `celeryd_init` has it.
    """
    start_logging()
    worker.quiet = True  # no banner
    celery.apps.worker.safe_say = _say


def _say(message: str, *_: Any) -> None:
    write_line(celery.apps.worker.__name__, message)
