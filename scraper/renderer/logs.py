"""Log lines as the other containers write them: one JSON object each, by the standard library, since the image has no other."""

import json
import logging
from datetime import UTC, datetime


class JsonLines(logging.Formatter):
    """Writes the fields that are known here, by the names that `ml_shared.telemetry.logs` gives them."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        return json.dumps(line)


def write_json_lines() -> None:
    """Have every logger of this process write so, to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
