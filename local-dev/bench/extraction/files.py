"""Documents that are no HTML: files that programs made of our ten documents, and who else reads such files.

What is in a document, and so what has to be found in its files, is in `scraper/tests/documents.py`; the makers that are
libraries are beside it in `producers.py`. Here are the makers that people use: LibreOffice, LaTeX, WeasyPrint. Which of
them is not on this machine is said, and left out.
"""

import html
import importlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from chores.folders import REPOSITORY

from bench.extraction.pages import Page

CORPUS = "documents"
MARKITDOWN, PDFTOTEXT, DOCLING = "markitdown", "pdftotext", "docling-parse"
_STYLE = """@page { size: A4; margin: 2.5cm; @top-center { content: 'A running head that is no text'; font-size: 9pt }
 @bottom-center { content: counter(page); font-size: 9pt } }
body { font: 10pt serif; text-align: justify; hyphens: auto } table { border-collapse: collapse }
td, th { border: 1px solid; padding: 3px; text-align: left } pre { font: 9pt monospace; text-align: left }"""
_COLUMNS = _STYLE + " main { columns: 2; column-gap: 1.5em }"
_LATEX = {
    "\\": r"\textbackslash{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "~": r"\textasciitilde{}",
    "^": r"\^{}",
} | {sign: f"\\{sign}" for sign in "&%$#_{}"}
_SECTIONS = {1: "title", 2: "section", 3: "subsection", 4: "subsubsection"}
_RUNNING = (
    r"\usepackage{fancyhdr}\pagestyle{fancy}\fancyhead[C]{A running head that is no text}\fancyhead[L]{}\fancyhead[R]{}"
)
_TIMEOUT_SECONDS = 180
Maker = Callable[[Any], bytes | None]


def pages(folder: Path) -> list[Page]:
    """Return the files, made anew where they are not in a folder yet, each with what has to be found in it."""
    documents, producers = _ours("documents"), _ours("producers")
    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for group, kind, make in _makers(producers):
        for document in documents.DOCUMENTS:
            file = folder / f"{group}-{document.name}.{kind}".replace(" ", "-").replace(",", "")
            body = file.read_bytes() if file.exists() else make(document)
            if body is None:
                continue
            file.write_bytes(body)
            expected = _expected(document, kind, group)
            if expected.blocks and (document.tables or kind not in ("xlsx", "ods")):
                found.append(Page(f"{CORPUS}/{group}/{file.name}", body, expected.html().encode(), ("//main",)))
    return found


def _expected(document: Any, kind: str, group: str) -> Any:
    """Return what there is of a document in a kind: lines of code are paragraphs where nothing says what they are."""
    documents = _ours("documents")
    if kind in ("xlsx", "ods"):
        return document.without(documents.Paragraph, documents.Items, documents.Code)
    if kind in ("docx", "odt", "rtf", "pptx", "odp") or "LibreOffice" in group:
        lines = [
            documents.Paragraph(block.text) if isinstance(block, documents.Code) else block for block in document.blocks
        ]
        return documents.Document(document.name, tuple(lines))
    return document


def _ours(name: str) -> Any:
    folder = str(REPOSITORY / "scraper" / "tests")
    for one in (folder, str(REPOSITORY / "scraper")):
        if one not in sys.path:
            sys.path.insert(0, one)
    return importlib.import_module(name)


def _makers(producers: Any) -> Iterator[tuple[str, str, Maker]]:
    """Go through makers: what is made how, the ending, who makes it."""
    own = {kind: make for kind, (_, make, _) in producers.PRODUCERS.items()}
    yield "docx by python-docx", "docx", own["docx"]
    yield "pptx by python-pptx", "pptx", own["pptx"]
    yield "xlsx by openpyxl", "xlsx", own["xlsx"]
    yield "epub by hand", "epub", own["epub"]
    yield "pdf by fpdf2", "pdf", own["pdf"]
    if shutil.which("soffice"):
        for kind, source in (("odt", "docx"), ("rtf", "docx"), ("pdf", "docx"), ("ods", "xlsx"), ("odp", "pptx")):
            yield f"{kind} by LibreOffice", kind, _by_office(own[source], source, kind)
    else:
        print(
            "No files by LibreOffice: soffice is not here (Debian: libreoffice-writer-nogui, -calc-nogui, -impress-nogui)."
        )
    if shutil.which("pdflatex"):
        yield "pdf by LaTeX", "pdf", _by_latex(columns=False)
        yield "pdf by LaTeX, columns", "pdf", _by_latex(columns=True)
    else:
        print("No files by LaTeX: pdflatex is not here (Debian: texlive-latex-recommended, lmodern).")
    try:
        weasyprint: Any = importlib.import_module("weasyprint")
    except (ImportError, OSError) as error:
        print(f"No files by WeasyPrint: {error}")
        return
    yield "pdf by WeasyPrint", "pdf", _by_weasyprint(weasyprint, _STYLE)
    yield "pdf by WeasyPrint, columns", "pdf", _by_weasyprint(weasyprint, _COLUMNS)


def _by_office(make: Maker, source: str, kind: str) -> Maker:
    def run(document: Any) -> bytes | None:
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, f"file.{source}")
            file.write_bytes(make(document) or b"")
            command = ["soffice", f"-env:UserInstallation=file://{place}/profile", "--headless", "--convert-to", kind]
            subprocess.run(
                [*command, "--outdir", place, str(file)], capture_output=True, timeout=_TIMEOUT_SECONDS, check=False
            )
            made = Path(place, f"file.{kind}")
            return made.read_bytes() if made.exists() else None

    return run


def _by_weasyprint(weasyprint: Any, style: str) -> Maker:
    def run(document: Any) -> bytes | None:
        page = document.html().replace("<head>", f"<head><style>{html.escape(style, quote=False)}</style>")
        return bytes(weasyprint.HTML(string=page).write_pdf())

    return run


def _by_latex(*, columns: bool) -> Maker:
    def run(document: Any) -> bytes | None:
        documents = _ours("documents")
        options = "10pt,a4paper,twocolumn" if columns else "11pt,a4paper"
        lines = [
            rf"\documentclass[{options}]{{article}}\usepackage[T1]{{fontenc}}\usepackage[utf8]{{inputenc}}",
            rf"\usepackage{{lmodern,booktabs,longtable,textcomp}}\setcounter{{secnumdepth}}{{0}}{_RUNNING}\begin{{document}}",
        ]
        lines += [_latex_block(documents, block, columns) for block in document.blocks]
        with tempfile.TemporaryDirectory() as place:
            file = Path(place, "file.tex")
            file.write_text("\n\n".join([*lines, r"\end{document}"]), "utf-8")
            for _ in range(2):  # tables over several pages find their columns in the second run
                subprocess.run(
                    ["pdflatex", "-interaction=batchmode", "-no-shell-escape", file.name],
                    cwd=place,
                    capture_output=True,
                    timeout=_TIMEOUT_SECONDS,
                    check=False,
                )
            made = Path(place, "file.pdf")
            return made.read_bytes() if made.exists() else None

    return run


def _latex_block(documents: Any, block: Any, columns: bool) -> str:
    if isinstance(block, documents.Heading):
        name = _SECTIONS.get(block.level, "paragraph")
        text = _escaped(block.text)
        return rf"\title{{{text}}}\author{{}}\date{{}}\maketitle" if name == "title" else rf"\{name}{{{text}}}"
    if isinstance(block, documents.Paragraph):
        return _escaped(block.text)
    if isinstance(block, documents.Code):
        return f"\\begin{{verbatim}}\n{block.text}\n\\end{{verbatim}}"
    if isinstance(block, documents.Items):
        return _latex_list(block)
    rows = [" & ".join(map(_escaped, row)) + r"\\" for row in block.rows]
    if columns:  # what runs over pages needs one column
        shape = "l" * len(block.rows[0])
        parts = [rows[1:][start : start + 40] for start in range(0, len(rows) - 1, 40)]
        body = [
            rf"\begin{{tabular}}{{{shape}}}\toprule {rows[0]}\midrule {' '.join(part)}\bottomrule\end{{tabular}}"
            for part in parts
        ]
        return "\n\n".join(body)
    shape = "|" + "l|" * len(block.rows[0])
    return (
        rf"\begin{{longtable}}{{{shape}}}\hline {rows[0]}\hline\endhead "
        + " ".join(rf"{row}\hline" for row in rows[1:])
        + r"\end{longtable}"
    )


def _latex_list(block: Any) -> str:
    name, depth, parts = ("enumerate" if block.numbered else "itemize"), -1, []
    for level, text in block.items:
        parts.append(rf"\begin{{{name}}}" * max(level - depth, 0) + rf"\end{{{name}}}" * max(depth - level, 0))
        parts.append(rf"\item {_escaped(text)}")
        depth = level
    return " ".join(parts) + rf"\end{{{name}}}" * (depth + 1)


def _escaped(text: str) -> str:
    return re.sub(r"[\\<>|~^&%$#_{}]", lambda found: _LATEX[found[0]], text)


def markitdown() -> Callable[[bytes, str], str]:
    """Return Microsoft's, if it is here."""
    module: Any = importlib.import_module("markitdown")
    converter = module.MarkItDown(enable_plugins=False)

    def run(body: bytes, url: str) -> str:
        ending = Path(url).suffix
        with tempfile.NamedTemporaryFile(suffix=ending) as file:
            file.write(body)
            file.flush()
            return str(converter.convert(file.name).text_content)

    return run


def pdftotext() -> Callable[[bytes, str], str]:
    """Return poppler's, if it is here."""
    if not shutil.which("pdftotext"):
        raise ImportError("pdftotext is not here (Debian: poppler-utils)")

    def run(body: bytes, url: str) -> str:
        if not url.endswith(".pdf"):
            raise ValueError("no PDF")
        told = subprocess.run(["pdftotext", "-", "-"], input=body, capture_output=True, check=True)
        return told.stdout.decode("utf-8", "replace")

    return run


def docling() -> Callable[[bytes, str], str]:
    """Return IBM's parser's text, if it is here: its lines, in their order."""
    module: Any = importlib.import_module("docling_parse.pdf_parser")
    parser = module.DoclingPdfParser()

    def run(body: bytes, url: str) -> str:
        if not url.endswith(".pdf"):
            raise ValueError("no PDF")
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(body)
            file.flush()
            document = parser.load(path_or_stream=file.name)
            return "\n".join(line.text for _, page in document.iterate_pages() for line in page.textline_cells)

    return run
