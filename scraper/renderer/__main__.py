"""`python -m renderer --help`."""

import argparse
import asyncio
import logging
import os
import socket
import sys
from pathlib import Path

from renderer.browsers import BrowserMissingError
from renderer.logs import write_json_lines
from renderer.serving import Bounds, run

PROBE_SECONDS = 3.0


def _probe(path: Path) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(PROBE_SECONDS)
        return probe.connect_ex(str(path))


def main() -> int:
    """Read the settings and serve."""
    parser = argparse.ArgumentParser(description="Hands out Chromiums, one a page. Linux only.")
    parser.add_argument("--socket", type=Path, default=Path("/run/renderer/renderer.sock"))
    setting = os.environ.get
    parser.add_argument("--pages-at-once", type=int, default=int(setting("RENDERER_PAGES_AT_ONCE") or 2))
    parser.add_argument("--pages-each", type=int, default=int(setting("RENDERER_PAGES_EACH") or 50))
    parser.add_argument("--page-seconds", type=float, default=float(setting("RENDERER_PAGE_SECONDS") or 60))
    parser.add_argument("--page-bytes", type=int, default=int(setting("RENDERER_PAGE_BYTES") or 768 * 2**20))
    parser.add_argument("--wait-seconds", type=float, default=5)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--probe", action="store_true", help="ask whether one is there, and end")
    given = vars(parser.parse_args())
    if given.pop("probe"):
        return _probe(given["socket"])
    write_json_lines()
    try:
        path: Path = given.pop("socket")
        path.unlink(missing_ok=True)  # of one that was killed
        asyncio.run(run(path, Bounds(**given)))
        path.unlink(missing_ok=True)
    except BrowserMissingError as error:
        logging.getLogger("renderer").error("%s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
