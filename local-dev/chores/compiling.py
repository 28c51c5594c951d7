"""Has Python compile what the fleet imports, once: a dozen processes that start at once would each compile all of it.

`python -m chores.compiling`, the last step of an installation.
"""

import compileall
import contextlib
import importlib
from typing import Final

from checklist.apps import DescriptionError
from checklist.fleet import Fleet

from chores.folders import REPOSITORY, SERVICES

BESIDE_THE_SERVICES: Final = ("demo.run", "fleet.cli", "standins.demo_site", "standins.endpoint", "traces.sink")
WITH_THE_FIRST_PAGE: Final = ("trafilatura",)
# what several processes of the scraper import at once, and only then


def main() -> None:
    """Import or compile everything, the services' modules in processes of their own."""
    with contextlib.suppress(DescriptionError):  # whoever starts a service that can't be imported is told then
        Fleet(REPOSITORY).start()
    for service in SERVICES:
        compileall.compile_dir(
            REPOSITORY / service / "app", quiet=2
        )  # those that are imported with the first request, too
    for name in (*BESIDE_THE_SERVICES, *WITH_THE_FIRST_PAGE):
        importlib.import_module(name)


if __name__ == "__main__":
    main()
