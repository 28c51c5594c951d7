"""A process that ends with the one that started it, however that ends: its standard input is a pipe that then closes."""

import argparse
import os
import signal
import sys
import threading


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument that ties a process to whoever holds the other end of its standard input."""
    parser.add_argument("--tied", action="store_true", help="end when standard input does")


def tie(arguments: argparse.Namespace) -> None:
    """Have this process ended by a SIGTERM when its input ends, if it is to be tied."""
    if arguments.tied:
        threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
