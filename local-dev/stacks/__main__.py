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


def _put(path: Path, text: str, *, force: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, text, overwrite=force)


def _of_telemetry(answers: Answers, alloy: Mapping[str, Path], kept: list[Path]) -> Iterator[str]:
    """Say what is left to be done about the VMs' `alloy.env`."""
    if kept:
        yield f"Left as they were, and found to be right: {', '.join(map(str, kept))}."
    without = [str(path) for path in alloy.values() if not path.exists()]
    if without:
        yield (
            f"Telemetry goes nowhere without {', '.join(without)}: give the four {', '.join(telemetry.ENDPOINTS)} "
            f"(and {telemetry.TOKEN}), or copy {telemetry.EXAMPLE} and fill it in."
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
    targets = {stack: chosen.into / stack / ".env" for stack in STACKS}
    alloy = {stack: chosen.into / stack / telemetry.FILE for stack in STACKS}
    wrong = telemetry.faults(telemetry.found(chosen.into))
    if wrong:
        print("\n".join([*wrong, "Nothing was written: put these right first."]), file=sys.stderr)
        return 1
    there = [str(path) for path in targets.values() if path.exists()]
    if there and not chosen.force:
        print(
            f"There is already {', '.join(there)}. Nothing was written; FORCE=1 replaces all five, with new secrets "
            "(a database that exists keeps the password that it was made with).",
            file=sys.stderr,
        )
        return 1
    try:
        answers = check(_given(os.environ))
        texts = files(REPOSITORY, settings(answers))
        of_alloy = telemetry.files(REPOSITORY, answers)
        for stack, path in targets.items():
            _put(path, texts[stack], force=chosen.force)
        kept = [path for stack, path in alloy.items() if path.exists() and not (chosen.force and stack in of_alloy)]
        for stack, text in of_alloy.items():
            if alloy[stack] not in kept:
                _put(alloy[stack], text, force=chosen.force)
    except (AnswersError, DotenvError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in [*targets.values(), *(path for stack, path in alloy.items() if stack in of_alloy and path not in kept)]:
        print(f"  {path}")
    print(
        "Mode 600, with secrets that are shown nowhere: copy each to its VM. The tokenizer goes to chunking/tokenizer/."
    )
    for line in _of_telemetry(answers, alloy, kept):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
