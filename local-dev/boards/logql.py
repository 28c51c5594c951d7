"""LogQL, read by Grafana's own grammar of it, which is a JavaScript package."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chores.folders import LOCAL_DEV

from ml_shared.testing.binaries import BinaryMissingError

PACKAGE: Final = LOCAL_DEV / "logql"
INSTALLED: Final = LOCAL_DEV / ".cache" / "logql"
INSTALL_TIMEOUT_SECONDS: Final = 120
PARSE_TIMEOUT_SECONDS: Final = 30


def logql_errors(queries: Sequence[str]) -> list[list[int]]:
    """Return for each LogQL query where Grafana's grammar of it breaks.

    Raises
    ------
    BinaryMissingError
        If there is no Node.js with npm to run that grammar.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise BinaryMissingError("no Node.js here: install Node.js 20 or newer, with npm, so that both are on the PATH")
    lock = "package-lock.json"
    if not _same(PACKAGE / lock, INSTALLED / lock):
        INSTALLED.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", ".npmrc", "errors.mjs"):
            shutil.copy(PACKAGE / name, INSTALLED)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        shutil.copy(PACKAGE / lock, INSTALLED)
        try:
            subprocess.run(command, cwd=INSTALLED, check=True, timeout=INSTALL_TIMEOUT_SECONDS, capture_output=True)
        except subprocess.CalledProcessError as error:
            (INSTALLED / lock).unlink()  # or the next run would take it for installed
            raise BinaryMissingError(
                f"npm could not install Grafana's grammar: {error.stderr.decode()[-1000:]}"
            ) from error
    shutil.copy(PACKAGE / "errors.mjs", INSTALLED)
    done = subprocess.run(
        [node, "errors.mjs"],
        cwd=INSTALLED,
        input=json.dumps(list(queries)),
        capture_output=True,
        text=True,
        timeout=PARSE_TIMEOUT_SECONDS,
        check=True,
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
