"""`Prefer`, as RFC 7240 has it: what is not understood, or can't be done, is no error."""

import re
from typing import Final

WAIT_MOST_SECONDS: Final = 60
# below the gateway's patience with this service

_WAIT: Final = re.compile(r'\s*wait\s*=\s*"?([0-9]{1,9})"?\s*(?:;.*)?', re.IGNORECASE | re.ASCII | re.DOTALL)


def wait_seconds(values: list[str]) -> int | None:
    """Return how long a client would wait for the outcome, at most a minute; `None` if it would not."""
    for value in values:
        for preference in value.split(","):
            if found := _WAIT.fullmatch(preference):
                return min(int(found[1]), WAIT_MOST_SECONDS) or None
    return None
