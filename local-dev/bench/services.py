"""The services' own code, for benches that run it in a process of theirs."""

import importlib
import os
import sys
from typing import Any, Final

from chores.folders import REPOSITORY

NOWHERE: Final = "http://127.0.0.1:9"


def import_from(service: str, module: str, **settings: str) -> Any:
    """Import a module of a service. A process can have those of one service alone: all are called `app`.

    Parameters
    ----------
    settings
        Variables that the service's settings are read from, beside those that every service has.
    """
    os.environ |= {"SERVICE_NAME": service, "MEMBERSHIP_URL": NOWHERE, **settings}
    folder = str(REPOSITORY / service)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return importlib.import_module(module)
