"""The VMs' `alloy/alloy.env`: made from answers, and checked before Alloy reads them.

`python -m stacks.telemetry` checks what a checkout has of them; `make env` and `make verify-configs` do, too. No value is
ever shown.
"""

import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from stacks.answers import Answers
from stacks.dotenv import DotenvError, Settings, fill, read, variables
from stacks.plan import STACKS
from stacks.telemetry_values import CHECKS, ENDPOINTS, HEADERS, RIGHT, SAMPLING, TOKEN

__all__ = ["ENDPOINTS", "TOKEN", "faults", "files", "found"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
FILE: Final = "alloy/alloy.env"
EXAMPLE: Final = f"{FILE}.example"
OF_THE_PROGRAM: Final = {
    name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (upper, upper.lower())
} | {"SSL_CERT_FILE", "SSL_CERT_DIR"}
"""What every Go program reads: no variable of ours, but one that an operator may need."""
SAMPLED_BY_DEFAULT: Final = "100"


def found(folder: Path) -> dict[str, str]:
    """Return the text of each stack's `alloy.env` that is there."""
    paths = {stack: folder / stack / FILE for stack in STACKS}
    return {stack: path.read_text() for stack, path in paths.items() if path.is_file()}


def files(repository: Path, answers: Answers) -> dict[str, str]:
    """Return each stack's `alloy.env` if the answers say where telemetry goes, and else none."""
    given = {name: str(getattr(answers, name)) for name in ENDPOINTS if getattr(answers, name)}
    if not given:
        return {}
    if answers.LGTM_BEARER_TOKEN:
        given[TOKEN] = answers.LGTM_BEARER_TOKEN.get_secret_value()
    made = {}
    for stack in STACKS:
        try:
            # as Alloy calls a VM that was given no name
            made[stack] = fill(
                (repository / stack / EXAMPLE).read_text(), {**given, "VM_NAME": stack.removesuffix("-vm")}
            )
        except DotenvError as error:
            raise DotenvError(f"{stack}/{EXAMPLE}: {error}") from error
    return made


def faults(texts: Mapping[str, str], repository: Path = REPOSITORY) -> list[str]:
    """Return what is wrong with the `alloy.env` of these stacks: a line each, which names the file and the variable."""
    settings = {stack: read(text) for stack, text in texts.items()}
    lines = [
        f"{stack}/{FILE}: {fault}"
        for stack, one in settings.items()
        for fault in _in_one(one, (repository / stack / EXAMPLE).read_text())
    ]
    return [*lines, *_between(settings)]


def _in_one(settings: Settings, example: str) -> Iterator[str]:
    known, needed = variables(example)
    for name, fault in settings.faults.items():
        yield f"{name} {fault}"
    for name in settings:
        if name not in known and name not in OF_THE_PROGRAM:
            near = get_close_matches(name.upper(), known, n=1)
            yield f"{name} is not read by this stack's Alloy" + (f": is {near[0]} meant?" if near else "")
    for name in needed:
        if not settings.get(name) and name not in settings.faults:
            yield f"{name} is missing: {name}={RIGHT[name]}"
    for name in known:
        value = settings.get(name)
        fault = CHECKS[name](value) if value else None
        if fault:
            yield f"{name} {fault}" + (f". Right is, for one, {name}={RIGHT[name]}" if name in RIGHT else "")
    headers = [name for name in HEADERS if settings.get(name)]
    if headers and settings.get(TOKEN):
        yield f"{TOKEN} and {', '.join(headers)} are both set: spans have one set of headers, so leave one of the two"


def _between(settings: Mapping[str, Settings]) -> Iterator[str]:
    named: dict[str, list[str]] = {}
    for stack, one in settings.items():
        if one.get("VM_NAME"):
            named.setdefault(one["VM_NAME"], []).append(stack)
    for stacks in named.values():
        if len(stacks) > 1:
            yield f"VM_NAME is the same in {', '.join(stacks)}: each VM has its own, or their series mix"
    if len({float(one) for one in _percentages(settings)}) > 1:
        yield (
            f"{SAMPLING} differs between {', '.join(settings)} (without it it is {SAMPLED_BY_DEFAULT}): "
            "the same on every VM, or traces lose the spans of some"
        )


def _percentages(settings: Mapping[str, Settings]) -> Iterator[str]:
    for one in settings.values():
        value = one.get(SAMPLING) or SAMPLED_BY_DEFAULT
        if not CHECKS[SAMPLING](value):  # else that is what is said
            yield value


def main(folder: Path = REPOSITORY) -> int:
    """Say what the checkout has of these files and what is wrong with them, and return the exit status."""
    texts = found(folder)
    wrong = faults(texts)
    for line in wrong:
        print(f"  {line}")
    print(
        f"{FILE} of {', '.join(texts)}: {'to be put right' if wrong else 'all right'}"
        if texts
        else f"No stack has an {FILE} here, so there is none to check: telemetry goes nowhere without."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
