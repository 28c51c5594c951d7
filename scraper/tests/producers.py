"""Makes files of documents: each kind by a library that only writes it, or by hand where the format is plain."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

import docx
import openpyxl
import pptx
from documents import Block, Code, Document, Heading, Items, Paragraph, Table
from fpdf import FPDF
from pptx.util import Inches

_ODF: Final = (
    'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" '
    'xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0" xmlns:draw="urn:oasis:names:tc:opendocument:xmlns:drawing:1.0" '
    'xmlns:style="urn:oasis:names:tc:opendocument:xmlns:style:1.0" xmlns:presentation="urn:oasis:names:tc:opendocument:xmlns:presentation:1.0"'
)
_SIZES: Final = {1: 22, 2: 17, 3: 14, 4: 12.5, 5: 12, 6: 11.5}


def archive(parts: Mapping[str, str | bytes]) -> bytes:
    """Return a ZIP archive; a part called `mimetype` is stored as it is."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
        for name, content in parts.items():
            kind = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            written.writestr(zipfile.ZipInfo(name), content, kind)
    return file.getvalue()


def make_docx(document: Document) -> bytes:
    """Return a file of Word."""
    made = docx.Document()
    made.core_properties.title = document.title
    made.core_properties.author = "A. Mariner"
    section = made.sections[0]
    section.header.paragraphs[0].text = "A running head that is no text"
    for block in document.blocks:
        if isinstance(block, Heading):
            made.add_heading(block.text, block.level if block.level > 1 else 0)
        elif isinstance(block, Items):
            name = "List Number" if block.numbered else "List Bullet"
            for depth, text in block.items:
                made.add_paragraph(text, style=f"{name} {depth + 1}" if depth else name)
        elif isinstance(block, Table):
            table = made.add_table(len(block.rows), len(block.rows[0]), style="Table Grid")
            for row, cells in zip(table.rows, block.rows, strict=True):
                for cell, text in zip(row.cells, cells, strict=True):
                    cell.text = text
        else:
            for line in block.text.split("\n"):
                made.add_paragraph(line, style="macro" if isinstance(block, Code) else None)
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def make_pptx(document: Document) -> bytes:
    """Return a file of PowerPoint: a slide for each heading, its lists on it, its paragraphs in its notes."""
    made = pptx.Presentation()
    for heading, blocks in document.sections():
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = heading.text
        lines = slide.placeholders[1].text_frame
        items = [item for block in blocks if isinstance(block, Items) for item in block.items]
        for index, (depth, text) in enumerate(items):
            paragraph = lines.paragraphs[0] if index == 0 else lines.add_paragraph()
            paragraph.text, paragraph.level = text, depth
        for block in blocks:
            if isinstance(block, Table):
                size = (len(block.rows), len(block.rows[0]))
                table = slide.shapes.add_table(*size, Inches(1), Inches(3), Inches(6), Inches(2)).table
                for y, row in enumerate(block.rows):
                    for x, text in enumerate(row):
                        table.cell(y, x).text = text
        notes = [block.text for block in blocks if isinstance(block, Paragraph)]
        if notes:
            slide.notes_slide.notes_text_frame.text = "\n".join(notes)
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def _sheets(document: Document) -> list[tuple[str, list[Sequence[str]]]]:
    """Return a sheet for each heading that has a table."""
    return [
        (heading.text[:31], [row for block in blocks if isinstance(block, Table) for row in block.rows])
        for heading, blocks in document.sections()
        if any(isinstance(block, Table) for block in blocks)
    ]


def make_xlsx(document: Document) -> bytes:
    """Return a file of Excel: a sheet for each heading with a table."""
    made = openpyxl.Workbook()
    made.remove(made.active)
    for name, rows in _sheets(document) or [("Empty", [])]:
        sheet = made.create_sheet(name)
        for row in rows:
            sheet.append([int(cell) if cell.isdecimal() else cell for cell in row])
    file = io.BytesIO()
    made.save(file)
    return file.getvalue()


def _odf(kind: str, content: str, styles: str = "") -> bytes:
    return archive(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f'<?xml version="1.0"?><office:document-content {_ODF}><office:automatic-styles>{styles}'
            f"</office:automatic-styles><office:body>{content}</office:body></office:document-content>",
            "META-INF/manifest.xml": '<?xml version="1.0"?><manifest xmlns="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        }
    )


def _odf_table(rows: Sequence[Sequence[str]], name: str = "T") -> str:
    cells = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell><text:p>{escape(cell)}</text:p></table:table-cell>" for cell in row)
        + '<table:table-cell table:number-columns-repeated="16000"/></table:table-row>'
        for row in rows
    )
    end = '<table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>'
    return f"<table:table table:name={quoteattr(name)}>{cells}{end}</table:table>"


def _odf_list(block: Items) -> str:
    parts, depth = [], -1
    for level, text in block.items:
        if level > depth:
            parts.append('<text:list text:style-name="L"><text:list-item>' * (level - depth))
        else:
            parts.append("</text:list-item></text:list>" * (depth - level) + "</text:list-item><text:list-item>")
        parts.append(f"<text:p>{escape(text)}</text:p>")
        depth = level
    return "".join(parts) + "</text:list-item></text:list>" * (depth + 1)


def _odf_block(block: Block) -> str:
    if isinstance(block, Heading):
        return f'<text:h text:outline-level="{block.level}">{escape(block.text)}</text:h>'
    if isinstance(block, Paragraph | Code):
        spaced = [escape(line).replace("  ", '<text:s text:c="2"/>') for line in block.text.split("\n")]
        style = ' text:style-name="Preformatted_20_Text"' if isinstance(block, Code) else ""
        return "".join(f"<text:p{style}>{line}</text:p>" for line in spaced)
    return _odf_list(block) if isinstance(block, Items) else _odf_table(block.rows)


def make_odt(document: Document) -> bytes:
    """Return an OpenDocument text."""
    return _odf("text", f"<office:text>{''.join(map(_odf_block, document.blocks))}</office:text>")


def make_ods(document: Document) -> bytes:
    """Return an OpenDocument spreadsheet."""
    tables = "".join(_odf_table(rows, name) for name, rows in _sheets(document))
    return _odf("spreadsheet", f"<office:spreadsheet>{tables}</office:spreadsheet>")


def make_odp(document: Document) -> bytes:
    """Return an OpenDocument presentation."""
    pages = []
    for heading, blocks in document.sections():
        inner = "".join(f"<draw:text-box>{_odf_block(b)}</draw:text-box>" for b in blocks if isinstance(b, Items))
        tables = "".join(_odf_table(b.rows) for b in blocks if isinstance(b, Table))
        notes = "".join(_odf_block(b) for b in blocks if isinstance(b, Paragraph))
        pages.append(
            '<draw:page><draw:frame presentation:class="title"><draw:text-box>'
            f"<text:p>{escape(heading.text)}</text:p></draw:text-box></draw:frame><draw:frame>{inner}</draw:frame><draw:frame>{tables}</draw:frame>"
            f'<presentation:notes><draw:frame presentation:class="notes"><draw:text-box>{notes}</draw:text-box></draw:frame></presentation:notes></draw:page>'
        )
    return _odf("presentation", f"<office:presentation>{''.join(pages)}</office:presentation>")


def make_epub(document: Document) -> bytes:
    """Return a book: a chapter for each heading of the second level, in the spine's order and not the archive's."""
    chapters: list[list[Block]] = [[]]
    for block in document.blocks:
        if isinstance(block, Heading) and block.level == 2:
            chapters.append([])
        chapters[-1].append(block)
    names = [f"c{len(chapters) - index}" for index in range(len(chapters))]
    pages = {
        f"OEBPS/{name}.xhtml": f'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title></head><body>{Document("", tuple(blocks)).body_html()}</body></html>'
        for name, blocks in zip(names, chapters, strict=True)
    }
    items = "".join(f'<item id="{n}" href="{n}.xhtml" media-type="application/xhtml+xml"/>' for n in names)
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    return archive(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": '<?xml version="1.0"?><container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>',
            "OEBPS/book.opf": f'<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(document.title)}</dc:title><dc:language>en-GB</dc:language><dc:creator>A. Mariner</dc:creator></metadata>'
            f'<manifest><item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>{items}</manifest><spine><itemref idref="nav"/>{spine}</spine></package>',
            "OEBPS/nav.xhtml": "<html><body><nav><h1>Contents of the book</h1></nav></body></html>",
            **dict(sorted(pages.items())),
        }
    )


def _rtf(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("{", "\\{").replace("}", "\\}")
    return "".join(
        letter
        if ord(letter) < 128
        else f"\\'{letter.encode('cp1252').hex()}"
        if index % 2 and ord(letter) < 256
        else f"\\u{ord(letter)}?"
        for index, letter in enumerate(escaped)
    )


def make_rtf(document: Document) -> bytes:
    """Return an RTF."""
    parts = [
        r"{\rtf1\ansi\ansicpg1252\uc1{\fonttbl{\f0 Serif;}}{\stylesheet{\s0 Normal;}"
        + "".join(rf"{{\s{level}\outlinelevel{level - 1} heading {level};}}" for level in range(1, 7))
        + r"{\s9 Preformatted Text;}}{\info{\title "
        + _rtf(document.title)
        + r"}{\author A. Mariner}}{\header A running head that is no text\par}"
    ]
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(rf"\pard\s{block.level} {_rtf(block.text)}\par")
        elif isinstance(block, Items):
            parts += [rf"{{\listtext\bullet\tab}}\pard\ls1\ilvl{depth} {_rtf(text)}\par" for depth, text in block.items]
        elif isinstance(block, Table):
            for row in block.rows:
                cells = "".join(rf"\pard\intbl {_rtf(cell)}\cell" for cell in row)
                edges = "".join(rf"\cellx{n * 2000}" for n in range(1, len(row) + 1))
                parts.append(rf"\trowd{edges}{cells}\row")
        else:
            style = r"\s9" if isinstance(block, Code) else ""
            parts += [rf"\pard{style} {_rtf(line)}\par" for line in block.text.split("\n")]
    return "\n".join([*parts, "}"]).encode("ascii")


def make_rst(document: Document) -> bytes:
    """Return reStructuredText."""
    marks = "=-~^"
    parts = []
    for block in document.blocks:
        if isinstance(block, Heading):
            parts.append(f"{block.text}\n{marks[block.level - 1] * len(block.text)}")
        elif isinstance(block, Items):
            depth, lines = -1, []
            for number, (level, text) in enumerate(block.items, start=1):
                lines += [""] * (level != depth) + [f"{'   ' * level}{f'{number}.' if block.numbered else '*'} {text}"]
                depth = level
            parts.append("\n".join(lines))
        elif isinstance(block, Table):
            widths = [max(len(row[x]) for row in block.rows) + 1 for x in range(len(block.rows[0]))]
            rule = " ".join("=" * width for width in widths)
            rows = [" ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in block.rows]
            parts.append("\n".join([rule, rows[0], rule, *rows[1:], rule]))
        elif isinstance(block, Code):
            parts.append(
                ".. code-block:: python\n   :linenos:\n\n" + "\n".join(f"   {line}" for line in block.text.split("\n"))
            )
        else:
            parts.append(block.text.replace("\\", "\\\\").replace("2024.", "2024\\."))
    return "\n\n".join(parts).encode()


def make_csv(document: Document) -> bytes:
    """Return the document's tables, one after the other, as lines with semicolons."""
    lines = []
    for table in document.tables:
        lines += [";".join(f'"{cell}"' if ";" in cell else cell for cell in row) for row in table.rows]
    return "\r\n".join(lines).encode()


def _nested(document: Document) -> dict[str, object]:
    """Return sections as objects in objects."""
    root: dict[str, object] = {}
    path: list[tuple[int, dict[str, object]]] = [(0, root)]
    for heading, blocks in document.sections():
        while path[-1][0] >= heading.level:
            path.pop()
        section: dict[str, object] = {}
        for index, table in enumerate(block for block in blocks if isinstance(block, Table)):
            section[f"table {index}"] = [dict(zip(table.rows[0], row, strict=True)) for row in table.rows[1:]]
        path[-1][1][heading.text] = section
        path.append((heading.level, section))
    return root


def make_json(document: Document) -> bytes:
    """Return sections as objects, and their tables as lists of records."""
    return json.dumps(_nested(document)).encode()


def make_xml(document: Document) -> bytes:
    """Return sections as elements that say their name, and their tables as records."""
    parts = []
    for heading, blocks in document.sections():
        rows = [
            "".join(
                f"<{name.replace(' ', '-')}>{escape(cell)}</{name.replace(' ', '-')}>"
                for name, cell in zip(block.rows[0], row, strict=True)
            )
            for block in blocks
            if isinstance(block, Table)
            for row in block.rows[1:]
        ]
        texts = "".join(f"<text>{escape(block.text)}</text>" for block in blocks if isinstance(block, Paragraph))
        parts.append(
            f"<section><title>{escape(heading.text)}</title><about><kind>part</kind></about>{texts}<rows>{''.join(f'<row>{row}</row>' for row in rows)}</rows></section>"
        )
    # the last is empty: a section alone would be a member of the document, and called so
    return f'<?xml version="1.0" encoding="UTF-8"?><document>{"".join(parts)}<section/></document>'.encode()


def make_rss(document: Document) -> bytes:
    """Return a feed: an entry for each heading, with its text as HTML."""
    entries = "".join(
        f"<item><title>{escape(escape(heading.text))}</title><link>https://h.example/{index}</link>"
        f"<pubDate>Mon, 06 May 2024 07:08:09 GMT</pubDate><description>{escape(Document('', tuple(blocks)).body_html())}</description></item>"
        for index, (heading, blocks) in enumerate(document.sections())
    )
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>News of the port</title><language>en</language>{entries}</channel></rss>'.encode()


def make_atom(document: Document) -> bytes:
    """Return a feed in Atom, whose texts are XHTML or HTML."""
    entries = []
    for index, (heading, blocks) in enumerate(document.sections()):
        body = Document("", tuple(blocks)).body_html()
        content = (
            f'<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">{body}</div></content>'
            if index % 2
            else f'<content type="html">{escape(body)}</content>'
        )
        entries.append(
            f'<entry><title type="html">{escape(escape(heading.text))}</title><link rel="alternate" href="/{index}"/><updated>2024-05-06T07:08:09Z</updated>{content}</entry>'
        )
    return f'<?xml version="1.0"?><feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en"><title>News of the port</title>{"".join(entries)}</feed>'.encode()


class _Paper(FPDF):
    """Pages with a running head and their number."""

    def header(self) -> None:
        self.set_font("Helvetica", size=9)
        self.cell(0, 8, "A running head that is no text", align="C", new_x="LMARGIN", new_y="NEXT")

    def footer(self) -> None:
        self.set_y(-15)
        self.set_font("Helvetica", size=9)
        self.cell(0, 8, f"Page {self.page_no()} of {{nb}}", align="C")


def make_pdf(document: Document) -> bytes:
    """Return a PDF: larger letters for headings, lines around tables' cells."""
    paper = _Paper()
    paper.set_title(document.title)
    paper.set_author("A. Mariner")
    paper.add_page()
    for block in document.blocks:
        if isinstance(block, Heading):
            paper.ln(3)
            paper.set_font("Helvetica", "B", _SIZES[block.level])
            paper.multi_cell(0, 9, block.text, new_x="LMARGIN", new_y="NEXT")
        elif isinstance(block, Table):
            paper.set_font("Helvetica", size=11)
            with paper.table() as table:
                for cells in block.rows:
                    row = table.row()
                    for cell in cells:
                        row.cell(cell)
            paper.ln(4)
        elif isinstance(block, Items):
            paper.set_font("Helvetica", size=11)
            for number, (depth, text) in enumerate(block.items, start=1):
                paper.set_x(paper.l_margin + 6 * depth)
                mark = f"{number}." if block.numbered else "\x95"
                paper.multi_cell(0, 6, f"{mark} {text}", new_x="LMARGIN", new_y="NEXT")
            paper.ln(4)
        else:
            code = isinstance(block, Code)
            paper.set_font("Courier" if code else "Helvetica", size=11)
            paper.multi_cell(0, 6, block.text, align="L" if code else "J", new_x="LMARGIN", new_y="NEXT")
            paper.ln(4)
    return bytes(paper.output())


Producer = Callable[[Document], bytes]
PRODUCERS: Final[Mapping[str, tuple[str, Producer, tuple[type, ...]]]] = {
    "docx": ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", make_docx, ()),
    "pptx": ("application/vnd.openxmlformats-officedocument.presentationml.presentation", make_pptx, (Code, Paragraph)),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", make_xlsx, (Code, Paragraph, Items)),
    "odt": ("application/vnd.oasis.opendocument.text", make_odt, ()),
    "ods": ("application/vnd.oasis.opendocument.spreadsheet", make_ods, (Code, Paragraph, Items)),
    "odp": ("application/vnd.oasis.opendocument.presentation", make_odp, (Code, Paragraph)),
    "epub": ("application/epub+zip", make_epub, ()),
    "rtf": ("application/rtf", make_rtf, ()),
    "rst": ("text/x-rst", make_rst, ()),
    "csv": ("text/csv", make_csv, (Code, Paragraph, Items, Heading)),
    "json": ("application/json", make_json, (Code, Paragraph, Items)),
    "xml": ("application/xml", make_xml, (Code, Paragraph, Items)),
    "rss": ("application/rss+xml", make_rss, ()),
    "atom": ("application/atom+xml", make_atom, ()),
    "pdf": ("application/pdf", make_pdf, ()),
}
"""By kind: its media type, who makes it, and the blocks that are not looked for in it."""
