"""Writes the five stacks' `.env` files: `python -m stacks`, behind `make env`.

Answers are environment variables, so that the one that is a secret need not stand on a command line:

    read -rs EMBEDDING_API_KEY && export EMBEDDING_API_KEY
    make -C local-dev env GATEWAY=10.0.0.9 ORCHESTRATOR=10.0.0.10 …
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from stacks.answers import ASKED, AnswersError, check
from stacks.dotenv import DotenvError, write
from stacks.plan import STACKS, files, settings

REPOSITORY = Path(__file__).resolve().parents[2]


def _given(environment: Mapping[str, str]) -> dict[str, str]:
    given = {name: environment.get(name, "") for name in ASKED}
    if given["TOKENIZER"]:  # as seen from where the command was typed
        given["TOKENIZER"] = str(Path(environment.get("PWD", "."), given["TOKENIZER"]))
    return given


def main(arguments: list[str] | None = None) -> int:
    """Write the files and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m stacks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=REPOSITORY, help="folder that has, or gets, a folder a stack")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    chosen = parser.parse_args(arguments)
    targets = {stack: chosen.into / stack / ".env" for stack in STACKS}
    there = [str(path) for path in targets.values() if path.exists()]
    if there and not chosen.force:
        print(
            f"There is already {', '.join(there)}. Nothing was written; FORCE=1 replaces all five, with new secrets "
            "(a database that exists keeps the password that it was made with).",
            file=sys.stderr,
        )
        return 1
    try:
        texts = files(REPOSITORY, settings(check(_given(os.environ))))
        for stack, path in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, texts[stack], overwrite=chosen.force)
    except (AnswersError, DotenvError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    for path in targets.values():
        print(f"  {path}")
    print(
        "Mode 600, with secrets that are shown nowhere: copy each to its VM. The tokenizer goes to chunking/tokenizer/."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
