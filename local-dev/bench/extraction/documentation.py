"""Documentation as it is published: pages of Debian's packages, each package's text named by hand.

A package is downloaded once, and the pages that were chosen are kept in `.cache/extraction`: the first dozen by the hash
of their names of all that the pattern takes, so that nobody picked them. A page whose text is not where it is said to
be, or hardly there, is no page: redirects, lists of frames.
"""

import hashlib
import io
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chores import debian
from chores.folders import LOCAL_DEV

from bench.extraction.pages import FURNITURE, Page
from bench.extraction.texts import text_of, words

CORPUS: Final = "documentation"
CACHE: Final = LOCAL_DEV / ".cache" / "extraction"
PAGES: Final = 12
WORDS_MIN: Final = 40
LINKED_MAX: Final = 0.6
# of a page's words, in links: above it, it is a table of contents or an index
BYTES_MAX: Final = 600_000
_NO_PAGES: Final = re.compile(
    r"/(genindex|search|modindex|py-modindex|_modules/|_static/|src/|allclasses)|_source\.html$"
)


@dataclass(frozen=True)
class Package:
    """A package's documentation.

    Parameters
    ----------
    generator
        What made it.
    main
        XPaths of a page's text.
    without
        XPath of what is furniture in there.
    only
        Pattern of its pages' paths.
    """

    name: str
    generator: str
    main: tuple[str, ...]
    without: str = ""
    only: str = r"\.html$"


def _class(name: str, element: str = "*") -> str:
    return f"{element}[contains(concat(' ', normalize-space(@class), ' '), ' {name} ')]"


PACKAGES: Final = (
    Package("python-requests-doc", "Sphinx, alabaster", (f"//{_class('body', 'div')}",)),
    Package("python-attr-doc", "Sphinx, Read the Docs", ("//div[@itemprop='articleBody']",)),
    Package("borgbackup-doc", "Sphinx, guzzle", (f"//{_class('body', 'div')}",)),
    Package("mkdocs-doc", "MkDocs", ("//div[@role='main']",)),
    Package("freetype2-doc", "MkDocs, Material", ("//article",), only=r"/reference/.*\.html$"),
    Package("rust-doc", "mdBook", ("//main",), only=r"/html/(book|reference)/[^/]*\.html$"),
    Package(
        "libglfw3-doc",
        "Doxygen",
        (f"//{_class('headertitle')}", f"//{_class('contents')}"),
        ".//div[@class='dynheader']",
    ),
    Package("libcommons-io-java-doc", "Javadoc", ("//main",), f".//*[@class='inheritance'] | .//{_class('subNav')}"),
    Package(
        "cargo-doc",
        "rustdoc",
        ("//section[@id='main-content']",),
        f".//{_class('out-of-band')} | .//{_class('sidebar')}",
    ),
    Package(
        "libghc-aeson-doc",
        "Haddock",
        ("//div[@id='content']",),
        ".//div[@id='synopsis'] | .//div[@id='table-of-contents']",
    ),
    Package(
        "weechat-doc",
        "Asciidoctor",
        ("//div[@id='header']/h1", "//div[@id='content']"),
        only=r"\.(en|fr|de|ja|pl|sr)\.html$",
    ),
    Package("aptitude-doc-en", "DocBook XSL", ("//body/div[not(contains(@class, 'nav'))]",)),
    Package("slony1-2-doc", "DocBook DSSSL", ("//body/*[not(@class='NAVHEADER' or @class='NAVFOOTER')]",)),
    Package("libcairo2-doc", "gtk-doc", ("//body/div[not(@class='footer')]",), f".//{_class('gallery_float')}"),
    Package(
        "diffutils-doc",
        "Texinfo",
        ("//body/div | //body/p | //body/h1",),
        f".//{_class('header')} | .//{_class('nav-panel')}",
    ),
    Package("libapache2-mod-perl2-doc", "POD", ("//body",), "./ul[@id='index']", only=r"/docs/2\.0/.*\.html$"),
    Package(
        "cppreference-doc-en-html",
        "MediaWiki",
        ("//h1[@id='firstHeading']", "//div[@id='mw-content-text']"),
        f".//{_class('t-navbar')} | .//{_class('editsection')} | .//{_class('noprint')}",
        only=r"/html/en/.*\.html$",
    ),
    Package("nodejs-doc", "of its own", ("//div[@id='apicontent']",), f".//{_class('mark')}"),
    Package(
        "apache2-doc",
        "of its own, XSLT",
        ("//div[@id='page-content']",),
        ".//div[@id='quickview'] | .//p[@class='up'] | .//div[@class='top'] | .//div[@class='toplang'] | .//div[@id='comments_section']",
        only=r"/manual/(en|fr|ja|zh-cn)/.*\.html$",
    ),
    Package(
        "exim4-doc-html",
        "of its own",
        ("//div[@id='content']",),
        f".//{_class('toc_page')} | .//{_class('previous_page')} | .//{_class('next_page')}",
        only=r"/spec_html/.*\.html$",
    ),
    Package("postfix-doc", "by hand", ("//body",), only=r"/html/.*README\.html$"),
)


def documentation() -> list[Page]:
    """Return the pages of all packages.

    Raises
    ------
    BinaryMissingError
        If a package is neither here nor to be had.
    """
    return [page for package in PACKAGES for page in pages_of(package)]


def named(package: Package) -> str:
    """Return a package's name with the version that its pages are from."""
    return f"{package.name} {(CACHE / package.name / 'VERSION').read_text().strip()}"


def pages_of(package: Package) -> Iterator[Page]:
    """Return a package's pages, which are fetched if they are not here.

    Raises
    ------
    BinaryMissingError
        If it is neither here nor to be had.
    """
    kept = CACHE / package.name
    with debian.alone():
        if not (kept / "VERSION").exists():
            _keep(package, kept)
    for path in sorted(kept.rglob("*.html")):
        yield _page(package, path.relative_to(kept).as_posix(), path.read_bytes())


def _page(package: Package, path: str, body: bytes) -> Page:
    without = " | ".join(filter(None, (FURNITURE, package.without)))
    return Page(f"{CORPUS}/{package.name}/{path}", body, body, package.main, without)


def _keep(package: Package, kept: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = debian.download(package.name, Path(folder))
        ranked = sorted(_candidates(package, archive), key=lambda found: hashlib.sha256(found[0].encode()).digest())
        shutil.rmtree(kept, ignore_errors=True)
        usable = ((path, body) for path, body in ranked if _is_usable(_page(package, path, body)))
        for (path, body), _ in zip(usable, range(PAGES), strict=False):
            (kept / path).parent.mkdir(parents=True, exist_ok=True)
            (kept / path).write_bytes(body)
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "VERSION").write_text(f"{archive.name.split('_')[1]}\n")


def _candidates(package: Package, archive: Path) -> Iterator[tuple[str, bytes]]:
    unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(archive)], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as files:
        for member in files:
            path = member.name.removeprefix("./usr/share/")
            if not member.isfile() or not 0 < member.size < BYTES_MAX or _NO_PAGES.search(path):
                continue
            content = files.extractfile(member) if re.search(package.only, path) else None
            if content is not None:
                yield path, content.read()


def _is_usable(page: Page) -> bool:
    parts = page.truth()
    count = sum(len(words(text_of(part))) for part in parts)
    linked = sum(len(words(text_of(link))) for part in parts for link in part.iter("a"))
    return count >= WORDS_MIN and linked <= count * LINKED_MAX
