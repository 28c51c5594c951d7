"""`python -m app.reembed --model NEW`: changes corpora to another model while they answer."""

import argparse
import asyncio
import sys

from app.config import settings
from app.core.reembedding import MIN_RECALL, Change
from app.core.service import open_embedding
from ml_shared.errors import ServiceError
from ml_shared.instrumentation import start_logging

COMMAND_TIMEOUT_SECONDS = 3600.0
# counting what a large corpus lacks, and comparing all of it, takes longer than a request would wait


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.reembed", description=__doc__)
    parser.add_argument(
        "--model", required=True, help="EMBEDDING_MODEL or EMBEDDING_NEXT_MODEL: the one to answer from"
    )
    parser.add_argument("--owner", help="only this owner's corpora")
    parser.add_argument("--corpus", help="only corpora of this name")
    parser.add_argument("--min-recall", type=float, default=MIN_RECALL, help="below it a corpus stays as it is")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="say what there is to do, and do nothing")
    what.add_argument("--drop", action="store_true", help="delete this model's vectors: no corpus answers from it")
    return parser.parse_args()


async def _run(chosen: argparse.Namespace) -> int:
    async with open_embedding(settings, command_timeout_seconds=COMMAND_TIMEOUT_SECONDS) as service:
        change = Change.to(
            service, chosen.model, owner=chosen.owner, corpus=chosen.corpus, min_recall=chosen.min_recall
        )
        if chosen.drop:
            print(f"{await change.drop()} vectors of {chosen.model} deleted")
            return 0
        if chosen.dry_run:
            planned = await change.plan()
            for one in planned:
                longer = f", {one.too_long} of them too long" if one.too_long else ""
                print(f"{one.corpus.owner} {one.corpus.name}: {one.chunks} chunks, {one.tokens} tokens{longer}")
            chunks, tokens = sum(one.chunks for one in planned), sum(one.tokens for one in planned)
            print(f"{len(planned)} corpora to change, {chunks} chunks and {tokens} tokens to embed")
            return 0
        return 0 if await change.run() else 1


def main() -> int:
    """Do what was asked, and return the exit status: 1 if a corpus could not be changed."""
    start_logging()
    try:
        return asyncio.run(_run(_arguments()))
    except ServiceError as error:
        print(error.detail, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
