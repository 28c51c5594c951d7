"""Looks for known vulnerabilities of all that is pinned: `python -m chores.audit [pip-audit's options]`, behind `make audit`."""

import subprocess
import sys
from pathlib import Path

from chores.folders import REPOSITORY, environment

TIMEOUT_SECONDS = 600
PIP_AUDIT = (
    *("-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off", "--timeout", "15"),
    # a package that could not be looked up is a failure: it may have any vulnerability
    "--strict",
)


def requirement_files(repository: Path) -> list[Path]:
    """Return every file of pinned requirements, each folder's in turn."""
    return sorted(repository.glob("*/requirements*.txt"))


def main(arguments: list[str], repository: Path = REPOSITORY) -> int:
    """Audit each file, and return the exit status: 1 when one has something to tell, or could not be audited."""
    failed = []
    for path in requirement_files(repository):
        name = path.relative_to(repository)
        print(f"  {name}", flush=True)
        command = [sys.executable, *PIP_AUDIT, "--requirement", str(path), *arguments]
        try:
            if subprocess.run(command, env=environment(), check=False, timeout=TIMEOUT_SECONDS).returncode:
                failed.append(str(name))
        except subprocess.TimeoutExpired:
            print(f"no answer within {TIMEOUT_SECONDS} s", file=sys.stderr)
            failed.append(str(name))
    print(f"To be looked at: {', '.join(failed)}" if failed else "No known vulnerability")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
