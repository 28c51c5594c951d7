"""Address and key: from the environment, else from a file that nobody else can read; and the token of the MCP server."""

import json
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloudcix_ml.cli import private
from cloudcix_ml.client import KEY_VARIABLE, URL_VARIABLE
from cloudcix_ml.errors import ConfigurationError

TOKEN_VARIABLE: Final = "CLOUDCIX_ML_MCP_TOKEN"  # noqa: S105 - a variable's name
TOKEN_BYTES: Final = 32
TOKEN_FORM: Final = re.compile(r"[A-Za-z0-9._~+/=-]{20,200}")


@dataclass(frozen=True)
class Settings:
    """Where the platform is, and who asks; what is not known is None."""

    url: str | None = None
    key: str | None = None

    def __repr__(self) -> str:
        return f"Settings(url={self.url!r}, key={'…' if self.key else None})"


def path() -> Path:
    """Return the file that `login` writes."""
    return private.folder() / "config.json"


def load() -> Settings:
    """Return what is known: each value from the environment if it is there, else from the file."""
    kept = _kept()
    return Settings(os.environ.get(URL_VARIABLE) or kept.url, os.environ.get(KEY_VARIABLE) or kept.key)


def known_url() -> str | None:
    """Return the address if there is one, whatever is wrong with the file: for `login`, which writes it anew."""
    with suppress(ConfigurationError):
        return load().url
    return os.environ.get(URL_VARIABLE)


def _kept() -> Settings:
    content = private.read(path(), "`cloudcix-ml login`")
    if content is None:
        return Settings()
    try:
        values = json.loads(content)
        return Settings(*(values[name] if isinstance(values.get(name), str) else None for name in ("url", "key")))
    except (ValueError, AttributeError, RecursionError):
        # without what it is made of: that may be a key
        raise ConfigurationError(f"{path()} is no file of this command; `cloudcix-ml login` writes it anew") from None


def save(settings: Settings) -> Path:
    """Write the file."""
    private.write(path(), json.dumps({"url": settings.url, "key": settings.key}, indent=2) + "\n")
    return path()


def forget() -> bool:
    """Remove the file; False if there was none."""
    return private.remove(path())


def token_path() -> Path:
    """Return the file that the MCP server's token is kept in."""
    return private.folder() / "mcp-token"


def mcp_token() -> tuple[str, str]:
    """Return what agents have to know to be answered over HTTP, and where it stands; it is made the first time.

    Raises
    ------
    ConfigurationError
        If what is there is none; the text does not say it.
    """
    if given := os.environ.get(TOKEN_VARIABLE):
        return _checked(given, TOKEN_VARIABLE), TOKEN_VARIABLE
    file = token_path()
    content = private.read(file, "remove it: the next start makes another")
    if content is not None:
        return _checked(content.decode("utf-8", "replace").strip(), str(file)), str(file)
    made = secrets.token_urlsafe(TOKEN_BYTES)
    private.write(file, made + "\n")
    return made, str(file)


def _checked(token: str, place: str) -> str:
    if not TOKEN_FORM.fullmatch(token):
        raise ConfigurationError(f"{place} is no token: 20 to 200 letters, digits and . _ ~ + / = -, hard to guess")
    return token
