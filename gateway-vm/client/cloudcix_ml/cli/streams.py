"""Standard input, output and error as a command finds them: each may be closed, and the disk behind one may be full."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOBase, TextIOWrapper
from pathlib import Path
from typing import Final, NoReturn

from cloudcix_ml.errors import CloudCIXError, ConfigurationError

UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
# what a write says where nothing more can be written


class OutputError(CloudCIXError):
    """A result could not be written."""


class _Closed(TextIOBase):
    """What stands for standard output where that is closed, for which Python has nothing at all."""

    def write(self, _: str) -> NoReturn:
        """Say that nothing can be."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def prepare() -> None:
    """Have standard output and error be there, and take every letter."""
    if sys.stdout is None:
        sys.stdout = _Closed()
    elif isinstance(sys.stdout, TextIOWrapper):
        # as on standard error: a letter of a page that the terminal's encoding has not is shown as its number, and ends nothing
        sys.stdout.reconfigure(errors="backslashreplace")
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process


@contextmanager
def written() -> Iterator[None]:
    """Turn what a write to standard output may say, other than that its reader has enough, into one error.

    Raises
    ------
    OutputError
        Saying why.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        drop_the_rest()
        raise OutputError(f"standard output can't be written: {error.strerror}") from error


def drop_the_rest() -> None:
    """Have what is still buffered for standard output go nowhere: Python would try it once more at its end."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def asks() -> bool:
    """Tell whether somebody sits before standard input."""
    return sys.stdin is not None and sys.stdin.isatty()


def read_input(most_bytes: int) -> bytes:
    """Return what is on standard input, up to so many bytes.

    Raises
    ------
    ConfigurationError
        If it is closed, or can't be read.
    """
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed")
    try:
        return sys.stdin.buffer.read(most_bytes)
    except OSError as error:
        raise ConfigurationError(f"standard input can't be read: {error.strerror}") from error


def for_a_conversation() -> None:
    """See that standard input and output are there, for what reads the one and answers on the other.

    Raises
    ------
    ConfigurationError
        If one of them is closed.
    """
    if sys.stdin is None or isinstance(sys.stdout, _Closed):
        raise ConfigurationError("standard input or output is closed, and agents talk over both")
