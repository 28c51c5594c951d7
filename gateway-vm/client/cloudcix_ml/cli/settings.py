"""Address and key: from the environment, else from a file that nobody else can read."""

import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudcix_ml.client import KEY_VARIABLE, URL_VARIABLE
from cloudcix_ml.errors import ConfigurationError

PRIVATE_FILE: Final = 0o600
PRIVATE_FOLDER: Final = 0o700
MOST_BYTES: Final = 64 * 1024
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Settings:
    """Where the platform is, and who asks; what is not known is None."""

    url: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Settings(url={self.url!r}, key={'…' if self.key else None})"


def path() -> Path:
    """Return the file that `login` writes."""
    if os.name == "nt":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "cloudcix-ml" / "config.json"


def load() -> Settings:
    """Return what is known: each value from the environment if it is there, else from the file."""
    kept = _kept()
    return Settings(os.environ.get(URL_VARIABLE) or kept.url, os.environ.get(KEY_VARIABLE) or kept.key)


def _kept() -> Settings:
    file = path()
    try:
        with file.open("rb") as opened:
            mode = os.fstat(opened.fileno()).st_mode
            content = opened.read(MOST_BYTES)
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}") from None
    if os.name != "nt" and mode & OTHERS:
        raise ConfigurationError(f"others may read {file}, which has a key in it: chmod 600 it, or `cloudcix-ml login`")
    try:
        values = json.loads(content)
        return Settings(*(values[name] if isinstance(values.get(name), str) else None for name in ("url", "key")))
    except (ValueError, AttributeError):
        # without what it is made of: that may be a key
        raise ConfigurationError(f"{file} is no file of this command; `cloudcix-ml login` writes it anew") from None


def save(settings: Settings) -> Path:
    """Write the file, or leave it as it is: never half of it, and never for others to read."""
    file = path()
    file.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    # mkstemp makes it for its owner alone, before there is anything in it
    number, name = tempfile.mkstemp(prefix=".config-", dir=file.parent)
    try:
        with os.fdopen(number, "w") as opened:
            json.dump({"url": settings.url, "key": settings.key}, opened, indent=2)
            opened.write("\n")
        Path(name).chmod(PRIVATE_FILE)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return file


def forget() -> bool:
    """Remove the file; False if there was none."""
    file = path()
    there = file.exists()
    file.unlink(missing_ok=True)
    return there
