"""What commands say, a line at a time, to whoever still reads."""

import os
import sys


def say(line: str) -> None:
    """Say a line; once nobody reads (`make status | head`), the command goes on to its end and says nothing more."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
