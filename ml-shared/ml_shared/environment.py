"""Settings from the environment, and what an operator is told when they are not right."""

import logging
import os
from typing import Any, Final

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_shared.telemetry.logs import log_handler

STARTUP_FAILURE: Final = 3
# uvicorn's own status for it: on any other its parent process starts such a child again and again


class EnvironmentSettings(BaseSettings):
    """Base of all settings. `Settings()`, as a process makes them at its start, ends it when they are not right.

    With one line that names each variable and what it has to be, and no value. Made with arguments, as in tests, they
    raise pydantic's `ValidationError`.
    """

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", hide_input_in_errors=True)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            if values:
                raise
            _write_line(f"not started, settings are not right: {'; '.join(_problems(type(self), error))}")
            raise SystemExit(STARTUP_FAILURE) from None


def _problems(settings: type[BaseSettings], error: ValidationError) -> list[str]:
    found: dict[str, str] = {}
    for each in error.errors(include_input=False, include_url=False):
        message = each["msg"].removeprefix("Value error, ")
        if not each["loc"]:  # of several variables, which the message names
            found[message] = message
            continue
        name = str(each["loc"][0])
        field = settings.model_fields.get(name)
        wanted = f" ({field.description})" if field and field.description else ""
        # no colon after the name: behind SERVICE_API_KEY the rest would be masked as its value
        problem = f"is missing{wanted}" if each["type"] == "missing" else f"is refused{wanted}, {message}"
        found.setdefault(name, f"{name} {problem}")
    return list(found.values())


def _write_line(event: str) -> None:
    # not through the loggers: in a Celery process nobody has set them up yet
    handler = log_handler(
        service=os.environ.get("SERVICE_NAME") or "unknown",
        version=os.environ.get("SERVICE_VERSION") or "dev",
        environment=os.environ.get("ENVIRONMENT") or "dev",
    )
    handler.handle(logging.LogRecord(__name__, logging.CRITICAL, "", 0, event, None, None))
