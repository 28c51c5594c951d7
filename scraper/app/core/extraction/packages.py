"""Documents that are ZIP archives: which kind one is, and its parts, never more of them than is bounded.

What an archive says of its size is believed only as far as it is small: each part is read to its declared length at
most, and all that is read together is counted.
"""

import re
import struct
import zlib
from io import BytesIO
from typing import Any, Final
from zipfile import BadZipFile, ZipFile, ZipInfo

from app.core.errors import EncryptedError, ExtractionError, PageTooLargeError
from app.core.extraction import kinds

FIRST_NAMES: Final = (
    rb"(?:mimetypeapplication/(?:epub\+zip|vnd\.oasis\.opendocument)|\[Content_Types\]\.xml|_rels/|docProps/|word/|xl/"
    rb"|ppt/|customXml/|META-INF/|OEBPS/|EPUB/|mimetype)"
)
"""How the first entry of such an archive is called (by the specifications of some, by habit of others)."""
PART_MAX_BYTES: Final = 64 * 2**20
# as a tree it takes several times that, and the process has one gigabyte
ALL_MAX_BYTES: Final = 256 * 2**20
# of all parts, whether they are read or not
ENTRIES_MAX: Final = 10_000
_DIRECTORY_MAX_BYTES: Final = 2 * 2**20
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_ENCRYPTED_FLAG: Final = 0x1
_MIMETYPE_MAX_BYTES: Final = 100
_STRICT: Final = re.compile(rb"""(\bxmlns(?::[\w.-]+)?\s*=\s*["'])http://purl\.oclc\.org/ooxml/(\w+)/(\w+)""")
# ISO 29500 names the same elements anew where a document is "strict"; readers know them by the names that all others have
_MAIN_PARTS: Final = (("word/", kinds.DOCX), ("xl/workbook", kinds.XLSX), ("ppt/presentation", kinds.PPTX))


class Package:
    """An archive's parts.

    Raises
    ------
    ExtractionError
        If it is damaged.
    PageTooLargeError
        If it has too many parts, or they unpack to too much.
    """

    def __init__(self, body: bytes) -> None:
        _check_directory(body)
        try:
            archive = ZipFile(BytesIO(body))
            self._parts: dict[str, ZipInfo] = {}
            for info in archive.infolist():
                self._parts.setdefault(info.filename.lstrip("/"), info)
        except (BadZipFile, struct.error, ValueError, OSError, NotImplementedError) as error:
            raise ExtractionError("the document is damaged: it is an archive that cannot be opened") from error
        if len(self._parts) > ENTRIES_MAX:
            raise PageTooLargeError(f"the document has more than {ENTRIES_MAX} parts")
        if sum(info.file_size for info in self._parts.values()) > ALL_MAX_BYTES:
            raise _too_much()
        self._archive = archive
        self._left = ALL_MAX_BYTES

    @property
    def names(self) -> list[str]:
        """Names of the parts."""
        return list(self._parts)

    def read(self, name: str, max_bytes: int = PART_MAX_BYTES) -> bytes | None:
        """Return a part; `None` if there is none of that name. One of strict Office Open XML is as others are.

        Raises
        ------
        EncryptedError
            If it takes a password.
        ExtractionError
            If it is damaged.
        PageTooLargeError
            If it is too long, or all that was read.
        """
        info = self._parts.get(name.lstrip("/"))
        if info is None:
            return None
        if info.flag_bits & _ENCRYPTED_FLAG:
            raise EncryptedError("the document is encrypted")
        most = min(max_bytes, self._left)
        if info.file_size > most:
            raise _too_much()
        try:
            with self._archive.open(info) as part:
                data = part.read(most + 1)
        except (BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError) as error:
            raise ExtractionError("the document is damaged: a part of it cannot be unpacked") from error
        if len(data) > most:
            raise _too_much()
        self._left -= len(data)
        return (
            _STRICT.sub(rb"\1http://schemas.openxmlformats.org/\2/2006/\3", data) if b"purl.oclc.org/" in data else data
        )

    def tree(self, name: str) -> Any:
        """Return a part's XML as a tree; `None` if there is no such part.

        Raises
        ------
        ServiceError
            As `read` does; `ExtractionError` if it is no XML too.
        """
        from app.core.extraction.markup import xml_tree

        data = self.read(name)
        return xml_tree(data) if data is not None else None


def media_type_of(body: bytes) -> str | None:
    """Return which kind of document an archive is; `None` if it is none that is known."""
    package = Package(body)
    names = package.names
    if "mimetype" in names:
        declared = (package.read("mimetype", _MIMETYPE_MAX_BYTES) or b"").decode("ascii", "replace").strip().lower()
        return kinds.canonical(declared) if kinds.canonical(declared) in kinds.READABLE else None
    if "[Content_Types].xml" in names:
        return next(
            (kind for prefix, kind in _MAIN_PARTS if any(name.lower().startswith(prefix) for name in names)), None
        )
    return kinds.EPUB if "META-INF/container.xml" in names else None


def _check_directory(body: bytes) -> None:
    """Look at what an archive says of its list of parts before it is read."""
    at = body.rfind(_END_MARK, max(0, len(body) - 65_535 - _END.size))
    if at < 0 or len(body) - at < _END.size:
        raise ExtractionError("the document is damaged: the end of its archive is missing")
    _, _, _, _, entries, size, _, _ = _END.unpack_from(body, at)
    if entries > ENTRIES_MAX or size > _DIRECTORY_MAX_BYTES:
        raise PageTooLargeError(f"the document has more than {ENTRIES_MAX} parts")


def _too_much() -> PageTooLargeError:
    return PageTooLargeError(f"the document unpacks to more than {ALL_MAX_BYTES} bytes, or a part of it to too much")
