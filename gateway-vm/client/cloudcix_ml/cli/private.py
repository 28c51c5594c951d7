"""Files that nobody else can read: what is secret is kept in them, and they are refused if others may read them."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from cloudcix_ml.errors import ConfigurationError

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
MOST_BYTES: Final = 64 * 1024
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def folder() -> Path:
    """Return where this command keeps its files.

    Raises
    ------
    ConfigurationError
        If this user has no place for any.
    """
    try:
        if os.name == "nt":
            base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
        else:
            base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:
        raise ConfigurationError("there is no home directory: set HOME, or XDG_CONFIG_HOME") from None
    return base / "cloudcix-ml"


def read(file: Path, mend: str) -> bytes | None:
    """Return what is in a file; None if it is not there.

    Parameters
    ----------
    mend
        What writes it anew, for the message.

    Raises
    ------
    ConfigurationError
        If it can't be read, or by others too.
    """
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(MOST_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from None
    if os.name != "nt" and mode & OTHERS:
        raise ConfigurationError(f"others may read {file}, which has a secret in it: chmod 600 it, or {mend}")
    return content


def write(file: Path, text: str) -> None:
    """Write a file, or leave it as it is: never half of it, and never for others to read.

    Raises
    ------
    ConfigurationError
        If it can't be written.
    """
    try:
        _write(file, text)
    except OSError as error:
        raise ConfigurationError(f"{file} can't be written: {error.strerror}") from None


def remove(file: Path) -> bool:
    """Remove a file; False if there was none.

    Raises
    ------
    ConfigurationError
        If it can't be removed.
    """
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(f"{file} can't be removed: {error.strerror}") from None
    return True


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    # mkstemp makes it for its owner alone, before there is anything in it
    number, name = tempfile.mkstemp(prefix=f".{file.stem}-", dir=file.parent)
    try:
        with os.fdopen(number, "w") as opened:
            opened.write(text)
        Path(name).chmod(PRIVATE_FILE)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
