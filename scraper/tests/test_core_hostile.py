"""Documents that are made to do harm: they are bounded, nothing of the machine comes out, and the next page is read."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pypdfium2
import pytest
from conftest import WAIT_SECONDS
from documents import DOCUMENTS
from hostile import HARMLESS, HOSTILE, SECRET
from producers import make_pdf
from shared_extraction import SharedExtraction

from ml_shared.errors import ServiceError
from ml_shared.testing.pace import slowness

HTML = {"url": "https://harbour.example/page", "media_type": "text/html", "charset": None}


@pytest.fixture(scope="module")
def pool() -> Iterator[SharedExtraction]:
    """One for all of these documents, as a service has one for all that come: none of them spoils it for the others."""
    with SharedExtraction(WAIT_SECONDS) as shared:
        yield shared


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_document_is_refused_and_the_next_page_is_read(pool: SharedExtraction, name: str) -> None:
    media_type, make, code = HOSTILE[name]
    with pytest.raises(ServiceError) as caught:
        await pool.extract(make(), url="https://harbour.example/file", media_type=media_type, charset=None)
    assert caught.value.code.startswith(code), caught.value.detail
    assert SECRET not in caught.value.detail
    assert "took more than" not in caught.value.detail  # a bound of its own, and not the clock
    assert "next" in (await pool.extract(b"<p>the next page</p>", **HTML)).content


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_only_looks_bad_is_read_and_does_nothing(pool: SharedExtraction, name: str) -> None:
    media_type, make = HARMLESS[name]
    found = await pool.extract(make(), url="https://harbour.example/file", media_type=media_type, charset=None)
    assert found.content
    assert SECRET not in found.content
    [pid] = pool.pids
    assert psutil.Process(pid).children() == []


def test_a_process_that_reads_pages_keeps_no_library_of_a_document() -> None:
    program = (
        "import sys; from app.core.extraction.extract import extract\n"
        "extract(b'<html><body><p>some words of a page</p></body></html>', url='https://h.example/', media_type='text/html', charset=None)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules} & {'pypdfium2', 'docutils', 'docx', 'openpyxl', 'pptx'}))\n"
        "print(*(name for name in sys.modules if name.startswith('app.core.extraction.kinds.') or name.startswith('app.core.extraction.pdf')))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == ["", "app.core.extraction.kinds.pages"]


def test_a_document_of_a_hundred_pages_takes_its_bounds_and_no_more(tmp_path: Path) -> None:
    manual = next(document for document in DOCUMENTS if document.name == "manual")
    file = tmp_path / "long.pdf"
    with pypdfium2.PdfDocument(make_pdf(manual)) as short, pypdfium2.PdfDocument.new() as long:
        for _ in range(26):  # to write it whole takes four times as long as to read it
            long.import_pages(short)
        long.save(file)
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from app.core.extraction.extract import extract\n"
        "body = Path(sys.argv[1]).read_bytes()\n"
        "found = extract(body, url='https://h.example/', media_type='application/pdf', charset=None)\n"
        "most = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith('VmHWM'))\n"
        "print(len(found.pages), most.split()[1], sum(os.times()[:2]))\n"  # `ru_maxrss` is that of whoever started it, where that is more
    )

    def read() -> tuple[int, int, float]:
        """Read it in a process of its own: pages, bytes, and its processor time in seconds of the machine of reference."""
        before = slowness()
        words = [sys.executable, "-c", program, str(file)]
        told = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
        pages, kilobytes, processor_seconds = told.stdout.split()
        return int(pages), int(kilobytes) * 1024, float(processor_seconds) / max(before, slowness())

    pages, most_bytes, seconds = read()
    assert pages >= 100
    assert most_bytes < 300 * 2**20
    # of its own, imports included: another's load is no part of it
    assert seconds < 3 or read()[2] < 3  # once more, should something else have been in its way
