"""Office files: code by its style, what is hidden, formulas in a line."""

import io
import re

import pptx
import pytest
from hostile import with_body, with_part
from lxml import etree
from producers import archive as archived

from app.core.errors import ExtractionError
from app.core.extraction import kinds
from app.core.extraction.extract import extract
from app.core.extraction.result import Extract

WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def read(body: bytes, media_type: str) -> Extract:
    return extract(body, url="https://harbour.example/file", media_type=media_type, charset=None)


STYLES = {
    "SourceCode": ("Source Code", ""),
    "HTMLVorformatiert": ("HTML Preformatted", ""),
    "Listing": ("My listing", "HTMLVorformatiert"),
    "NurText": ("Plain Text", ""),
    "Verborgen": ("Secret", ""),
}


def styled(text: str) -> bytes:
    """Return a file of Word with this in its body, whose styles have other names than ids."""
    styles = "".join(
        f'<w:style w:styleId="{identifier}"><w:name w:val="{name}"/><w:basedOn w:val="{base}"/>'
        f"{'<w:rPr><w:vanish/></w:rPr>' if name == 'Secret' else ''}</w:style>"
        for identifier, (name, base) in STYLES.items()
    )
    content = f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>'
    return with_part(with_body(text.encode()), "word/styles.xml", content.encode())


def paragraph(style: str, *runs: str) -> str:
    inner = "<w:r><w:br/></w:r>".join(f'<w:r><w:t xml:space="preserve">{run}</w:t></w:r>' for run in runs)
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr>{inner}</w:p>'


CODE = ("def f(x):", "    if x:", "        return 1")


@pytest.mark.parametrize("style", ["SourceCode", "HTMLVorformatiert", "Listing", "NurText"])
def test_lines_of_code_in_a_file_of_word_keep_their_breaks_and_blanks(style: str) -> None:
    block = "\n".join(("```", *CODE, "```"))
    for inner in (paragraph(style, *CODE), "".join(paragraph(style, line) for line in CODE)):
        body = styled(f"{paragraph('', 'So:')}{inner}{paragraph('', 'Two', 'lines.')}")
        assert read(body, kinds.DOCX).content == f"# Report on the harbour\n\nSo:\n\n{block}\n\nTwo lines."
        framed = f"{inner}<w:tbl><w:tr><w:tc>{inner}</w:tc></w:tr></w:tbl>{inner}"
        assert read(styled(framed), kinds.DOCX).content.endswith("\n\n".join([block] * 3))
    tabbed = paragraph(style, "if x:", "TAB").replace('<w:t xml:space="preserve">TAB', "<w:tab/><w:t>go")
    assert "```\nif x:\n\tgo\n```" in read(styled(tabbed), kinds.DOCX).content


def test_long_paragraphs_in_words_style_for_plain_text_are_prose() -> None:
    lines = [
        f"The harbour of the {word} town is old, and its mole was built by monks. " * 4 for word in ("first", "other")
    ]
    content = read(styled("".join(paragraph("NurText", line) for line in lines)), kinds.DOCX).content
    assert content.split("\n\n")[1:] == [line.strip() for line in lines]
    assert "```" in read(styled("".join(paragraph("SourceCode", line) for line in lines)), kinds.DOCX).content


def lettered(font: str, *lines: str) -> str:
    """Return paragraphs whose letters are of a font; a line of none says so of its end."""
    fonts = f'<w:rPr><w:rFonts w:ascii="{font}" w:hAnsi="{font}"/></w:rPr>'
    return "".join(
        f'<w:p><w:pPr>{fonts}</w:pPr>{f"""<w:r>{fonts}<w:t xml:space="preserve">{line}</w:t></w:r>""" if line else ""}</w:p>'
        for line in lines
    )


def test_lines_in_letters_of_one_width_are_code_where_the_others_have_several() -> None:
    block = "\n".join(("```", CODE[0], "", *CODE[1:], "```"))
    lines = (CODE[0], "", *CODE[1:], "")
    prose = paragraph("", "The harbour is old.")
    expected = f"# Report on the harbour\n\nThe harbour is old.\n\n{block}\n\nThe harbour is old."
    for font in ("Courier New", "Consolas", "JetBrains Mono", "Source Code Pro"):
        assert read(styled(prose + lettered(font, *lines) + prose), kinds.DOCX).content == expected
        typed = read(styled(lettered(font, "The harbour is old.", "So is its mole.")), kinds.DOCX).content
        assert typed == "# Report on the harbour\n\nThe harbour is old.\n\nSo is its mole."
    for font in ("Arial", "Monotype Corsiva", "Codex"):
        assert "```" not in read(styled(prose + lettered(font, *lines) + prose), kinds.DOCX).content


def test_the_width_of_letters_is_what_the_document_says_of_its_font() -> None:
    table = f'<w:fonts xmlns:w="{WORD}"><w:font w:name="House"><w:pitch w:val="fixed"/></w:font></w:fonts>'
    body = with_part(styled(paragraph("", "So:") + lettered("House", *CODE)), "word/fontTable.xml", table.encode())
    assert read(body, kinds.DOCX).content.endswith("\n".join(("So:\n", "```", *CODE, "```")))
    mixed = "<w:p><w:r><w:t>Say </w:t></w:r>" + lettered("Courier New", "f(x)").removeprefix("<w:p>")
    assert read(styled(mixed), kinds.DOCX).content.endswith("Say f(x)")


def test_hidden_text_of_word_is_not_read() -> None:
    def run(text: str, properties: str) -> str:
        return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{text}</w:t></w:r>'

    runs = (
        run("The mole", ""),
        run(" secret", "<w:vanish/>"),
        run(" is", '<w:vanish w:val="0"/>'),
        run(" hidden", '<w:rStyle w:val="Verborgen"/>'),
        run(" old.", ""),
    )
    body = styled(f"<w:p>{''.join(runs)}</w:p>{paragraph('Verborgen', 'Nothing')}")
    assert read(body, kinds.DOCX).content == "# Report on the harbour\n\nThe mole is old."


def test_hidden_and_deleted_rich_text_is_not_read() -> None:
    text = rb"{\rtf1 A {\v secret }mole\v  x\v0  is {\deleted was }old\v  and\plain .\par {\v gone}\par}"
    assert read(text, kinds.RTF).content == "A mole is old."


def test_code_in_rich_text_is_told_by_its_style() -> None:
    text = (
        rb"{\rtf1{\stylesheet{\s0 Normal;}{\s7 HTML Preformatted;}}\pard So:\par\pard\s7 if x:\par\tab go\line   on\par"
        rb"\trowd\pard\intbl a\cell b\cell\row\pard\s7 a = 1\par}"
    )
    assert read(text, kinds.RTF).content == (
        "So:\n\n```\nif x:\n\tgo\n  on\n```\n\n| a | b |\n| --- | --- |\n\n```\na = 1\n```"
    )


def test_code_and_hidden_text_in_an_open_document_are_told_by_their_styles() -> None:
    content = """<d xmlns="o"><automatic-styles><style name="P1" parent-style-name="Preformatted_20_Text"/>
        <style name="T1"><text-properties display="none"/></style></automatic-styles><body><text><p>So:</p>
        <p style-name="P1">if x:<line-break/><tab/>go</p><p style-name="Preformatted_20_Text"><s c="4"/>on<span style-name="T1">x</span></p>
        <p>A <span style-name="T1">secret </span>mole\n<line-break/>is <s/> old.</p><p style-name="T1">Gone.</p>
        <section display="none"><p>Gone.</p></section></text></body></d>"""
    body = with_part(archived({"mimetype": kinds.ODT}), "content.xml", content.encode())
    other = b'<d><style name="P1" parent-style-name="Footer"/></d>'
    for each in (body, with_part(body, "styles.xml", other)):
        assert read(each, kinds.ODT).content == "So:\n\n```\nif x:\n\tgo\n    on\n```\n\nA mole is old."


MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def formula(inner: str) -> str:
    """Return what a paragraph with a formula reads as; what is in square brackets is a run of letters."""
    inner = re.sub(r"(</?)(\w)", r"\1m:\2", inner).replace(" val=", " m:val=")
    inner = re.sub(r"\[([^]]*)\]", r"<m:r><m:t>\1</m:t></m:r>", inner)
    body = f'<w:p xmlns:m="{MATH}"><m:oMath>{inner}</m:oMath></w:p>'
    return read(with_body(body.encode()), kinds.DOCX).content.rpartition("\n")[2]


@pytest.mark.parametrize(
    ("inner", "line"),
    [
        ("<f><num>[a]</num><den>[b]</den></f><sSup><e>[x]</e><sup>[2]</sup></sSup>", "a/b x^2"),
        ("[y=]<f><num>[a+1]</num><den>[2b]</den></f>", "y=(a+1)/(2b)"),
        ("<f><num><f><num>[a]</num><den>[b]</den></f></num><den>[c]</den></f>", "(a/b)/c"),
        ("<f><num>[1]</num><den><sSup><e>[x]</e><sup>[n+1]</sup></sSup></den></f>", "1/x^(n+1)"),
        ("<sSup><e><d><e>[a+b]</e></d></e><sup>[2]</sup></sSup>", "(a+b)^2"),
        ("<sSubSup><e>[x]</e><sub>[i]</sub><sup>[2]</sup></sSubSup>", "x_i^2"),
        ("<rad><radPr><degHide/></radPr><deg/><e>[x+1]</e></rad>", "√(x+1)"),
        ("<rad><deg>[n]</deg><e>[x]</e></rad>", "√[n]x"),
        ('<nary><naryPr><chr val="∑"/></naryPr><sub>[i=1]</sub><sup>[n]</sup><e>[i]</e></nary>', "∑_(i=1)^n i"),
        ('[y=]<d><dPr><begChr val="|"/><endChr val="|"/></dPr><e>[x]</e></d>', "y=|x|"),
        ("<func><fName>[sin]</fName><e>[x]</e></func>", "sin x"),
        ("<d><e><m><mr><e>[1]</e><e>[0]</e></mr><mr><e>[0]</e><e>[1]</e></mr></m></e></d>", "(1, 0; 0, 1)"),
        ("<acc><e>[x]</e></acc>[=2]", "x=2"),
    ],
)
def test_a_formula_of_word_is_a_line_that_says_the_same(inner: str, line: str) -> None:
    assert formula(inner) == line


def test_a_formula_on_a_slide_is_a_line_and_one_too_deep_is_refused() -> None:
    def read_with(math: str) -> Extract:
        made = pptx.Presentation()
        slide = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = "Tides"
        body = slide.placeholders[1].text_frame.paragraphs[0]
        body.text = "Be "
        body._p.append(etree.fromstring(f'<x:m xmlns:x="x" xmlns:m="{MATH}"><m:oMath>{math}</m:oMath></x:m>'))
        file = io.BytesIO()
        made.save(file)
        return read(file.getvalue(), kinds.PPTX)

    half = "<m:f><m:fPr/><m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b+1</m:t></m:r></m:den></m:f>"
    assert read_with(half).content == "## Tides\n\nBe a/(b+1)"
    for deep in (read_with, lambda math: read(with_body(f'<w:p xmlns:m="{MATH}">{math}</w:p>'.encode()), kinds.DOCX)):
        with pytest.raises(ExtractionError, match="nested more than 40 deep"):
            deep("<m:sSup><m:e>" * 60 + "<m:r><m:t>x</m:t></m:r>" + "</m:e></m:sSup>" * 60)
