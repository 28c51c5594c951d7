"""Writes the five stacks' `.env` files: `python -m stacks`, behind `make env`.

Answers are environment variables, so that the one that is a secret need not stand on a command line:

    read -rs EMBEDDING_API_KEY && export EMBEDDING_API_KEY
    make -C local-dev env GATEWAY=10.0.0.9 ORCHESTRATOR=10.0.0.10 …

With the four …_REMOTE_ENDPOINT (and LGTM_BEARER_TOKEN) it writes each stack's `alloy/alloy.env` too.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from stacks import telemetry
from stacks.answers import ASKED, PORTS, Answers, AnswersError, check
from stacks.dotenv import DotenvError, write
from stacks.plan import STACKS, files, settings

REPOSITORY = Path(__file__).resolve().parents[2]


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    given = {name: environment.get(name, "") for name in ASKED}
    if given["TOKENIZER"]:  # as seen from where the command was typed
        given["TOKENIZER"] = str(Path(environment.get("PWD", "."), given["TOKENIZER"]))
    return given


def _write(into: Path, answers: Answers, *, force: bool) -> tuple[list[Path], list[Path]]:
    """Write the files, and return which were written, and which `alloy.env` are left as they were."""
    texts = files(REPOSITORY, settings(answers))
    there, made = telemetry.found(into), telemetry.files(REPOSITORY, answers)
    kept = {stack: text for stack, text in there.items() if not (force and stack in made)}
    of_alloy = {stack: text for stack, text in made.items() if stack not in kept}
    wrong = telemetry.faults(kept | of_alloy)
    if wrong:
        raise AnswersError("\n".join([*wrong, "Nothing was written: put that right first."]))
    new = {into / stack / ".env": text for stack, text in texts.items()}
    new |= {into / stack / telemetry.FILE: text for stack, text in of_alloy.items()}
    for path, text in new.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text, overwrite=force)
    return list(new), [into / stack / telemetry.FILE for stack in kept]


def _of_telemetry(answers: Answers, into: Path, kept: list[Path]) -> Iterator[str]:
    """Say what is left to be done about the VMs' `alloy.env`."""
    if kept:
        yield f"Left as they were, and found to be right: {', '.join(map(str, kept))}."
    without = [stack for stack in STACKS if stack not in telemetry.found(into)]
    if without:
        yield (
            f"Without an {telemetry.FILE} the telemetry of {', '.join(without)} goes nowhere: give the four "
            f"{', '.join(telemetry.ENDPOINTS)} (and {telemetry.TOKEN}) too, or copy {telemetry.EXAMPLE} and fill it in."
        )
    several = [name.lower() for name in PORTS if len(answers.at(name)) > 1]
    if several and not without:
        yield f"Of {', '.join(several)} there are several VMs: give each a VM_NAME of its own in its {telemetry.FILE}."


def main(arguments: list[str] | None = None) -> int:
    """Write the files and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=REPOSITORY, help="folder that has, or gets, a folder a stack")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    chosen = parser.parse_args(arguments)
    there = [str(chosen.into / stack / ".env") for stack in STACKS if (chosen.into / stack / ".env").exists()]
    if there and not chosen.force:
        for line in telemetry.faults(telemetry.found(chosen.into)):
            print(line, file=sys.stderr)
        print(
            f"There is already {', '.join(there)}. Nothing was written; FORCE=1 replaces all five, with new secrets "
            "(a database that exists keeps the password that it was made with).",
            file=sys.stderr,
        )
        return 1
    try:
        answers = check(_given(os.environ))
        written, kept = _write(chosen.into, answers, force=chosen.force)
    except (AnswersError, DotenvError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(f"  {path}")
    print(
        "Mode 600, with secrets that are shown nowhere: copy each to its VM. The tokenizer goes to chunking/tokenizer/ and "
        "embedding/tokenizer/."
    )
    for line in _of_telemetry(answers, chosen.into, kept):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
