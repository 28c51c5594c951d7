"""Has Python compile what the fleet imports, once: a dozen processes that start at once would each compile all of it.

`python -m chores.compiling`, the last step of an installation.
"""

import contextlib
import importlib
from typing import Final

from checklist.apps import DescriptionError
from checklist.fleet import Fleet

from chores.folders import REPOSITORY

BESIDE_THE_SERVICES: Final = ("demo.run", "fleet.cli", "standins.demo_site", "standins.endpoint", "traces.sink")


def main() -> None:
    """Import everything, the services' modules in processes of their own."""
    with contextlib.suppress(DescriptionError):  # whoever starts a service that can't be imported is told then
        Fleet(REPOSITORY).start()
    for name in BESIDE_THE_SERVICES:
        importlib.import_module(name)


if __name__ == "__main__":
    main()
