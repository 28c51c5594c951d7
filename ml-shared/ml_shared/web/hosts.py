"""How a host's name is written: in ASCII, by the rules that browsers go by (UTS 46, non-transitional).

`faß.de` is `xn--fa-hia.de`, as every browser has it. The codec of Python's that is called `idna` follows the standard of
2003, by which it is `fass.de`, somebody else's site.
"""

import re
import unicodedata
from typing import Final

import idna

from ml_shared.errors import InvalidError

_LABEL_MAX_CHARACTERS: Final = 63
_NAME_MAX_CHARACTERS: Final = 253
# what DNS can carry
_SHOWN_CHARACTERS: Final = 100
# of a name that is refused
_PUNYCODE: Final = "xn--"
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_JOINERS: Final = "\u200c\u200d"
_NOT_OF_HOSTS: Final = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")
# what the URL standard forbids in a host: U+2048 is short for `?!`. Underscores are in use, as in `_dmarc`


class InvalidUrlError(InvalidError):
    """Not an absolute `http` or `https` URL with a possible host."""

    code = "invalid_url"


def ascii_host(host: str) -> str:
    """Return the one ASCII form of a host's name, lower-case and without the dot of the root.

    A name in ASCII is not looked into: whether there is such a host, DNS says.

    Raises
    ------
    InvalidUrlError
        If a name with other characters cannot be one of a host: a character that none may have, a label or all of it too
        long, nothing left.
    """
    if host.isascii():
        return host.lower().rstrip(".")
    try:
        mapped = idna.uts46_remap(host, std3_rules=False)
        if _NOT_OF_HOSTS.search(mapped):
            shown = host[:_SHOWN_CHARACTERS]
            raise InvalidUrlError(f"the host name {shown!r} stands for one with characters that no host name has")
        name = ".".join(map(_ascii_label, mapped.rstrip(".").split(".")))
    except ValueError as error:
        raise InvalidUrlError(
            f"the host name {host[:_SHOWN_CHARACTERS]!r} has characters that no host name has in that place"
        ) from error
    if len(name) > _NAME_MAX_CHARACTERS:
        raise InvalidUrlError(f"a host name, encoded, has {_NAME_MAX_CHARACTERS} characters at the most")
    return name


def _ascii_label(label: str) -> str:
    """Return a label that was mapped. Emoji are no letters to `idna.encode`, but they are to UTS 46 and to browsers."""
    if not label:
        raise InvalidUrlError("a host name has no empty parts")
    encoded = label
    if not label.isascii() and len(label) <= _LABEL_MAX_CHARACTERS:  # encoded it gets no shorter
        if label.startswith(_PUNYCODE):
            raise InvalidUrlError(f"{label!r} in a host name is encoded already, and is not")
        idna.check_initial_combiner(label)
        if any(unicodedata.bidirectional(character) in _RIGHT_TO_LEFT for character in label):
            idna.check_bidi(label)  # of others it refuses what this Python's Unicode is too old to know
        for place, character in enumerate(label):
            if character in _JOINERS and not idna.valid_contextj(label, place):
                raise InvalidUrlError(f"{label!r} in a host name has a joiner where there is nothing to join")
        encoded = _PUNYCODE + label.encode("punycode").decode("ascii")
    if len(encoded) > _LABEL_MAX_CHARACTERS:
        raise InvalidUrlError(f"a part of a host name, encoded, has {_LABEL_MAX_CHARACTERS} characters at the most")
    return encoded
